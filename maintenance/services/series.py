"""What can be done with series of windows; every change is audited and published."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from maintenance import records, series_plans
from maintenance.models import Series, SeriesNote, Window, WrongState
from maintenance.rules import FARTHEST, LONGEST_REASON, Status, text_problem
from maintenance.series_plans import SeriesPlan
from maintenance.services import running, series_making, series_remaking, series_telling
from maintenance.services.series_making import make_ahead
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.events import publish

__all__ = ["BadSeries", "change_series", "create_series", "end_series", "make_ahead", "skip"]

ENDED = "ended"


class BadSeries(Exception):
    """The series is not possible as it is wanted: `problems` says why, by the field of the API."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ".join(f"{field}: {text}" for field, text in problems.items()))
        self.problems = dict(problems)


def create_series(plan: SeriesPlan, *, by: Actor, at: datetime) -> Series:
    """The series of this plan, with the windows of its next 60 days; what stands in the way of some is in its notes.

    Raises BadSeries with what is wrong by field.
    """
    plan = _checked(plan, at=at)
    series = Series(slug=plan.slug, created_at=at, created_by=by.name)
    try:
        with transaction.atomic():
            _write(series, plan)
            _record("created", series, before=None, by=by, at=at)
    except IntegrityError:
        if not Series.objects.filter(slug=plan.slug).exists():
            raise
        raise BadSeries({"slug": f"There is a series {plan.slug!r} already."}) from None
    series_making.make(series, by=by, at=at)
    return series


def change_series(series: Series, changes: Mapping[str, object], *, by: Actor, at: datetime) -> Series:
    """The series with these fields of its SeriesPlan changed, and its windows to come with it.

    Windows that were changed by themselves, or have begun, stay as they are. Raises BadSeries, WrongState.
    """
    if unknown := set(changes) - series_plans.FIELDS:
        raise TypeError(f"A series has no {', '.join(sorted(unknown))}")
    with transaction.atomic():
        fresh = _locked_open(series)
        old = series_plans.of(fresh)
        wanted = replace(old, **changes)  # type: ignore[arg-type]
        if wanted.slug != old.slug:
            raise BadSeries({"slug": "It cannot be changed: others refer to it. End this series and make a new one."})
        wanted = _checked(wanted, at=at, old=old)
        before = _snapshot(fresh)
        _write(fresh, wanted)
        if _snapshot(fresh) == before:
            return fresh
        series_remaking.mark(fresh, old=old, new=wanted, at=at)
        _record("changed", fresh, before=before, by=by, at=at)
    series_making.make(fresh, by=by, at=at)
    return fresh


def end_series(series: Series, *, cancel_scheduled: bool, by: Actor, at: datetime, reason: str = "") -> int:
    """Make no more windows; with `cancel_scheduled`, those to come are cancelled too: how many were.

    What is being worked on goes on. Raises BadSeries, and WrongState when it has ended before.
    """
    words = _reason(reason) or "The series has ended."
    with transaction.atomic():
        fresh = _locked_open(series)
        before = _snapshot(fresh)
        fresh.ended_at = series.ended_at = at
        fresh.save(update_fields=["ended_at"])
        fresh.notes.filter(skipped=False, occurrence__gt=at).delete()
        windows = series_remaking.mark_all(fresh, reason=words, at=at) if cancel_scheduled else []
        if windows:
            plan = series_plans.of(fresh)
            series_telling.cancelled(fresh, plan, windows[0], count=len(windows), reason=words, at=at)
        _record(ENDED, fresh, before=before, by=by, at=at)
    series_remaking.catch_up(fresh, by=by, at=at)
    return len(windows)


