"""What the first page says of errors: issues nobody has responded to, reports that are lost or wait, what is open."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Case, Count, F, IntegerField, Max, Q, QuerySet, Value, When
from django.urls import reverse
from django.utils.safestring import SafeString

from errors import links, looks, selectors
from errors.admin import acts, charts
from errors.admin.base import MANAGE
from errors.admin.filters import OPEN, overdue
from errors.models import Issue, Spool, Undigestible
from errors.rules import SEVERITIES, Severity, Status
from sysops.access.rights import has_right
from sysops.dashboard.parts import Step, Wrong, first
from sysops.pages import show
from sysops.pages.paging import part

MOST = 50
LATE = timedelta(minutes=2)
UNDIGESTIBLE = timedelta(days=1)
WORST = 8
HOURS = 24


@dataclass(frozen=True)
class Line:
    """An open issue in a line."""

    issue: Issue
    kind: str
    message: str
    url: str
    severity: SafeString
    left: SafeString
    status: SafeString
    trend: SafeString
    step: Step | None


def wrong(user: object, *, now: datetime) -> list[Wrong]:
    """Issues that nobody responded to in time, critical ones, and reports that do not become events."""
    issues = first(list(_issues(user, now=now)), "more issues wait for somebody", "admin:errors_issue_changelist")
    return [*_waiting(now), *issues, *_undigestible(user, now=now)]


def summary(user: object, *, now: datetime) -> dict[str, object]:
    """How much is open by severity, and the worst of it with the time left and its trend. Four queries."""
    counts, may = selectors.open_counts(user), has_right(user, MANAGE)
    rows = list(part(_worst_first(selectors.visible_issues(user).filter(OPEN)), 0, WORST))
    trends = selectors.trend(rows, hours=HOURS, now=now)
    address = reverse("admin:errors_issue_changelist")
    return {
        "open": [
            (looks.severity(severity), counts[severity.value], f"{address}?severity={severity.value}")
            for severity in Severity
        ],
        "total": sum(counts.values()),
        "may": may,
        "worst": [_line(row, trends[row.pk], now=now, may=may) for row in rows],
    }


def _worst_first(rows: QuerySet[Issue]) -> QuerySet[Issue]:
    """By severity; of one severity what waits for somebody stands first, the least time left on top."""
    bad = Case(
        *(When(severity=one.value, then=Value(i)) for i, one in enumerate(SEVERITIES)), output_field=IntegerField()
    )
    due = Case(When(status=Status.UNRESOLVED.value, responded_at=None, then=F("respond_by")))
    return rows.order_by(bad, due.asc(nulls_last=True), "-last_seen", "-pk")


def _line(row: Issue, counts: list[int], *, now: datetime, may: bool) -> Line:
    nexts = (act for act in (acts.ACKNOWLEDGE, acts.RESOLVE) if may and act.when(row))
    return Line(
        row,
        looks.plain(row.error_type),
        looks.plain(row.error_message)[:200],
        _page(row),
        looks.severity(row.severity),
        looks.sla(row, now=now) if looks.waits(row) else show.NOTHING,
        looks.status(row),
        charts.sparkline(counts),
        next((Step(act.verb, _page(row, act.name)) for act in nexts), None),
    )


def _page(row: Issue, name: str = "change") -> str:
    return reverse(f"admin:errors_issue_{name}", args=[row.pk])


def _issues(user: object, *, now: datetime) -> Iterator[Wrong]:
    """The worst first; of a critical one that somebody works on it is said who."""
    critical = OPEN & Q(severity=Severity.CRITICAL.value)
    rows = selectors.visible_issues(user).filter(overdue(now=now) | critical)
    listed = list(part(rows.order_by("respond_by", "pk"), 0, MOST))
    names = links.called({row.responded_by for row in listed if row.responded_by})
    for row in sorted(listed, key=lambda row: (row.status != Status.UNRESOLVED, row.severity != Severity.CRITICAL)):
        bad = row.severity == Severity.CRITICAL and row.status == Status.UNRESOLVED
        look = Step("Look at it", _page(row))
        take = (Step("Acknowledge", _page(row, "acknowledge")),) if row.status == Status.UNRESOLVED else ()
        title = f"{row.project.name}: {looks.plain(row)}"
        yield Wrong(bad, title, _said(row, names, now=now), row.clock_started_at, (*take, look))


def _said(row: Issue, names: dict[str, str], *, now: datetime) -> str:
    level = f"{row.severity.capitalize()}, {row.event_count:,} event{'' if row.event_count == 1 else 's'}"
    if row.status != Status.UNRESOLVED:
        return f"{level}. {looks.plain(names.get(row.responded_by, '')) or 'Somebody'} is on it."
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
