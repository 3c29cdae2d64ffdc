"""How a service is right now: the only module that writes it."""

from collections.abc import Collection
from datetime import datetime

from catalogue import records
from catalogue.models import Service
from catalogue.rules import State
from catalogue.services.rows import locked, one_change, tell
from sysops.access.actors import Actor


def set_state(
    service: Service,
    state: State,
    *,
    reason: str = "",
    until: datetime | None = None,
    only_from: Collection[State] = tuple(State),
    by: Actor,
    at: datetime,
) -> bool:
    """Whether the service is now in `state` because of this call.

    `only_from` names the states this caller may end: a passing check must not take a service out of maintenance.
    Nothing is told when nothing differs.
    """
    with one_change(records.called(service)):
        fresh = locked(service)
        old = State(fresh.state)
        wanted = {"state": state.value, "state_until": until, "state_reason": reason[:500]}
        if old not in only_from:
            return False
        if all(getattr(fresh, field) == value for field, value in wanted.items()):
            return False
        before = records.state_snapshot(fresh)
        for field, value in wanted.items():
            setattr(fresh, field, value)
        if state is not old:
            fresh.state_changed_at = at
        fresh.save(update_fields=[*wanted, "state_changed_at"])
        tell("state_changed", fresh, before=before, after=records.state_snapshot(fresh), by=by, at=at)
    for field in (*wanted, "state_changed_at"):
        setattr(service, field, getattr(fresh, field))
    return True
