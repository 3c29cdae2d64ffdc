"""Bringing the windows of a series in line with it after it was changed or ended.

The change marks them, in its own transaction; each is then worked on in one of its own, now or, should the worker die,
at the next run. All in one would hold services and the audit log for seconds, and stand in a circle with who waits.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from maintenance import plans, series_plans
from maintenance.models import Series, SeriesNote, Window, WrongState
from maintenance.plans import Plan
from maintenance.recurrence import Occurrence
from maintenance.rules import NoticeKind, Status
from maintenance.series_plans import MADE_AHEAD, SeriesPlan
from maintenance.services import running, scheduling, series_notes, series_telling
from sysops.access.actors import Actor

logger = logging.getLogger(__name__)

_CHANGED = "The series was changed; this occurrence is not part of it any more."
_ENDED = "The series has ended."


def mark(series: Series, *, old: SeriesPlan, new: SeriesPlan, at: datetime) -> None:
    """Mark the windows to come that are as the old plan made them, and tell people once. In the change's transaction.

    A window that was moved, changed, cancelled or skipped singly stays so, and stands for the occurrence of its day.
    """
    windows = _locked(Window.objects.filter(series=series, occurrence__gt=at))
    last = max([at + MADE_AHEAD, *(w.occurrence for w in windows if w.occurrence)]) + timedelta(days=2)
    places = _Places(old, new, at=at, until=last)
    as_made = {each.named: each for each in series_plans.occurrences(old, after=at, before=last)}
    untouched = [window for window in windows if window.behind_series or _is_as_made(window, old, as_made)]
    kept = [window for window in windows if window not in untouched]
    _keep_notes(series, places, decided={w.occurrence for w in kept if w.occurrence}, at=at)
    targets = {window.pk: places.take(window.occurrence) for window in [*kept, *untouched]}
    # All at once first: one window may come to stand for the occurrence another one stood for.
    Window.objects.filter(pk__in=targets).update(occurrence=None)
    for window in windows:
        target = targets[window.pk]
        window.occurrence, window.behind_series = (target.named if target else None), window in untouched
    Window.objects.bulk_update(windows, ["occurrence", "behind_series"])
    _tell(series, [(window, targets[window.pk]) for window in untouched], old, new, at=at)


def mark_all(series: Series, *, reason: str, at: datetime) -> list[Window]:
    """The windows of a series that ends which have not begun, marked to be cancelled. In the transaction that ends it.

    Also one that a gate keeps waiting: it would begin after the series has ended.
    """
    waiting = Window.objects.filter(series=series, status=Status.SCHEDULED.value, scheduled_end__gt=at)
    windows = _locked(waiting)
    Window.objects.filter(pk__in=[window.pk for window in windows]).update(behind_series=True, cancel_reason=reason)
    return sorted(windows, key=lambda window: (window.scheduled_start, window.pk))


def catch_up(series: Series, *, by: Actor, at: datetime, stop: float | None = None) -> int:
    """Work on what is marked, until `stop`; how many windows were. Twice does nothing more than once.

    One that fails unexpectedly keeps no other from following; what it raised is raised at the end.
    """
    pending = list(Window.objects.filter(series=series, behind_series=True).order_by("scheduled_start", "pk"))
    named = [window.occurrence for window in pending if window.occurrence]
    plan, found = series_plans.of(series), {}
    if named:
        ahead = series_plans.occurrences(plan, after=min(named), before=max(named) + timedelta(seconds=1))
        found = {each.named: each for each in ahead}
    pairs = [(window, found.get(window.occurrence) if window.occurrence else None) for window in pending]
    # Away from each other: into the time of the next one only once that one has left it.
    later = any(target and target.start > window.scheduled_start for window, target in pairs)
    done = 0
    failures: list[Exception] = []
    for window, target in reversed(pairs) if later else pairs:
        if stop is not None and time.monotonic() >= stop:
            break
        try:
            done += _follow(series.pk, window.pk, target, plan, by=by, at=at)
        except Exception as exc:
            logger.exception("Window %s could not follow its series", window.pk)
            failures.append(exc)
    if failures:
        raise ExceptionGroup("Windows that could not follow their series", failures)
    return done


def _locked(windows: QuerySet[Window]) -> list[Window]:
    return list(windows.select_for_update(of=("self",), no_key=True).order_by("pk"))


class _Places:
    """The occurrences of the new plan; each is taken once, by its very time or else by its day."""

    def __init__(self, old: SeriesPlan, new: SeriesPlan, *, at: datetime, until: datetime) -> None:
        self._old_zone, zone = series_plans.zone_of(old), series_plans.zone_of(new)
        found = series_plans.occurrences(new, after=at, before=until)
        self._by_time = {each.named: each for each in found}
        self._by_day: dict[date, Occurrence] = {each.start.astimezone(zone).date(): each for each in found}

    def look(self, occurrence: datetime | None) -> Occurrence | None:
        if occurrence is None:
            return None
        found = self._by_time.get(occurrence) or self._by_day.get(occurrence.astimezone(self._old_zone).date())
        return found if found and found.named in self._by_time else None

    def take(self, occurrence: datetime | None) -> Occurrence | None:
        found = self.look(occurrence)
        return self._by_time.pop(found.named) if found else None


def _is_as_made(window: Window, old: SeriesPlan, as_made: dict[datetime, Occurrence]) -> bool:
    if window.status != Status.SCHEDULED or window.start_asked_at is not None or window.occurrence is None:
        return False
    occurrence = as_made.get(window.occurrence)
    return occurrence is not None and _same(plans.of(window), series_plans.window_plan(old, occurrence))


def _same(one: Plan, other: Plan) -> bool:
    by_key = [sorted(service.pk for service in plan.services) for plan in (one, other)]
    return by_key[0] == by_key[1] and replace(one, services=()) == replace(other, services=())


def _keep_notes(series: Series, places: _Places, *, decided: set[datetime], at: datetime) -> None:
    """What was skipped stays skipped on its day; whether something is in conflict is found anew.

    A skipped occurrence whose window was cancelled has its place through that window, which takes it itself.
    """
    notes = series.notes.filter(occurrence__gt=at)
    skipped = list(notes.filter(skipped=True).order_by("occurrence"))
    notes.delete()
    kept = {
        target.named: note
        for note in skipped
        for target in [places.look(note.occurrence) if note.occurrence in decided else places.take(note.occurrence)]
        if target
    }
    SeriesNote.objects.bulk_create(
        SeriesNote(series=series, occurrence=named, skipped=True, reason=note.reason, at=note.at)
        for named, note in kept.items()
    )


def _tell(
    series: Series, pairs: Sequence[tuple[Window, Occurrence | None]], old: SeriesPlan, new: SeriesPlan, *, at: datetime
) -> None:
    """Say once that occurrences take place at other times, or affect other services; nothing when neither is so."""
    others = {service.pk for service in old.services} != {service.pk for service in new.services}
    differing = [
        (window, target)
        for window, target in pairs
        if others or target is None or (window.scheduled_start, window.scheduled_end) != (target.start, target.end)
    ]
    if differing:
        window, target = min(differing, key=lambda pair: pair[0].scheduled_start)
        target = target or next(iter(series_plans.coming(new, after=at, most=1)), None)
        if target:
            series_telling.changed(series, new, window, target, at=at)


def _follow(
    series_id: int, window_id: int, target: Occurrence | None, plan: SeriesPlan, *, by: Actor, at: datetime
) -> bool:
    """Whether the window was marked, and is now as its series has it, or cancelled."""
    with transaction.atomic():
        series = Series.objects.select_for_update(no_key=True).get(pk=series_id)
        window = Window.objects.get(pk=window_id)
        if not window.behind_series or series_plans.of(series) != plan:
            return False  # somebody else was quicker, or changed the series once more and works on it
        try:
            if series.ended_at is not None:
                _cancel(window, window.cancel_reason or _ENDED, by=by, at=at)
            elif target is None:
                _cancel(window, _CHANGED, by=by, at=at)
            else:
                _move(series, window, target, plan, by=by, at=at)
        except WrongState:  # somebody has just started or cancelled it: it stays as it is
            Window.objects.filter(pk=window_id).exclude(status=Status.CANCELLED.value).update(cancel_reason="")
        Window.objects.filter(pk=window_id).update(behind_series=False)
    return True


def _move(series: Series, window: Window, target: Occurrence, plan: SeriesPlan, *, by: Actor, at: datetime) -> None:
    wanted = series_plans.window_plan(plan, target)
    changes = {name: getattr(wanted, name) for name in plans.FIELDS - {"maintenance_type"}}
    try:
        scheduling.change(window, changes, by=by, at=at)
    except (scheduling.Conflicts, scheduling.BadWindow) as exc:
        # People were told of the series' new times: of this one they hear that it does not take place.
        Window.objects.filter(pk=window.pk).update(occurrence=None)  # so that it can be made once nothing is in the way
        running.cancel(window, reason=f"At its new time it is not possible: {exc}"[:500], by=by, at=at)
        series_notes.note_conflict(series, target.named, str(exc), by=by, at=at)
        return
    Window.objects.filter(pk=window.pk).update(note=target.note[:500])
    series_telling.keep_to_the_series(window, NoticeKind.RESCHEDULED, at=at)


def _cancel(window: Window, reason: str, *, by: Actor, at: datetime) -> None:
    running.cancel(window, reason=reason, by=by, at=at)
    series_telling.keep_to_the_series(window, NoticeKind.CANCELLED, at=at)
