"""The catalogue as a document holds it. Reads only, in a fixed number of queries."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, time

from catalogue import records
from catalogue.documents import FIELDS, KEYS, Values
from catalogue.models import (
    ContactAddress,
    Dependency,
    Environment,
    Host,
    Membership,
    Person,
    Rota,
    Rotation,
    RotationTurn,
    Service,
    Subscription,
    Team,
)
from catalogue.rules import SubscriptionState

Known = dict[str, dict[tuple[str, ...], Values]]


def known() -> Known:
    """Every entry of the catalogue by list and key, with its values as `catalogue.documents` checks them."""
    return {
        name: {tuple(str(entry[field]) for field in KEYS[name]): entry for entry in read()}
        for name, read in _READERS.items()
    }


def as_document() -> dict[str, object]:
    """The whole catalogue as a document. Accounts, states and what happened are no part of it."""
    return {
        name: [as_json({field: entry[field] for field in FIELDS[name]}) for entry in entries.values()]
        for name, entries in known().items()
    }


def as_json(value: object) -> object:
    """The same in JSON: days and times of day as text."""
    match value:
        case time():
            return records.clock(value)
        case date():
            return value.isoformat()
        case dict():
            return {name: as_json(part) for name, part in value.items()}
        case list():
            return [as_json(part) for part in value]
    return value


def _environments() -> Iterable[Values]:
    for row in Environment.objects.order_by("slug"):
        yield {"slug": row.slug, "name": row.name, "is_production": row.is_production}


def _hosts() -> Iterable[Values]:
    for name, environment, description in Host.objects.order_by("name").values_list(
        "name", "environment__slug", "description"
    ):
        yield {"name": name, "environment": environment, "description": description}


def _people() -> Iterable[Values]:
    contacts: dict[int, list[object]] = {}
    for person, channel, address in ContactAddress.objects.order_by("position", "pk").values_list(
        "person_id", "channel", "address"
    ):
        contacts.setdefault(person, []).append({"channel": channel, "address": address})
    for row in Person.objects.select_related("user").order_by("slug"):
        yield {
            "slug": row.slug,
            "name": row.name,
            "time_zone": row.time_zone,
            "quiet_from": row.quiet_from,
            "quiet_until": row.quiet_until,
            "user": row.user.get_username() if row.user else None,
            "contacts": contacts.get(row.pk, []),
        }


def _teams() -> Iterable[Values]:
    members = _grouped(Membership.objects.order_by("person__slug").values_list("team_id", "person__slug"))
    for row in Team.objects.select_related("lead").order_by("slug"):
        lead = row.lead.slug if row.lead else None
        yield {"slug": row.slug, "name": row.name, "lead": lead, "members": members.get(row.pk, [])}


def _services() -> Iterable[Values]:
    needs = _grouped(Dependency.objects.order_by("requires__slug").values_list("service_id", "requires__slug"))
    for row in Service.objects.select_related("owner_team", "environment").order_by("slug"):
        yield {
            "slug": row.slug,
            "name": row.name,
            "kind": row.kind,
            "tier": row.tier,
            "owner_team": row.owner_team.slug if row.owner_team else None,
            "environment": row.environment.slug if row.environment else None,
            "depends_on": needs.get(row.pk, []),
        }


def _subscriptions() -> Iterable[Values]:
    rows = Subscription.objects.filter(person__isnull=False, state=SubscriptionState.CONFIRMED.value)
    for service, person in rows.order_by("service__slug", "person__slug").values_list("service__slug", "person__slug"):
        yield {"service": service, "person": person}


def _rotas() -> Iterable[Values]:
    people = _grouped(RotationTurn.objects.order_by("position", "pk").values_list("rotation_id", "person__slug"))
    rotations: dict[int, list[object]] = {}
    for row in Rotation.objects.order_by("position", "pk"):
        values = {name: getattr(row, name) for name in ("name", "starts_on", "handover_at", "turn_days")}
        daily = {"daily_from": row.daily_from, "daily_until": row.daily_until}
        rotations.setdefault(row.rota_id, []).append({**values, **daily, "people": people.get(row.pk, [])})
    for rota in Rota.objects.select_related("team").order_by("team__slug"):
        yield {"team": rota.team.slug, "time_zone": rota.time_zone, "rotations": rotations.get(rota.pk, [])}


def _grouped(pairs: Iterable[tuple[int, str]]) -> dict[int, list[object]]:
    found: dict[int, list[object]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


_READERS: Mapping[str, Callable[[], Iterable[Values]]] = {
    "environments": _environments,
    "hosts": _hosts,
    "people": _people,
    "teams": _teams,
    "services": _services,
    "subscriptions": _subscriptions,
    "rotas": _rotas,
}
