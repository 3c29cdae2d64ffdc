"""Time passes without anybody: windows start, complete and overrun by themselves, notices fall due (SPEC M6, M12)."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from maintenance import records
from maintenance.models import Notice, Window, WindowGate, WrongState
from maintenance.rules import NoticeKind, Status
from maintenance.services import notices, reports, running
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.events import publish
from sysops.kernel.clock import Clock

logger = logging.getLogger(__name__)

TICK = Actor.task("maintenance.tick")
AT_ONCE = 200  # windows of one kind in one tick; the next tick is seconds away


@dataclass(frozen=True)
class Ticked:
    """How many windows started, were given up, completed, overran, and how many notices were settled."""

    started: int
    left: int
    completed: int
    overrun: int
    settled: int


def tick(*, now: Clock) -> Ticked:
    """Do what is due. Any number of these at once, at any time, do it once; one window that fails stops no other."""
    # Ends before starts: the next window on a service is not refused because of one that ends at the same time.
    completed = _each(_keys(_due_to_complete(now())), lambda pk: _complete(pk, now()))
    overrun = _each(_keys(_newly_late(now())), lambda pk: _overrun(pk, now()))
    left = _each(_keys(_too_late(now())), lambda pk: running.leave(pk, by=TICK, at=now()))
    settled = notices.settle_due(now=now())
    # Last what asks other apps: one that never answers is the end of this tick, and of each one after it.
    started = _each(_keys(_to_start(now())), lambda pk: _start(pk, now))
    _each(_keys(_unreported()), lambda pk: _report(pk, now()))
    return Ticked(started=started, left=left, completed=completed, overrun=overrun, settled=settled)


def _each(keys: Iterable[int], act: Callable[[int], bool]) -> int:
    done = 0
    for pk in keys:
        try:
            done += act(pk)
        except Exception:  # the one place that keeps a window that fails from stopping the others; tried next tick
            logger.exception("Window %s could not be worked on", pk)
    return done


def _keys(windows: QuerySet[Window]) -> list[int]:
    return list(windows.values_list("pk", flat=True)[:AT_ONCE])


def _scheduled() -> QuerySet[Window]:
    """Not those that have yet to follow their series: people may have been told that they do not take place."""
    waiting = Window.objects.filter(status=Status.SCHEDULED.value, behind_series=False)
    return waiting.order_by("scheduled_start", "pk")


def _to_start(now: datetime) -> QuerySet[Window]:
    """Those that start themselves, and those whose start was asked for while a gate prepared.

    Without gates first: they wait for nobody's answer.
    """
    by_itself = Q(starts_itself=True, scheduled_start__lte=now)
    due = _scheduled().filter(by_itself | Q(start_asked_at__isnull=False), scheduled_end__gt=now)
    return due.order_by(Exists(WindowGate.objects.filter(window=OuterRef("pk"))), "scheduled_start", "pk")


def _too_late(now: datetime) -> QuerySet[Window]:
    told = Notice.objects.filter(
        window=OuterRef("pk"), kind=NoticeKind.START_REFUSED.value, due_at__gte=OuterRef("scheduled_end")
    )
    waited = Q(starts_itself=True) | Q(start_asked_at__isnull=False)
    return _scheduled().filter(waited, ~Exists(told), scheduled_start__lte=now, scheduled_end__lte=now)


def _late(now: datetime) -> QuerySet[Window]:
    late = Window.objects.filter(status=Status.IN_PROGRESS.value, scheduled_end__lte=now)
    return late.order_by("scheduled_end", "pk")


def _due_to_complete(now: datetime) -> QuerySet[Window]:
    return _late(now).filter(completes_itself=True)


def _newly_late(now: datetime) -> QuerySet[Window]:
    return _late(now).filter(overrunning_since=None)


def _unreported() -> QuerySet[Window]:
    """Completed by somebody who died before the report was there."""
    return Window.objects.filter(status=Status.COMPLETED.value, report__isnull=True).order_by("pk")


def _start(window_id: int, now: Clock) -> bool:
    try:
        running.start(window_id, by=TICK, at=now, unattended=True)
    except (running.NotYet, running.Conflicts, WrongState) as exc:
        logger.info("Window %s does not start now: %s", window_id, exc)
        return False
    return True


def _complete(window_id: int, at: datetime) -> bool:
    try:
        running.complete(Window.objects.get(pk=window_id), by=TICK, at=at)
    except WrongState as exc:
        logger.info("Window %s is not completed: %s", window_id, exc)
        return False
    return True


def _overrun(window_id: int, at: datetime) -> bool:
    """Whether the window overruns from now on, and everybody affected and on-call are told."""
    with transaction.atomic():
        late = _newly_late(at).filter(pk=window_id)
        window = late.select_for_update(skip_locked=True, no_key=True).first()
        if window is None:
            return False
        window.overrunning_since = window.scheduled_end
        window.save(update_fields=["overrunning_since"])
        notices.tell(window, NoticeKind.OVERRUN, mark=window.scheduled_end.isoformat(), at=at)
        data = {"title": window.title, "since": records.moment(window.overrunning_since)}
        publish("maintenance.window.overrunning", subject=window.pk, at=at, data=data)
        audit.record("maintenance.window.overrunning", by=TICK, subject=window, at=at, after=data)
        return True


def _report(window_id: int, at: datetime) -> bool:
    reports.freeze(Window.objects.get(pk=window_id), at=at)
    return True
