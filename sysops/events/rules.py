"""When a delivery is tried again, and when it is given up. Pure."""

from datetime import timedelta
from enum import StrEnum

MAX_ATTEMPTS = 10  # with the delays below: given up after a bit more than an hour
FIRST_DELAY = timedelta(seconds=5)
LONGEST_DELAY = timedelta(minutes=20)
LONGEST_WAIT = LONGEST_DELAY * 1.25  # with what spreads the waits

# One run of the relay takes deliveries for WORK_FOR, is killed after TIME_LIMIT, and only then may another
# worker take over what it held.
WORK_FOR = timedelta(seconds=15)
TIME_LIMIT = timedelta(seconds=45)
LEASE = timedelta(seconds=60)

KEEP_DONE = timedelta(days=30)
KEEP_DEAD = timedelta(days=180)


class State(StrEnum):
    PENDING = "pending"
    DONE = "done"
    DEAD = "dead"


def delay_after(attempt: int, *, chance: float) -> timedelta | None:
    """How long to wait after the failed attempt number `attempt` (from 1); None gives up.

    `chance` in [0, 1) spreads the waits over 75–125 %, so that what failed together does not come back together.
    """
    if attempt >= MAX_ATTEMPTS:
        return None
    doubled: timedelta = FIRST_DELAY * 2 ** min(attempt - 1, 30)
    return min(doubled, LONGEST_DELAY) * (0.75 + chance / 2)