def skip(series: Series, occurrence: datetime, *, by: Actor, at: datetime, reason: str = "") -> SeriesNote:
    """The note that this one occurrence does not take place; its window, if there is one, is cancelled.

    Skipped twice is skipped once. Raises BadSeries when the rule names no such start, and WrongState when its window
    has begun.
    """
    words = _reason(reason) or "This occurrence is skipped."
    with transaction.atomic():
        fresh = _locked_open(series)
        if problem := _no_occurrence(fresh, occurrence, at=at):
            raise BadSeries({"occurrence": problem})
        found = fresh.notes.filter(occurrence=occurrence, skipped=True).first()
        if found is not None:
            return found
        fresh.notes.filter(occurrence=occurrence).delete()  # that it was in conflict is of no interest now
        note = SeriesNote.objects.create(series=fresh, occurrence=occurrence, skipped=True, reason=words, at=at)
        window = Window.objects.filter(series=fresh, occurrence=occurrence).first()
        if window is not None and window.status != Status.CANCELLED:
            running.cancel(window, reason=words, by=by, at=at)
        facts: dict[str, object] = {"occurrence": occurrence.isoformat(), "reason": words}
        publish("maintenance.series.skipped", subject=fresh.pk, at=at, data={**facts, "by": str(by)})
        audit.record("maintenance.series.skipped", by=by, subject=fresh, at=at, after=facts)
    return note


def _reason(text: str) -> str:
    if problem := text_problem(text, longest=LONGEST_REASON):
        raise BadSeries({"reason": problem})
    return text.strip()


def _no_occurrence(series: Series, occurrence: datetime, *, at: datetime) -> str | None:
    """Why there is nothing to skip then, or None."""
    if occurrence <= at:
        return "It has passed; only an occurrence to come can be skipped."
    if occurrence > at + FARTHEST:
        return "It is more than a hundred years ahead."
    if Window.objects.filter(series=series, occurrence=occurrence).exists():
        return None
    plan = series_plans.of(series)
    if series_plans.occurrences(plan, after=occurrence, before=occurrence + timedelta(microseconds=1)):
        return None
    ahead = ", ".join(each.start.isoformat() for each in series_plans.coming(plan, after=at, most=3))
    return f"The rule names no start at {occurrence.isoformat()}. The next are: {ahead or 'none'}."


def _locked_open(series: Series) -> Series:
    """The series as it is now, ours until the end of the transaction. Before its windows, always."""
    fresh = Series.objects.select_for_update(no_key=True).get(pk=series.pk)
    if fresh.ended_at is not None:
        raise WrongState(f"The series {fresh.slug} has ended; make a new one.", current=ENDED)
    return fresh


def _checked(plan: SeriesPlan, *, at: datetime, old: SeriesPlan | None = None) -> SeriesPlan:
    plan = replace(plan, title=plan.title.strip(), first_start=plan.first_start.replace(microsecond=0))
    if problems := series_plans.problems(plan, at=at, old=old):
        raise BadSeries(problems)
    return series_plans.normal(plan)


def _write(series: Series, plan: SeriesPlan) -> None:
    series.title, series.description = plan.title, plan.description
    series.rule, series.time_zone, series.first_start = plan.rule, plan.time_zone, plan.first_start
    series.duration_seconds = int(plan.duration.total_seconds())
    series.starts_itself, series.completes_itself = plan.starts_itself, plan.completes_itself
    series.maintenance_mode = plan.maintenance_mode
    series.gates = [series_plans.stored_gate(gate) for gate in plan.gates]
    series.save()
    series.services.set(plan.services)


def _snapshot(series: Series) -> dict[str, object]:
    return {
        "slug": series.slug,
        "title": series.title,
        "description": series.description,
        "rule": series.rule,
        "time_zone": series.time_zone,
        "first_start": records.moment(series.first_start),
        "duration_seconds": series.duration_seconds,
        "services": list(series.services.order_by("slug").values_list("slug", flat=True)),
        "starts_itself": series.starts_itself,
        "completes_itself": series.completes_itself,
        "maintenance_mode": series.maintenance_mode,
        "gates": series.gates,
        "ended_at": records.moment(series.ended_at),
    }


def _record(what: str, series: Series, *, before: dict[str, object] | None, by: Actor, at: datetime) -> None:
    name, after = f"maintenance.series.{what}", _snapshot(series)
    publish(name, subject=series.pk, at=at, data={"slug": series.slug, "title": series.title, "by": str(by)})
    if before is not None:
        before, after = audit.differences(before, after)
    audit.record(name, by=by, subject=series, at=at, before=before, after=after)
