"""What a maintenance window may do, and what is told of it when. Pure: no Django, no clock, no I/O."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

AHEAD = timedelta(hours=24)  # SPEC M6
LONGEST_TITLE = 200
LONGEST_DURATION = timedelta(days=30)


class Type(StrEnum):
    """Why a window is there."""

    PLANNED = "planned"
    EMERGENCY = "emergency"
    RECURRING = "recurring"  # an occurrence of a series


class Status(StrEnum):
    """A window's states, as in API.md."""

    SCHEDULED = "scheduled"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


MOVES: Mapping[Status, frozenset[Status]] = {
    Status.SCHEDULED: frozenset({Status.IN_PROGRESS, Status.CANCELLED}),
    Status.IN_PROGRESS: frozenset({Status.COMPLETED}),
}
OPEN = (Status.SCHEDULED, Status.IN_PROGRESS)


class NoticeKind(StrEnum):
    """What people are told of a window (SPEC M6, M12)."""

    SCHEDULED = "scheduled"
    AHEAD = "ahead"
    STARTED = "started"
    UPDATE = "update"
    EXTENDED = "extended"
    OVERRUN = "overrun"
    RESCHEDULED = "rescheduled"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    START_REFUSED = "start_refused"  # a gate or another window kept it from starting: to on-call, not to subscribers
    START_DUE = "start_due"  # nobody has started it: to on-call


class NoticeState(StrEnum):
    WAITING = "waiting"
    POSTED = "posted"
    DROPPED = "dropped"  # not true any more when its time came; `reason` says why


class GateState(StrEnum):
    """What the gate said last."""

    UNASKED = "unasked"
    OPEN = "open"
    CLOSED = "closed"
    PREPARING = "preparing"


def may_move(old: Status, new: Status) -> bool:
    """Whether the strict state machine (SPEC M7) knows this step."""
    return new in MOVES.get(old, frozenset())


def ends_at(*, start: datetime, duration: timedelta) -> datetime:
    """When a window is expected to be over: its length counts in elapsed time, whatever clocks do."""
    return start + duration
