"""Who is told through what, when it is tried again, and when it is given up. Pure: no Django, no clock, no I/O."""

from datetime import timedelta
from enum import StrEnum


class Level(StrEnum):
    """How much it matters (SPEC A4)."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class DeliveryState(StrEnum):
    """Where one delivery is."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    DEAD = "dead"  # given up; `error` says why
    DROPPED = "dropped"  # not true any more when its turn came; `error` says what made it so


MOVES: dict[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.PENDING: frozenset({DeliveryState.SENDING, DeliveryState.DEAD, DeliveryState.DROPPED}),
    DeliveryState.SENDING: frozenset({DeliveryState.SENT, DeliveryState.DEAD, DeliveryState.PENDING}),
    DeliveryState.DEAD: frozenset({DeliveryState.PENDING}),  # "send again"
    DeliveryState.SENT: frozenset({DeliveryState.PENDING}),
}

LEASE = timedelta(seconds=60)
MAX_ATTEMPTS = 14  # with the delays below: given up after about five hours
FIRST_DELAY = timedelta(seconds=15)
LONGEST_DELAY = timedelta(minutes=30)


def delay_after(attempt: int, *, chance: float) -> timedelta | None:
    """How long to wait after the failed attempt number `attempt` (from 1); None gives up.

    `chance` in [0, 1) spreads the waits over 75–125 %, so that what failed together does not come back together.
    """
    if attempt >= MAX_ATTEMPTS:
        return None
    doubled: timedelta = FIRST_DELAY * 2 ** min(attempt - 1, 30)
    return min(doubled, LONGEST_DELAY) * (0.75 + chance / 2)
