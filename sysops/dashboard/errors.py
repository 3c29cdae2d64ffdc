"""What the first page says of errors: issues nobody has responded to, reports that are lost or wait, what is open."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max, Q
from django.urls import reverse
from django.utils.safestring import SafeString

from errors import looks, selectors
from errors.admin import charts
from errors.admin.filters import OPEN, overdue
from errors.models import Issue, Spool, Undigestible
from errors.rules import Severity, Status
from sysops.dashboard.parts import Step, Wrong, first

MOST = 50
LATE = timedelta(minutes=2)
UNDIGESTIBLE = timedelta(days=1)
LATEST = 8
HOURS = 24


@dataclass(frozen=True)
class Line:
    """An open issue in a line."""

    issue: Issue
    kind: str
    message: str
    url: str
    severity: SafeString
    status: SafeString
    trend: SafeString


def wrong(user: object, *, now: datetime) -> list[Wrong]:
    """Issues that nobody responded to in time, critical ones, and reports that do not become events."""
    issues = first(list(_issues(user, now=now)), "more issues wait for somebody", "admin:errors_issue_changelist")
    return [*_waiting(now), *issues, *_undigestible(user, now=now)]


def summary(user: object, *, now: datetime) -> dict[str, object]:
    """How much is open by severity, and the latest of it with its trend. Three queries."""
    counts = selectors.open_counts(user)
    rows = list(selectors.visible_issues(user).filter(OPEN)[:LATEST])
    trends = selectors.trend(rows, hours=HOURS, now=now)
    address = reverse("admin:errors_issue_changelist")
    return {
        "open": [
            (looks.severity(severity), counts[severity.value], f"{address}?severity={severity.value}")
            for severity in Severity
        ],
        "total": sum(counts.values()),
        "latest": [_line(row, trends[row.pk]) for row in rows],
    }


def _line(row: Issue, counts: list[int]) -> Line:
    return Line(
        row,
        looks.plain(row.error_type),
        looks.plain(row.error_message)[:200],
        _page(row),
        looks.severity(row.severity),
        looks.status(row),
        charts.sparkline(counts),
    )


def _page(row: Issue, name: str = "change") -> str:
    return reverse(f"admin:errors_issue_{name}", args=[row.pk])


def _issues(user: object, *, now: datetime) -> Iterator[Wrong]:
    """The worst first; of a critical one that somebody works on it is said who."""
    critical = OPEN & Q(severity=Severity.CRITICAL.value)
    rows = selectors.visible_issues(user).filter(overdue(now=now) | critical)
    listed = rows.order_by("respond_by", "pk")[:MOST]
    for row in sorted(listed, key=lambda row: (row.status != Status.UNRESOLVED, row.severity != Severity.CRITICAL)):
        bad = row.severity == Severity.CRITICAL and row.status == Status.UNRESOLVED
        look = Step("Look at it", _page(row))
        take = (Step("Acknowledge", _page(row, "acknowledge")),) if row.status == Status.UNRESOLVED else ()
        yield Wrong(bad, f"{row.project.name}: {looks.plain(row)}", _said(row, now=now), row.last_seen, (*take, look))


def _said(row: Issue, *, now: datetime) -> str:
    level = f"{row.severity.capitalize()}, {row.event_count:,} events"
    if row.status != Status.UNRESOLVED:
        return f"{level}. {looks.plain(row.responded_by) or 'Somebody'} is on it."
    return f"{level}. Nobody has responded: {looks.sla_words(row, now=now)[1]}."


def _waiting(now: datetime) -> list[Wrong]:
    """Reports are safe in the spool, but nobody sees what they say."""
    oldest = Spool.objects.order_by("pk").values_list("received_at", flat=True).first()
    if oldest is None or now - oldest < LATE:
        return []
    step = Step("Look at the workers", reverse("admin:monitoring_workersighting_changelist"))
    return [Wrong(True, "Error reports are taken and not digested", "No worker makes events of them.", oldest, (step,))]


def _undigestible(user: object, *, now: datetime) -> list[Wrong]:
    kept = Undigestible.objects.filter(
        project__in=selectors.visible_projects(user), failed_at__gte=now - UNDIGESTIBLE
    ).aggregate(count=Count("pk"), last=Max("failed_at"))
    if not kept["count"]:
        return []
    many = "report" if kept["count"] == 1 else "reports"
    step = Step("See why and try again", reverse("admin:errors_undigestible_changelist"))
    title = f"{kept['count']:,} error {many} could not be digested in the last day"
    return [Wrong(False, title, "Kept as they came, with the reason.", kept["last"], (step,))]
