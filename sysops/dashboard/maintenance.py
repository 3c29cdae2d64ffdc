"""What the first page says of maintenance: windows that went wrong, that run, and that come."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from maintenance.admin.states import TYPE_WORDS, url
from maintenance.models import Window
from maintenance.rules import Status, Type
from sysops.dashboard.parts import MOST, Coming, Step, Wrong, first
from sysops.kernel.words import utc_words

AHEAD = timedelta(days=7)
GIVE_UP = timedelta(days=7)  # a window that was never started is news for a week
COMING = 8


def wrong(*, now: datetime) -> list[Wrong]:
    """Windows that overrun, that nobody started, that something forbids to start."""
    found = first(list(_overrunning()), "more windows overrun", "admin:maintenance_window_changelist")
    return found + first(
        list(_not_started(now)), "more windows were not started", "admin:maintenance_window_changelist"
    )


def running() -> list[Window]:
    """Windows in progress, the one that ends first on top."""
    rows = Window.objects.filter(status=Status.IN_PROGRESS.value).order_by("scheduled_end", "pk")
    return list(rows.prefetch_related("affected__service")[: MOST * 2])


def coming(*, now: datetime) -> list[Coming]:
    """The next windows."""
    rows = Window.objects.filter(
        status=Status.SCHEDULED.value, scheduled_start__gt=now, scheduled_start__lte=now + AHEAD
    ).order_by("scheduled_start", "pk")
    return [
        Coming(
            row.scheduled_start,
            "",
            row.title,
            f"{TYPE_WORDS[Type(row.maintenance_type)]} maintenance until {utc_words(row.scheduled_end)}",
            url(row),
        )
        for row in rows[:COMING]
    ]


def _overrunning() -> Iterator[Wrong]:
    rows = Window.objects.filter(status=Status.IN_PROGRESS.value, overrunning_since__isnull=False)
    for row in rows.order_by("overrunning_since", "pk")[:50]:
        steps = (Step("Extend it", url(row, "extend")), Step("Complete it", url(row, "complete")))
        detail = f"It was to end at {utc_words(row.scheduled_end)}. Its alerts are still held back."
        yield Wrong(True, f"Maintenance “{row.title}” overruns", detail, row.overrunning_since, steps)


def _not_started(now: datetime) -> Iterator[Wrong]:
    late = Window.objects.filter(
        status=Status.SCHEDULED.value, scheduled_start__lte=now, scheduled_end__gt=now - GIVE_UP
    )
    for row in late.order_by("scheduled_start", "pk")[:50]:
        over = row.scheduled_end <= now
        title = f"Maintenance “{row.title}” {'was never started' if over else 'has not started'}"
        again = Step("Reschedule it", url(row, "edit"))
        steps = (again, Step("Cancel it", url(row, "cancel"))) if over else (Step("Start it", url(row, "start")), again)
        yield Wrong(bool(row.start_refused_because), title, row.start_refused_because, row.scheduled_start, steps)
