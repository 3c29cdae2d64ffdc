"""Rows as plain data and in words: what the audit log, events and error messages say of them."""

from collections.abc import Callable, Mapping
from datetime import datetime

from django.db import models

from catalogue.models import Environment, Host, Person, Service, Team


def identity(kind: type[models.Model]) -> str:
    """The field that others refer to a row by; it never changes."""
    return "name" if kind is Host else "slug"


def key(row: models.Model) -> str:
    """What others refer to this row by."""
    return str(getattr(row, identity(type(row))))


def noun(kind: type[models.Model]) -> str:
    """What people call a row of this kind."""
    return str(kind._meta.verbose_name)


def called(row: models.Model) -> str:
    """The row as a sentence names it: "service shop-db"."""
    return f"{noun(type(row))} {getattr(row, 'slug', None) or getattr(row, 'name', None) or row}"


def user_of(user: models.Model) -> str:
    """Who uses a row, seen from the row that refers to it; a link row stands for the row at its other end."""
    for end in ("service", "team"):
        if type(user).__name__ in ("Dependency", "Membership") and hasattr(user, end):
            return called(getattr(user, end))
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


def _slug(row: Environment | Person | Team | None) -> str | None:
    return row.slug if row else None


def _time(value: datetime | None) -> str | None:
    return value.isoformat() if value else None


_SNAPSHOTS: Mapping[type[models.Model], Callable[..., dict[str, object]]] = {
    Environment: _environment,
    Host: _host,
    Person: _person,
    Service: _service,
    Team: _team,
}
