"""What can be asked of maintenance. Reads only."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import Case, Exists, F, OuterRef, Prefetch, Q, QuerySet, Value, When
from django.db.models.expressions import OrderBy
from django.db.models.functions import Coalesce

from catalogue import selectors as catalogue
from catalogue.models import Service
from maintenance.models import Update, Window, WindowGate, WindowService
from maintenance.rules import OPEN, Status, Type
from sysops.kernel.words import utc_words

_NAMED = 20  # windows in the way that a refusal names

# Driven by the services asked about, so that each is one probe of the exclusion constraint's own index.
_CLASHES = """
SELECT held.window_id, array_agg(service.slug ORDER BY service.slug)
FROM unnest(%(ids)s::bigint[]) AS asked(id)
JOIN maintenance_windowservice held
    ON held.service_id = asked.id AND held.period && tstzrange(%(start)s, %(end)s)
JOIN catalogue_service service ON service.id = asked.id
WHERE held.holds AND (held.direct OR asked.id = ANY(%(direct)s::bigint[])) AND held.window_id <> %(but)s
GROUP BY held.window_id
ORDER BY min(lower(held.period)), held.window_id
LIMIT %(named)s
"""


@dataclass(frozen=True)
class Clash:
    """A window in the way, and the slugs of the services on which."""

    window: Window
    services: tuple[str, ...]

    def __str__(self) -> str:
        window, more = self.window, len(self.services) - 5
        on = ", ".join(self.services[:5]) + (f" and {more} more" if more > 0 else "")
        start, end = utc_words(window.scheduled_start), utc_words(window.scheduled_end)
        running = ", still running" if window.status == Status.IN_PROGRESS else ""
        return f"Window {window.pk} “{window.title}” ({start} – {end}{running}) affects {on}"


def for_lists() -> QuerySet[Window]:
    """Every window with its services, updates, gates and series, newest first. A fixed number of queries."""
    named = WindowService.objects.select_related("service").only("window", "direct", "service__slug", "service__name")
    affected = Prefetch("affected", named.order_by("service__slug"))
    return (
        Window.objects.select_related("series")
        .prefetch_related(
            affected,
            Prefetch("updates", Update.objects.order_by("pk")),
            Prefetch("gates", WindowGate.objects.order_by("pk")),
        )
        .order_by("-created_at", "-pk")
    )


def what_matters_first(*, at: datetime) -> list[OrderBy]:
    """An order: running (the latest end first), not started although due, next due; then what is over, latest first."""
    running = Case(When(status=Status.IN_PROGRESS.value, then="scheduled_end"))
    waiting = Case(When(status=Status.SCHEDULED.value, then="scheduled_start"))
    rank = Case(
        When(status=Status.IN_PROGRESS.value, then=Value(0)),
        When(status=Status.SCHEDULED.value, scheduled_start__lte=at, then=Value(1)),
        When(status=Status.SCHEDULED.value, then=Value(2)),
        default=Value(3),
    )
    return [rank.asc(), running.desc(), waiting.asc(), F("scheduled_start").desc(), F("pk").desc()]


def window(pk: int) -> Window:
    """The window with what belongs to it. Raises Window.DoesNotExist."""
    return for_lists().get(pk=pk)


def between(start: datetime, end: datetime) -> QuerySet[Window]:
    """Windows that take place, or were to, between the two, earliest first, with what belongs to them."""
    over = Coalesce(F("completed_at"), F("scheduled_end"))
    began = Coalesce(F("actual_start"), F("scheduled_start"))
    return (
        for_lists()
        .annotate(over=over, began=began)
        .filter(Q(began__lt=end) & (Q(over__gt=start) | Q(status=Status.IN_PROGRESS.value)))
        .order_by("began", "pk")
    )


def conflicts(
    *, direct: Collection[int], reached: Collection[int], start: datetime, end: datetime, but: int | None = None
) -> list[Clash]:
    """Windows that hold services in this span which work on `direct`, reaching `reached`, may not meet; earliest first.

    `but` is the window that asks. One look at the index per service, one query for the windows.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _CLASHES,
            {
                "ids": [*direct, *reached],
                "direct": list(direct),
                "start": start,
                "end": end,
                "but": but or 0,
                "named": _NAMED,
            },
        )
        found: list[tuple[int, list[str]]] = cursor.fetchall()
    if not found:
        return []
    windows = Window.objects.in_bulk([pk for pk, _ in found])
    return [Clash(windows[pk], tuple(slugs)) for pk, slugs in found if pk in windows]


def running_on(window: Window) -> list[Clash]:
    """Other windows that are being worked on now, late or not, and hold what this one works on; emergencies not."""
    others = _meeting(window).filter(window__status=Status.IN_PROGRESS.value, holds=True)
    return _as_clashes(others)


def overlaps(window: Window) -> list[Window]:
    """Open windows that meet this one on a service in its time, whether that is refused or only shown.

    Those that hold services are found as a conflict is, by the constraint's index; what holds nothing (an emergency,
    a clash that came to be by a later dependency) is looked for among the few open ones there can be.
    """
    if window.status not in OPEN:
        return []
    span = (window.scheduled_start, window.scheduled_end)
    mine = dict(WindowService.objects.filter(window=window).values_list("service", "direct"))
    held = conflicts(
        direct=[key for key, direct in mine.items() if direct],
        reached=[key for key, direct in mine.items() if not direct],
        start=span[0],
        end=span[1],
        but=window.pk,
    )
    meeting = _meeting(window).filter(window=OuterRef("pk"))
    others = Window.objects.filter(
        Q(maintenance_type=Type.EMERGENCY.value) | ~Q(note=""), Exists(meeting.filter(period__overlap=span))
    )
    if window.status == Status.IN_PROGRESS:  # both run, whatever was planned
        others |= Window.objects.filter(Exists(meeting), status=Status.IN_PROGRESS.value)
    open_ones = others.filter(status__in=[status.value for status in OPEN])
    found = {row.pk: row for row in [*(clash.window for clash in held), *open_ones.defer("report")]}
    return sorted(found.values(), key=lambda row: (row.scheduled_start, row.pk))


def reach(direct: Collection[Service]) -> list[Service]:
    """What stands on these services and is none of them, by key. One query."""
    own = {service.pk for service in direct}
    return sorted((s for s in catalogue.dependants_of(direct) if s.pk not in own), key=lambda s: s.pk)


def reached_keys(direct: Collection[Service]) -> set[int]:
    """The keys of what stands on these services and is none of them. One query."""
    own = {service.pk for service in direct}
    return set(catalogue.dependants_of(direct).order_by().values_list("pk", flat=True)) - own


def _meeting(window: Window) -> QuerySet[WindowService]:
    """Rows of other windows on services of this one, one of the two working on the service itself. One query."""
    mine = dict(WindowService.objects.filter(window=window).values_list("service", "direct"))
    # As keys: behind a subquery the planner does not see how few they are, and reads the whole table.
    own = [key for key, direct in mine.items() if direct]
    both = Q(direct=True) | Q(service__in=own)
    return WindowService.objects.filter(both, service__in=list(mine)).exclude(window=window)


def _as_clashes(rows: QuerySet[WindowService]) -> list[Clash]:
    windows: dict[int, Window] = {}
    slugs: dict[int, list[str]] = {}
    for row in rows.select_related("window", "service").order_by("window__scheduled_start", "window", "service__slug"):
        windows[row.window_id] = row.window
        slugs.setdefault(row.window_id, []).append(row.service.slug)
    return [Clash(window, tuple(slugs[pk])) for pk, window in windows.items()]
