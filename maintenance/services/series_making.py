"""Making the windows of series ahead: each occurrence by itself, so that one in the way of another keeps none else."""

import logging
import time
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q

from maintenance import series_plans
from maintenance.models import Series, SeriesNote, Window
from maintenance.recurrence import Occurrence
from maintenance.series_plans import MADE_AHEAD, SeriesPlan
from maintenance.services import scheduling, series_notes, series_remaking, series_telling
from sysops.access.actors import Actor
from sysops.kernel.clock import Clock

logger = logging.getLogger(__name__)

WORK_FOR = timedelta(seconds=120)  # what is left then is made at the next run


def make_ahead(*, now: Clock, by: Actor, work_for: timedelta = WORK_FOR) -> int:
    """Make the windows of the next 60 days that are not there yet; how many were made.

    Those furthest behind come first. Run twice, or by two workers at once, it makes each window once. A series that
    fails unexpectedly keeps no other waiting; what it raised is raised at the end.
    """
    made, stop = 0, time.monotonic() + work_for.total_seconds()
    failures: list[Exception] = []
    behind = Window.objects.filter(behind_series=True).values("series")
    wanting = Series.objects.filter(Q(ended_at=None) | Q(pk__in=behind))
    wanting = wanting.order_by(F("made_until").asc(nulls_first=True), "pk")
    for pk in list(wanting.values_list("pk", flat=True)):
        if time.monotonic() >= stop:
            break
        try:
            made += make(Series.objects.get(pk=pk), by=by, at=now(), stop=stop)
        except Exception as exc:
            logger.exception("The windows of series %s could not be made", pk)
            failures.append(exc)  # raised below, once the others have had their turn
    if failures:
        raise ExceptionGroup("Series that could not be worked on", failures)
    return made


def make(series: Series, *, by: Actor, at: datetime, stop: float | None = None) -> int:
    """Make what is missing of one series; how many windows were made. Conflicts are noted and tried again later."""
    series_remaking.catch_up(series, by=by, at=at, stop=stop)
    if series.ended_at is not None:
        return 0
    plan, until = series_plans.of(series), at + MADE_AHEAD
    known = set(Window.objects.filter(series=series, occurrence__gt=at).values_list("occurrence", flat=True))
    skipped = set(series.notes.filter(skipped=True, occurrence__gt=at).values_list("occurrence", flat=True))
    made = 0
    for occurrence in series_plans.occurrences(plan, after=at, before=until):
        if occurrence.named in known or occurrence.named in skipped or occurrence.start <= at:
            continue
        if stop is not None and time.monotonic() >= stop:
            return made
        made += _make_one(series, plan, occurrence, by=by, at=at)
    Series.objects.filter(pk=series.pk, ended_at=None).update(made_until=until)
    series.made_until = until
    return made


def _make_one(series: Series, plan: SeriesPlan, occurrence: Occurrence, *, by: Actor, at: datetime) -> bool:
    """Whether the window was made now."""
    with transaction.atomic():
        # Held until the commit: two makers would find each other's window in the way of their own.
        fresh = Series.objects.select_for_update(no_key=True).get(pk=series.pk)
        if not _wanted(fresh, plan, occurrence):
            return False
        first = not Window.objects.filter(series=fresh).exists()
        try:
            window = scheduling.schedule(
                series_plans.window_plan(plan, occurrence),
                series=fresh,
                occurrence=occurrence.named,
                note=occurrence.note,
                by=by,
                at=at,
            )
        except (scheduling.Conflicts, scheduling.BadWindow) as exc:
            series_notes.note_conflict(fresh, occurrence.named, str(exc), by=by, at=at)
            return False
        SeriesNote.objects.filter(series=fresh, occurrence=occurrence.named).delete()
        if first:
            series_telling.scheduled(fresh, plan, window, at=at)
    return True


def _wanted(series: Series, plan: SeriesPlan, occurrence: Occurrence) -> bool:
    """Whether the occurrence is still to be made: the series may have ended or changed since it was looked at."""
    if series.ended_at is not None or series_plans.of(series) != plan:
        return False
    done = Window.objects.filter(series=series, occurrence=occurrence.named)
    skipped = SeriesNote.objects.filter(series=series, occurrence=occurrence.named, skipped=True)
    return not done.exists() and not skipped.exists()
