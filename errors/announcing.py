"""When people hear of issues, and when only of how many. Pure: no Django, no clock, no I/O.

An issue is told of at once, then after 5, 15, 45 minutes … a day, each time with its count. What a project has to
tell at about the same time is one message, and those of a project keep their distance too, so that five hundred issues
are no more messages than one. Only the first few critical ones are told each by itself.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from errors.rules import SEVERITIES, Severity
from notifications.rules import Level

FIRST_GAP = timedelta(minutes=5)
LONGEST_GAP = timedelta(days=1)
GROWS_BY = 3
# However often a project was told of lately, news of this severity waits no longer.
WAITS_AT_MOST = {
    Severity.CRITICAL: timedelta(minutes=5),
    Severity.HIGH: timedelta(minutes=15),
    Severity.MEDIUM: timedelta(hours=1),
    Severity.LOW: timedelta(hours=4),
}
GROWTH_WAITS_AT_MOST = timedelta(hours=1)
QUIET = timedelta(hours=1)
SINGLY = 3  # critical issues of a project that are alerts of their own before the rest is one
LISTED = 10  # issues named in a message; the others are counted


class Stream(StrEnum):
    """What is told apart from each other, at a pace of its own; the beginning of an announcement's key."""

    ISSUE = "issue"
    NEAR = "near"
    BREACHED = "breached"


class News(StrEnum):
    """What there is to say of an issue."""

    NEW = "new"
    REGRESSED = "regressed"
    REOPENED = "reopened"
    WORSE = "worse"
    AGAIN = "again"  # after a long quiet
    GROWING = "growing"


def gap(times_told: int) -> timedelta:
    """How long after having been told so often it is told again."""
    if times_told <= 0:
        return timedelta(0)
    grown: timedelta = FIRST_GAP * GROWS_BY ** min(times_told - 1, 10)
    return min(grown, LONGEST_GAP)


def is_over(told_at: datetime | None, times_told: int, *, at: datetime) -> bool:
    """Whether it was quiet for so long that what comes now is news, told at once."""
    return told_at is None or at - told_at >= max(QUIET, 2 * gap(times_told))


def due_again(told_at: datetime, times_told: int, *, at: datetime) -> datetime:
    """When an issue that goes on is told of again, never in the past."""
    return max(at, told_at + gap(times_told))


def project_due(told_at: datetime | None, times_told: int, *, worst_news: Severity | None) -> datetime | None:
    """From when on a project may be told of again; None: at once. Without news there is only growth to tell of."""
    if told_at is None:
        return None
    most = WAITS_AT_MOST[worst_news] if worst_news else GROWTH_WAITS_AT_MOST
    return told_at + min(gap(times_told), most)


def goes_along(next_at: datetime, times_told: int, *, at: datetime) -> bool:
    """Whether what is due soon is told now along with the rest, rather than in a message of its own."""
    return next_at - gap(times_told) / 2 <= at


def worst(severities: Iterable[Severity]) -> Severity | None:
    """The worst of these."""
    return min(severities, key=SEVERITIES.index, default=None)


def level_of(severity: Severity) -> Level:
    """How much a message about such an issue matters."""
    match severity:
        case Severity.CRITICAL:
            return Level.CRITICAL
        case Severity.LOW:
            return Level.INFO
        case _:
            return Level.WARNING


def key(stream: Stream, issue_id: int) -> str:
    """The key of an issue's announcement."""
    return f"{stream}:{issue_id}"


def pace_key(stream: Stream, project_id: int) -> str:
    """The key of the row that keeps a project's pace."""
    return f"project:{project_id}" if stream is Stream.ISSUE else f"project-{stream}:{project_id}"


def critical_key(project_id: int) -> str:
    """The key of the row that counts a project's alerts of their own."""
    return f"project-critical:{project_id}"
