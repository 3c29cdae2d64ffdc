"""When somebody must have responded to an issue. Pure: no Django, no clock, no I/O."""

from datetime import datetime, timedelta

# What must be responded to at once is due when it is seen; nobody can be sooner than the message that tells of it.
AT_ONCE_GRACE = timedelta(minutes=5)


def deadlines(started_at: datetime, *, within_seconds: int, near_percent: int) -> tuple[datetime, datetime]:
    """When the deadline counts as near, and the deadline, of a clock that started then."""
    within = timedelta(seconds=within_seconds)
    return started_at + within * near_percent / 100, started_at + within


def at_once(near_at: datetime | None, respond_by: datetime) -> bool:
    """Whether the response is due the moment it is known to be needed: such a deadline is not near first."""
    return near_at is not None and respond_by <= near_at


def breaches_at(near_at: datetime | None, respond_by: datetime) -> datetime:
    """From when on no response is a breach: the deadline, or a little later where that is "at once"."""
    return respond_by + AT_ONCE_GRACE if at_once(near_at, respond_by) else respond_by


def is_late(near_at: datetime | None, respond_by: datetime, *, at: datetime) -> bool:
    """Whether a response at that moment, or none until then, breaks the promise."""
    return at >= breaches_at(near_at, respond_by)
