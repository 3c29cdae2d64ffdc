"""What a maintenance window may do, and what is told of it when. Pure: no Django, no clock, no I/O."""

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum

AHEAD = timedelta(hours=24)  # SPEC M6
START_DUE_AFTER = timedelta(minutes=5)  # then on-call hears that nobody has started it
LONGEST_TITLE = 200
LONGEST_DESCRIPTION = 10_000
LONGEST_UPDATE = 5_000
LONGEST_REASON = 500
LONGEST_DURATION = timedelta(days=30)
FARTHEST = timedelta(days=36_525)  # a hundred years ahead: beyond, times cannot be reckoned with


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
    return start.astimezone(UTC) + duration  # in a zone of its own, Python would add to the wall clock


def title_problem(title: str) -> str | None:
    """Why this cannot be a title, or None. It becomes the subject of e-mails: one line, no control characters."""
    if not title.strip():
        return "Say in a few words what is done."
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in title):
        return "Use one line without control characters."
    return text_problem(title, longest=LONGEST_TITLE)


def text_problem(text: str, *, longest: int) -> str | None:
    """Why this cannot be stored as text of at most `longest` characters, or None."""
    if len(text) > longest:
        return f"Use at most {longest:,} characters; there are {len(text):,}.".replace(",", "\u202f")
    if "\0" in text or any(unicodedata.category(character) == "Cs" for character in text):
        return "NUL characters and halves of surrogate pairs cannot be stored."
    return None


def message_problem(message: str) -> str | None:
    """Why this cannot be a status update, or None."""
    if not message.strip():
        return "Say how it stands."
    return text_problem(message, longest=LONGEST_UPDATE)


def duration_problem(duration: timedelta) -> str | None:
    """Why a window cannot be this long, or None."""
    if duration < timedelta(seconds=1):
        return "It must last longer than 0 seconds."
    if duration > LONGEST_DURATION:
        return f"It can last {LONGEST_DURATION.days} days at most; schedule several windows instead."
    return None


def start_problem(kind: Type, start: datetime | None, duration: timedelta, *, at: datetime) -> str | None:
    """Why a window made at `at` cannot begin then, or None. Only an emergency may begin now, or have begun."""
    if start is None:
        return None if kind is Type.EMERGENCY else "Say when it starts; only an emergency may leave it out."
    if start.tzinfo is None:
        return "Say the time with its offset, such as 2027-01-15T02:00:00+00:00."
    if start > at + FARTHEST:
        return "It starts more than a hundred years ahead."
    if kind is not Type.EMERGENCY and start <= at:
        return "It must start in the future; work that has begun already is an emergency."
    if duration_problem(duration) is None and ends_at(start=start, duration=duration) <= at:
        return "It would be over already. Give a later start or a longer duration."
    return None


def dated_notices(kind: Type, *, start: datetime, now: datetime) -> dict[NoticeKind, datetime]:
    """What is told of a scheduled window by itself later, and when; nothing that would be due before `now`."""
    due = {NoticeKind.START_DUE: start + START_DUE_AFTER}
    if kind is not Type.EMERGENCY:
        due[NoticeKind.AHEAD] = start - AHEAD
    return {notice: moment for notice, moment in due.items() if moment > now}


def untrue_because(
    notice: NoticeKind, *, status: Status, start: datetime, end: datetime, starts_itself: bool, now: datetime
) -> str | None:
    """Why a dated notice whose time has come is not true (any more) at `now`, or None: it is told."""
    if notice not in (NoticeKind.AHEAD, NoticeKind.START_DUE):
        return None
    if status is not Status.SCHEDULED:
        return f"The window was {status.value.replace('_', ' ')} already"
    if notice is NoticeKind.AHEAD:
        return "Its start had passed" if now >= start else None
    if starts_itself:
        return "The window starts itself"
    if now < start + START_DUE_AFTER:
        return "It was not due"
    return "Its end had passed" if now >= end else None
