"""Scheduling windows, and changing what was scheduled."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from catalogue.models import Service
from catalogue.services.rows import keep_dependencies
from maintenance import plans, records, rules, selectors
from maintenance.models import Series, Window, WindowGate, WrongState
from maintenance.plans import GatePlan, Plan
from maintenance.rules import OPEN, GateState, NoticeKind, Status, Type
from maintenance.services import effects, holds, notices
from maintenance.services.holds import Conflicts, ServiceGone
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.events import publish

__all__ = ["BadWindow", "Conflicts", "change", "extend", "overlaps", "schedule"]

overlaps = selectors.overlaps


class BadWindow(Exception):
    """The window is not possible as it is wanted: `problems` says why, by the field of the API."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ".join(f"{field}: {text}" for field, text in problems.items()))
        self.problems = dict(problems)


def schedule(
    plan: Plan,
    *,
    by: Actor,
    at: datetime,
    series: Series | None = None,
    occurrence: datetime | None = None,
    note: str = "",
) -> Window:
    """The window of this plan, scheduled. An emergency may begin now, and is held up by nothing.

    Raises BadWindow with what is wrong by field, and Conflicts with the windows in the way.
    """
    plan = _checked(plan, at=at, series=series)
    start = plan.start or at
    window = Window(
        scheduled_start=start,
        planned_start=start,
        planned_duration_seconds=_seconds(plan.duration),
        series=series,
        occurrence=occurrence,
        note=note[:500],
        created_at=at,
        created_by=by.name,
    )
    _write_plan(window, plan, at=at)
    direct = {service.pk for service in plan.services}

    def write() -> Window:
        window.pk = None  # as new, when it is tried again
        window._state.adding = True
        keep_dependencies()
        reached = selectors.reached_keys(plan.services)
        _lock(direct | reached)
        holds.refuse_clashes(window, direct=direct, reached=reached)
        window.save(force_insert=True)
        holds.lay(window, direct=direct, reached=reached)
        _write_gates(window, plan.gates)
        _tell_scheduled(window, at=at)
        publish("maintenance.window.scheduled", subject=window.pk, at=at, data=_told(window, by))
        after = records.snapshot(window)
        audit.record("maintenance.window.scheduled", by=by, subject=window, at=at, after=after)
        return window

    return holds.all_or_named(write, clashes=lambda: _in_the_way_of(window, plan.services, but=None))


def change(window: Window, changes: Mapping[str, object], *, by: Actor, at: datetime) -> Window:
    """The window with these fields of its Plan changed, while it is scheduled; nothing is told when nothing differs.

    People hear of other times or services. Raises BadWindow, Conflicts, WrongState.
    """
    if unknown := set(changes) - plans.FIELDS:
        raise TypeError(f"A plan has no {', '.join(sorted(unknown))}")
    return holds.all_or_named(
        lambda: _change(window.pk, changes, by=by, at=at),
        clashes=lambda: _clashes_if(window.pk, changes),
    )


def extend(window: Window, *, duration: timedelta, by: Actor, at: datetime) -> Window:
    """The window, open, with this estimated duration from its scheduled start on; it overruns no more.

    Raises BadWindow, Conflicts, WrongState.
    """
    wanted = Window.objects.get(pk=window.pk)
    _set_duration(wanted, duration)
    return holds.all_or_named(
        lambda: _extend(window.pk, duration, by=by, at=at), clashes=lambda: holds.clashes_of(wanted)
    )


