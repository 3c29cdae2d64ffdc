"""The SLA clock of an issue as field values: started anew, moved by another severity, stopped by a response."""

from datetime import datetime

from errors import sla
from errors.models import Issue
from errors.rules import Severity
from errors.services import policy
from sysops.access.actors import Actor

PEOPLE = ("user", "token", "cli")  # kinds of actors whose step is a response; what Sysops does by itself is none


def restarted(issue: Issue, *, at: datetime) -> dict[str, object]:
    """A clock that starts now: what happened in an earlier run of trouble is in the history."""
    return {
        "clock_started_at": at,
        "near_told_at": None,
        "breached_at": None,
        "responded_at": None,
        "responded_by": "",
        **_deadlines(issue, started_at=at),
    }


def moved(issue: Issue) -> dict[str, object]:
    """The deadlines of its present severity, counted from the same start; nothing once somebody has responded.

    A deadline that is further away now is told of again when it is near. One that was missed stays missed.
    """
    if issue.responded_at is not None:
        return {}
    deadlines = _deadlines(issue, started_at=issue.clock_started_at)
    later = issue.near_at is None or deadlines["near_at"] > issue.near_at
    return {**deadlines, "near_told_at": None} if later else {**deadlines}


def answered(issue: Issue, *, by: Actor, at: datetime) -> dict[str, object]:
    """What notes the first response; nothing when there was one, or no person gives this one.

    One that comes too late is a breach, also when the tick has not come by since.
    """
    if issue.responded_at is not None or by.kind not in PEOPLE:
        return {}
    changes: dict[str, object] = {"responded_at": at, "responded_by": by.name[:255]}
    if issue.respond_by is None or issue.breached_at is not None:
        return changes
    if sla.is_late(issue.clock_started_at, issue.respond_by, at=at):
        changes["breached_at"] = sla.breaches_at(issue.clock_started_at, issue.respond_by)
    return changes


def _deadlines(issue: Issue, *, started_at: datetime) -> dict[str, datetime]:
    level = policy.levels()[Severity(issue.severity)]
    near_at, respond_by = sla.deadlines(
        started_at, within_seconds=level.respond_within_seconds, near_percent=level.near_percent
    )
    return {"near_at": near_at, "respond_by": respond_by}
