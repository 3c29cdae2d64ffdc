"""What stands on the services of a window, kept true while dependencies change."""

import logging
from collections.abc import Collection
from datetime import datetime

from django.db import IntegrityError, transaction
from psycopg.errors import ExclusionViolation

from catalogue import selectors as catalogue
from catalogue.models import Service
from maintenance import selectors
from maintenance.models import Window, WindowService
from maintenance.rules import OPEN, Status
from maintenance.services import effects, holds
from sysops.access.actors import Actor

logger = logging.getLogger(__name__)


def of(window: Window) -> set[int]:
    """What the window reaches by the dependencies of now."""
    direct = list(Service.objects.filter(windows__window=window, windows__direct=True))
    return selectors.reached_keys(direct)


def refresh(changed: Collection[str], *, by: Actor, at: datetime) -> int:
    """Bring every open window in step that stands below these services, by slug; how many were not.

    Call it with what a service began or ceased to depend on.
    """
    ends = list(Service.objects.filter(slug__in=list(changed)))
    below = {service.pk for service in [*ends, *catalogue.requirements_of(ends)]}
    rows = WindowService.objects.filter(service__in=below, direct=True, window__status__in=[s.value for s in OPEN])
    keys = rows.order_by("window").values_list("window", flat=True).distinct()
    return sum(_refresh(key, by=by, at=at) for key in list(keys))


def _refresh(window_id: int, *, by: Actor, at: datetime) -> bool:
    with transaction.atomic():
        window = holds.locked(window_id)
        if window.status not in OPEN:
            return False
        reached = of(window)
        states = dict(window.affected.filter(direct=False).values_list("service_id", "state_before"))
        touched = reached ^ set(states)
        if not touched:
            return False
        holds.lock_services(touched)
        align(window, reached)
        if window.status == Status.IN_PROGRESS:
            effects.remember(window)
            effects.bring_about(touched, begun=reached, before=states, by=by, at=at)
        return True


def align(window: Window, reached: Collection[int]) -> None:
    """Make the window's reached rows these. Call it with window and services locked.

    What was agreed stays agreed: a service on which another window is in the way is affected all the same, holds
    nothing, and the window notes it.
    """
    wanted = set(reached)
    known = set(window.affected.filter(direct=False).values_list("service_id", flat=True))
    window.affected.filter(direct=False, service__in=known - wanted).delete()
    for service_id in sorted(wanted - known):
        _add(window, service_id)


def _add(window: Window, service_id: int) -> None:
    row = WindowService(
        window=window, service_id=service_id, direct=False, holds=holds.holding(window), period=holds.period(window)
    )
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as exc:
        if not isinstance(exc.__cause__, ExclusionViolation):
            raise
        row.holds = False
        row.save(force_insert=True)
        _note(window, row.service)


def _note(window: Window, service: Service) -> None:
    span = holds.period(window)
    clashes = selectors.conflicts(direct=[], reached=[service.pk], start=span.lower, end=span.upper, but=window.pk)
    others = ", ".join(str(clash.window.pk) for clash in clashes) or "another one"
    said = f"Reaches {service.slug} since its dependencies changed, on which window {others} works in the same time."
    window.note = f"{window.note} {said}".strip()[:500]
    Window.objects.filter(pk=window.pk).update(note=window.note)
    logger.warning("Window %s: %s", window.pk, said)
