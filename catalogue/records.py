"""Rows as plain data and in words: what the audit log, events and error messages say of them."""

from collections.abc import Callable, Mapping
from datetime import datetime, time

from django.db import models
from django.db.models import Prefetch

from catalogue.models import Environment, Host, OnCallOverride, Person, Rota, Rotation, RotationTurn, Service, Team


def identity(kind: type[models.Model]) -> str:
    """The field that others refer to a row by; it never changes."""
    return "name" if kind is Host else "slug"


def key(row: models.Model) -> str:
    """What others refer to this row by."""
    if isinstance(row, Rota | OnCallOverride):
        return row.team.slug
    return str(getattr(row, identity(type(row))))


def noun(kind: type[models.Model]) -> str:
    """What people call a row of this kind."""
    return str(kind._meta.verbose_name)


def called(row: models.Model) -> str:
    """The row as a sentence names it: "service shop-db"."""
    if isinstance(row, Rota):
        return f"on-call rota of team {row.team.slug}"
    if isinstance(row, OnCallOverride):
        return f"on-call override of team {row.team.slug}"
    return f"{noun(type(row))} {getattr(row, 'slug', None) or getattr(row, 'name', None) or row}"


def user_of(user: models.Model) -> str:
    """Who uses a row, seen from the row that refers to it; a link row stands for the row at its other end."""
    for end in ("service", "team"):
        if type(user).__name__ in ("Dependency", "Membership") and hasattr(user, end):
            return called(getattr(user, end))
    if isinstance(user, RotationTurn):
        return called(user.rotation.rota)
    return called(user)


def snapshot(row: models.Model) -> dict[str, object]:
    """Everything people set about the row, as JSON."""
    return _SNAPSHOTS[type(row)](row)


def state_snapshot(service: Service) -> dict[str, object]:
    """How the service is, as JSON."""
    return {
        "slug": service.slug,
        "state": service.state,
        "until": _time(service.state_until),
        "reason": service.state_reason,
        "maintenance_mode": service.maintenance_mode,
    }


def _environment(row: Environment) -> dict[str, object]:
    return {"slug": row.slug, "name": row.name, "is_production": row.is_production}


def _host(row: Host) -> dict[str, object]:
    return {"name": row.name, "environment": _slug(row.environment), "description": row.description}


def _person(row: Person) -> dict[str, object]:
    contacts = row.contacts.order_by("position", "pk").values_list("channel", "address")
    return {
        "slug": row.slug,
        "name": row.name,
        "time_zone": row.time_zone,
        "user": row.user.get_username() if row.user else None,
        "quiet_from": clock(row.quiet_from),
        "quiet_until": clock(row.quiet_until),
        "contacts": [{"channel": channel, "address": address} for channel, address in contacts],
    }


def _team(row: Team) -> dict[str, object]:
    members = Person.objects.filter(memberships__team=row).order_by("slug").values_list("slug", flat=True)
    return {"slug": row.slug, "name": row.name, "lead": _slug(row.lead), "members": list(members)}


def _service(row: Service) -> dict[str, object]:
    direct = Service.objects.filter(required_by__service=row).order_by("slug").values_list("slug", flat=True)
    return {
        "slug": row.slug,
        "name": row.name,
        "kind": row.kind,
        "tier": row.tier,
        "owner_team": _slug(row.owner_team),
        "environment": _slug(row.environment),
        "depends_on": list(direct),
    }


def _rota(row: Rota) -> dict[str, object]:
    rotations = row.rotations.order_by("position", "pk").prefetch_related(
        Prefetch("turns", RotationTurn.objects.select_related("person").order_by("position", "pk"))
    )
    return {"team": row.team.slug, "time_zone": row.time_zone, "rotations": [rotation(one) for one in rotations]}


def rotation(row: Rotation) -> dict[str, object]:
    """One rotation with its people in turn order, as JSON. Prefetch `turns` with `person`."""
    return {
        "name": row.name,
        "starts_on": row.starts_on.isoformat(),
        "handover_at": clock(row.handover_at),
        "turn_days": row.turn_days,
        "daily_from": clock(row.daily_from),
        "daily_until": clock(row.daily_until),
        "people": [turn.person.slug for turn in row.turns.all()],
    }


def _override(row: OnCallOverride) -> dict[str, object]:
    return {
        "team": row.team.slug,
        "person": row.person.slug,
        "starts_at": _time(row.starts_at),
        "ends_at": _time(row.ends_at),
        "reason": row.reason,
    }


def clock(value: time | None) -> str | None:
    """A time of day as people write it: 09:00, with seconds only where there are some."""
    if value is None:
        return None
    return value.isoformat("minutes" if value.replace(second=0, microsecond=0) == value else "auto")


def _slug(row: Environment | Person | Team | None) -> str | None:
    return row.slug if row else None


def _time(value: datetime | None) -> str | None:
    return value.isoformat() if value else None


_SNAPSHOTS: Mapping[type[models.Model], Callable[..., dict[str, object]]] = {
    Environment: _environment,
    Host: _host,
    OnCallOverride: _override,
    Person: _person,
    Rota: _rota,
    Service: _service,
    Team: _team,
}
