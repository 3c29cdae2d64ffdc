"""The section `errors` of reports: what failed in some services before, during and after a span of time.

Registered in wiring: `sections.register("errors", errors_during)`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q

from catalogue.sections import Span
from errors.models import Event, Issue, Project
from sysops.kernel.clock import Clock, utc_now

MOST_SHOWN = 50
_PARTS = ("before", "during", "after")
Times = Mapping[str, tuple[datetime, datetime]]


@dataclass(frozen=True)
class Counted:
    """An issue, and how many of its events were received in each part."""

    issue: int
    first_seen: datetime
    events: Mapping[str, int]


def errors_during(span: Span, *, now: Clock = utc_now) -> Mapping[str, object]:
    """Events and issues of the services in the span, in as long a time before it, and in as much of one after it as
    has passed. Restricted projects are left out: reports are read by everybody.
    """
    open_projects = Project.objects.filter(deleted_at=None, restricted=False, service__slug__in=span.services)
    projects = list(open_projects.order_by("pk").values_list("pk", flat=True))
    if not projects:
        why = "No error project that everybody may see belongs to these services"
        return {**dict.fromkeys(_PARTS), "why": why, "issues": [], "left_off": 0}
    times = _times(span, at=now())
    rows = _counted(projects, times)
    seen = sorted((row for row in rows if row.events["during"]), key=lambda row: (-row.events["during"], row.issue))
    return {
        **{part: _figures(part, times[part], rows) for part in _PARTS},
        "issues": _issues(seen[:MOST_SHOWN], starts=span.starts),
        "left_off": max(0, len(seen) - MOST_SHOWN),
    }


def _times(span: Span, *, at: datetime) -> dict[str, tuple[datetime, datetime]]:
    """When each part begins and ends. What is still to come is in none of them."""
    length = span.ends - span.starts
    ends = max(span.starts, min(span.ends, at))
    return {
        "before": (span.starts - length, span.starts),
        "during": (span.starts, ends),
        "after": (ends, max(ends, min(span.ends + length, at))),
    }


def _counted(projects: Sequence[int], times: Times) -> list[Counted]:
    """What was received in any of the parts, by issue. One query."""
    events = Event.objects.filter(
        project__in=projects, received_at__gte=times["before"][0], received_at__lt=times["after"][1]
    )
    parts = {
        part: Count("pk", filter=Q(received_at__gte=starts, received_at__lt=ends))
        for part, (starts, ends) in times.items()
    }
    by_issue = events.order_by().values_list("grouping__issue", "grouping__issue__first_seen").annotate(**parts)
    return [
        Counted(issue, first_seen, dict(zip(times, quantities, strict=True)))
        for issue, first_seen, *quantities in by_issue
        if issue is not None
    ]


def _figures(part: str, times: tuple[datetime, datetime], rows: Sequence[Counted]) -> dict[str, object] | None:
    """None for a time of which nothing has passed."""
    starts, ends = times
    if starts == ends:
        return None
    met = [row for row in rows if row.events[part]]
    return {
        "from": _moment(starts),
        "to": _moment(ends),
        "events": sum(row.events[part] for row in met),
        "issues": len(met),
        "new_issues": sum(starts <= row.first_seen < ends for row in met),
    }


def _issues(rows: Sequence[Counted], *, starts: datetime) -> list[dict[str, object]]:
    """Those with events in the span, the most frequent first."""
    issues = Issue.objects.select_related("service").defer("search").in_bulk([row.issue for row in rows])
    return [_issue(issues[row.issue], row, starts=starts) for row in rows if row.issue in issues]


def _issue(issue: Issue, row: Counted, *, starts: datetime) -> dict[str, object]:
    return {
        "id": str(issue.pk),
        "error_type": issue.error_type,
        "error_message": issue.error_message[:300],
        "service": issue.service.slug if issue.service else None,
        "severity": issue.severity,
        "status": issue.status,
        "new": issue.first_seen >= starts,
        "events_before": row.events["before"],
        "events_during": row.events["during"],
    }


def _moment(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
