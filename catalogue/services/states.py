"""How services are right now: the only module that writes it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from catalogue import records
from catalogue.models import Service
from catalogue.rules import State
from catalogue.services.rows import one_change
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.events import publish_many

_CHANGED = "catalogue.service.state_changed"
_FIELDS = ("state", "state_until", "state_reason", "maintenance_mode", "state_changed_at")


@dataclass(frozen=True)
class StateChange:
    """What one service is to become.

    `only_from` names the states this caller may end: a passing check must not take a service out of maintenance.
    `maintenance_mode` tells the service's own proxy to turn users away; None leaves it as it is. It only exists in
    state maintenance: whatever ends that state lets users in again.
    """

    service_id: int
    state: State
    reason: str = ""
    until: datetime | None = None
    maintenance_mode: bool | None = None
    only_from: Collection[State] = tuple(State)


def set_states(changes: Sequence[StateChange], *, by: Actor, at: datetime) -> list[Service]:
    """The services that are different because of this call, as they are now, in the order of `changes`.

    All or nothing, with one lock per row in the order of their keys, so that two callers never wait for each other.
    Nothing is told of a service that is so already, and one that was deleted meanwhile is passed over. Raises
    ValueError when a service is named twice.
    """
    if len({change.service_id for change in changes}) != len(changes):
        raise ValueError("A service is named twice in one change of states")
    with one_change("these services"):
        rows = _locked([change.service_id for change in changes])
        wanted = [(rows[change.service_id], change) for change in changes if change.service_id in rows]
        before = {row.pk: records.state_snapshot(row) for row, _ in wanted}
        changed = [row for row, change in wanted if _apply(row, change, at=at)]
        _save(changed)
        _tell(changed, before, by=by, at=at)
    return changed


def set_state(
    service: Service,
    state: State,
    *,
    reason: str = "",
    until: datetime | None = None,
    maintenance_mode: bool | None = None,
    only_from: Collection[State] = tuple(State),
    by: Actor,
    at: datetime,
) -> bool:
    """Whether the service is different because of this call; see StateChange."""
    change = StateChange(service.pk, state, reason, until, maintenance_mode, only_from)
    for fresh in set_states([change], by=by, at=at):
        for field in _FIELDS:
            setattr(service, field, getattr(fresh, field))
        return True
    return False


def _locked(ids: Collection[int]) -> dict[int, Service]:
    rows = Service.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")
    return {row.pk: row for row in rows}


def _apply(row: Service, change: StateChange, *, at: datetime) -> bool:
    """Whether the row differs now; it is not saved yet."""
    if State(row.state) not in change.only_from:
        return False
    mode = row.maintenance_mode if change.maintenance_mode is None else change.maintenance_mode
    values: dict[str, object] = {
        "state": change.state.value,
        "state_until": change.until,
        "state_reason": change.reason[:500],
        "maintenance_mode": mode and change.state is State.MAINTENANCE,
    }
    if all(getattr(row, field) == value for field, value in values.items()):
        return False
    if row.state != change.state:
        row.state_changed_at = at
    for field, value in values.items():
        setattr(row, field, value)
    return True


def _save(rows: Sequence[Service]) -> None:
    """One UPDATE for all that become the same: mostly one, where bulk_update would compose a slow CASE per row."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for row in rows:
        alike.setdefault(tuple(getattr(row, field) for field in _FIELDS), []).append(row.pk)
    for values, keys in alike.items():
        Service.objects.filter(pk__in=keys).update(**dict(zip(_FIELDS, values, strict=True)))


def _tell(rows: Sequence[Service], before: dict[int, dict[str, object]], *, by: Actor, at: datetime) -> None:
    pairs = [(row, before[row.pk], records.state_snapshot(row)) for row in rows]
    facts: dict[str, dict[str, object]] = {
        records.key(row): {"before": was, "after": now, "by": str(by)} for row, was, now in pairs
    }
    publish_many(_CHANGED, facts, at=at)
    if pairs:  # last: other writers of the log wait until we commit
        audit.record_many([audit.Note(_CHANGED, row, *audit.differences(*both)) for row, *both in pairs], by=by, at=at)