def _extend(window_id: int, duration: timedelta, *, by: Actor, at: datetime) -> Window:
    window = holds.locked(window_id)
    if window.status not in OPEN:
        raise WrongState(f"Window {window.pk} is {window.status}; it cannot be extended.", current=window.status)
    if problem := _extension_problem(window, duration, at=at):
        raise BadWindow({"estimated_duration_seconds": problem})
    before, old_end = records.snapshot(window), window.scheduled_end
    _set_duration(window, duration)
    window.overrunning_since, window.sequence, window.changed_at = None, window.sequence + 1, at
    services = set(window.affected.values_list("service_id", flat=True))
    _lock(services)
    holds.stretch(window)
    window.save()
    if window.status == Status.IN_PROGRESS:
        effects.bring_about(services, by=by, at=at)
    facts = _times_before(window.scheduled_start, old_end)
    notices.withdraw(window, [NoticeKind.OVERRUN], because="The window was extended", at=at)
    notices.tell(window, NoticeKind.EXTENDED, mark=str(window.sequence), facts=facts, at=at)
    _record("extended", window, before=before, by=by, at=at)
    return window


def _extension_problem(window: Window, duration: timedelta, *, at: datetime) -> str | None:
    problem = rules.duration_problem(duration)
    if problem:
        return problem
    if _seconds(duration) <= window.estimated_duration_seconds:
        return f"It lasts {window.estimated_duration_seconds} s already; give a longer duration."
    if rules.ends_at(start=window.scheduled_start, duration=duration) <= at:
        return "It would still be over already; give a duration that ends in the future."
    return None


def _change(window_id: int, changes: Mapping[str, object], *, by: Actor, at: datetime) -> Window:
    if "services" in changes:
        keep_dependencies()
    window = holds.locked(window_id)
    if window.status != Status.SCHEDULED:
        raise WrongState(
            f"Window {window.pk} is {window.status.replace('_', ' ')}; only a scheduled one is changed.",
            current=window.status,
        )
    old = plans.of(window)
    wanted = replace(old, **changes)  # type: ignore[arg-type]
    if wanted.maintenance_type is not old.maintenance_type:
        raise BadWindow({"maintenance_type": "It cannot be changed; cancel this window and schedule another one."})
    wanted = _checked(wanted, at=at, series=window.series, old=old)
    before, old_end = records.snapshot(window), window.scheduled_end
    window.scheduled_start = wanted.start or window.scheduled_start
    _write_plan(window, wanted, at=at)
    moved = (wanted.start, wanted.duration) != (old.start, old.duration)
    others = {s.pk for s in wanted.services} != {s.pk for s in old.services}
    told_also = set(window.affected.values_list("service_id", flat=True)) if others else set()
    if others:
        _take_other_services(window, wanted)
    elif moved:
        _lock(set(window.affected.values_list("service_id", flat=True)))
        holds.move(window)
    if list(wanted.gates) != list(old.gates):
        _write_gates(window, wanted.gates)
    after = records.snapshot(window)
    if after == before:
        return window
    window.sequence, window.changed_at = window.sequence + 1, at
    if moved:
        window.start_refused_because = ""
    if wanted.start != old.start:
        _forget_the_old_start(window)
    window.save()
    if moved or others:
        assert old.start is not None
        facts = {**_times_before(old.start, old_end), "also": sorted(told_also)}
        notices.tell(window, NoticeKind.RESCHEDULED, mark=str(window.sequence), facts=facts, at=at)
    if moved:
        notices.date(window, at=at)
    _record("changed", window, before=before, by=by, at=at)
    return window


def _forget_the_old_start(window: Window) -> None:
    """Nobody asked for the new start, and no gate has answered for it: else the tick would start it days early."""
    window.start_asked_at, window.start_asked_by = None, ""
    window.gates.update(state=GateState.UNASKED.value, reason="", facts={}, asked_at=None, preparing_since=None)


def _take_other_services(window: Window, wanted: Plan) -> None:
    direct = {service.pk for service in wanted.services}
    reached = selectors.reached_keys(wanted.services)
    _lock(direct | reached)
    holds.refuse_clashes(window, direct=direct, reached=reached)
    window.affected.all().delete()
    holds.lay(window, direct=direct, reached=reached)


