"""What windows do to services while they run: their state in the catalogue, and back again afterwards."""

from collections.abc import Collection, Mapping
from datetime import datetime
from types import MappingProxyType

from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce

from catalogue.models import Service
from catalogue.rules import State
from catalogue.services.states import StateChange, set_states
from maintenance.models import Window, WindowService
from maintenance.rules import Status
from sysops.access.actors import Actor

_NOTHING: Mapping[int, str] = MappingProxyType({})


def remember(window: Window) -> None:
    """Note how each service is, before the window changes it. Call it with the services locked.

    A service that another window keeps in maintenance goes back, at the last one's end, to how it was before both.
    """
    running = WindowService.objects.filter(
        service=OuterRef("service"), window__status=Status.IN_PROGRESS.value, state_before__gt=""
    ).exclude(window=window)
    now = Service.objects.filter(pk=OuterRef("service"))
    window.affected.filter(state_before="").update(
        state_before=Coalesce(
            Subquery(running.order_by("pk").values("state_before")[:1]), Subquery(now.values("state")[:1])
        )
    )


def bring_about(
    services: Collection[int],
    *,
    by: Actor,
    at: datetime,
    begun: Collection[int] = (),
    before: Mapping[int, str] = _NOTHING,
) -> None:
    """Put each service into the state that the windows running on it, if any, give it. Call it with them locked.

    `begun` are those on which a window has just begun: what somebody has made of the others since is left as it is.
    `before` says for those whose window has ended how they were when it began: a service that was down is down again.
    """
    rows = WindowService.objects.filter(service__in=services, window__status=Status.IN_PROGRESS.value)
    running: dict[int, list[WindowService]] = {}
    for row in rows.select_related("window").order_by("window__scheduled_end", "window"):
        running.setdefault(row.service_id, []).append(row)
    new = frozenset(begun)
    changes = [
        _kept(running[pk], begun=pk in new) if pk in running else _given_back(pk, before) for pk in sorted(services)
    ]
    set_states(changes, by=by, at=at)


def _kept(rows: list[WindowService], *, begun: bool) -> StateChange:
    """In maintenance until the last of the windows that run on the service is over."""
    last = rows[-1].window
    return StateChange(
        service_id=rows[-1].service_id,
        state=State.MAINTENANCE,
        reason=last.title,
        until=last.scheduled_end,
        maintenance_mode=any(row.direct and row.window.maintenance_mode for row in rows),
        only_from=tuple(State) if begun else (State.MAINTENANCE,),
    )


def _given_back(service_id: int, before: Mapping[int, str]) -> StateChange:
    """As it was before; what somebody else has made of it since is left as it is."""
    state = State(before.get(service_id) or State.NORMAL)
    reason = "" if state is State.NORMAL else "As it was before the maintenance"
    return StateChange(service_id=service_id, state=state, reason=reason, only_from=(State.MAINTENANCE,))
