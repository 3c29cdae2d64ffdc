"""The SLA clock of an issue as field values: started anew, moved by another severity, stopped by a response."""

from collections.abc import Mapping
from datetime import datetime

from errors import sla
from errors.models import Issue, SeverityLevel
from errors.rules import Severity, worse
from errors.services import policy
from sysops.access.actors import Actor

Levels = Mapping[Severity, SeverityLevel]
PEOPLE = ("user", "token", "cli")  # kinds of actors whose step is a response; what Sysops does by itself is none


def restarted(issue: Issue, *, at: datetime, levels: Levels | None = None) -> dict[str, object]:
    """A clock that starts now: what happened in an earlier run of trouble is in the history."""
    return {
        "clock_started_at": at,
        "near_told_at": None,
        "breached_at": None,
        "responded_at": None,
        "responded_by": "",
        **_deadlines(issue, started_at=at, levels=levels),
    }


def continued(of: Issue) -> dict[str, object]:
    """The clock of an issue as it stands, for what is split off it: whoever responded has responded to that, too."""
    names = ("clock_started_at", "near_at", "respond_by", "near_told_at", "breached_at", "responded_at", "responded_by")
    return {name: getattr(of, name) for name in names}


def moved(issue: Issue, *, was: Severity, at: datetime, levels: Levels | None = None) -> dict[str, object]:
    """The deadlines of its present severity; nothing once somebody has responded.

    Counted from the start of the clock, and from now where the severity has become worse: nobody could have kept a
    deadline that was not there. A lower severity brings no deadline forward. One that is further away now is told of
    again when it is near. One that was missed stays as it is, also when no tick has come by since to note it.
    """
    if issue.responded_at is not None:
        return {}
    if issue.respond_by is not None and sla.is_late(issue.near_at, issue.respond_by, at=at):
        return {}
    graver = worse(Severity(issue.severity), was)
    started_at = max(issue.clock_started_at, at) if graver else issue.clock_started_at
    deadlines = _deadlines(issue, started_at=started_at, levels=levels)
    if not graver and issue.respond_by is not None and deadlines["respond_by"] < issue.respond_by:
        return {}
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
    if sla.is_late(issue.near_at, issue.respond_by, at=at):
        changes["breached_at"] = sla.breaches_at(issue.near_at, issue.respond_by)
    return changes


def _deadlines(issue: Issue, *, started_at: datetime, levels: Levels | None) -> dict[str, datetime]:
    level = (levels or policy.levels())[Severity(issue.severity)]
    near_at, respond_by = sla.deadlines(
        started_at, within_seconds=level.respond_within_seconds, near_percent=level.near_percent
    )
    return {"near_at": near_at, "respond_by": respond_by}