def _clashes_if(window_id: int, changes: Mapping[str, object]) -> list[selectors.Clash]:
    """Who would be in the way of the changed window; asked when the database refused it."""
    window = Window.objects.get(pk=window_id)
    wanted = replace(plans.of(window), **changes)  # type: ignore[arg-type]
    window.scheduled_start = wanted.start or window.scheduled_start
    _set_duration(window, wanted.duration)
    return _in_the_way_of(window, wanted.services, but=window_id)


def _in_the_way_of(window: Window, services: Collection[Service], *, but: int | None) -> list[selectors.Clash]:
    return selectors.conflicts(
        direct=[service.pk for service in services],
        reached=selectors.reached_keys(services),
        start=window.scheduled_start,
        end=window.scheduled_end,
        but=but,
    )


def _checked(plan: Plan, *, at: datetime, series: Series | None, old: Plan | None = None) -> Plan:
    """The plan, tidied. Raises BadWindow. Of a changed window, only what changed is held against the clock."""
    plan = replace(plan, title=plan.title.strip(), duration=timedelta(seconds=_seconds(plan.duration)))
    if plan.start is not None and plan.start.tzinfo is not None:
        plan = replace(plan, start=plan.start.astimezone(UTC))
    problems = plans.problems(plan, at=at)
    if old is not None and plan.start == old.start:
        problems.pop("scheduled_start_time", None)  # it may have passed: the window is waited for
        assert plan.start is not None
        if plan.duration != old.duration and plan.start + min(plan.duration, rules.LONGEST_DURATION) <= at:
            problems.setdefault("estimated_duration_seconds", "It would be over already; give a longer duration.")
    if plan.maintenance_type is Type.RECURRING and series is None:
        problems["maintenance_type"] = "Recurring windows are made by a series; schedule a planned one."
    if problems:
        raise BadWindow(problems)
    return plan


def _write_plan(window: Window, plan: Plan, *, at: datetime) -> None:
    window.maintenance_type = plan.maintenance_type.value
    window.title, window.description, window.time_zone = plan.title, plan.description, plan.time_zone
    window.starts_itself, window.completes_itself = plan.starts_itself, plan.completes_itself
    window.maintenance_mode = plan.maintenance_mode
    window.changed_at = at
    _set_duration(window, plan.duration)


def _set_duration(window: Window, duration: timedelta) -> None:
    window.estimated_duration_seconds = _seconds(duration)
    window.scheduled_end = rules.ends_at(start=window.scheduled_start, duration=duration)


def _write_gates(window: Window, wanted: Collection[GatePlan]) -> None:
    window.gates.all().delete()
    WindowGate.objects.bulk_create(
        WindowGate(window=window, gate=plan.gate, settings=dict(plan.settings), prepare=plan.prepare) for plan in wanted
    )


def _tell_scheduled(window: Window, *, at: datetime) -> None:
    """The first occurrence tells of its series; each further one is told of a day ahead, not two months."""
    others = Window.objects.filter(series=window.series_id).exclude(pk=window.pk)
    if window.series_id is None or not others.exists():
        notices.tell(window, NoticeKind.SCHEDULED, at=at)
    notices.date(window, at=at)


def _lock(keys: Collection[int]) -> None:
    try:
        holds.lock_services(keys)
    except ServiceGone as exc:
        raise BadWindow({"affected_services": str(exc)}) from exc


def _record(what: str, window: Window, *, before: dict[str, object], by: Actor, at: datetime) -> None:
    publish(f"maintenance.window.{what}", subject=window.pk, at=at, data=_told(window, by))
    old, new = audit.differences(before, records.snapshot(window))
    audit.record(f"maintenance.window.{what}", by=by, subject=window, at=at, before=old, after=new)


def _told(window: Window, by: Actor) -> dict[str, object]:
    return {"title": window.title, "status": window.status, "by": str(by)}


def _times_before(start: datetime, end: datetime) -> dict[str, object]:
    return {"previous_start_at": records.moment(start), "previous_end_at": records.moment(end)}


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())
