"""Writing a row of settings: checked as its model says, and in the audit log as it was and as it is."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TypeVar

from django.core.exceptions import ValidationError
from django.db import models

from catalogue.services.rows import Overtaken, one_change
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.events import publish

__all__ = ["Overtaken", "facts", "fresh", "one_change", "tell", "write"]

Facts = dict[str, object]
M = TypeVar("M", bound=models.Model)


def write(row: models.Model, values: Mapping[str, object]) -> None:
    """Set these fields, to-many ones too, and save. Raises ValidationError by field."""
    to_many = {field.name for field in row._meta.many_to_many}
    known = {field.name for field in row._meta.concrete_fields} | to_many
    if unknown := sorted(set(values) - known):
        raise TypeError(f"{type(row).__name__} has no {', '.join(unknown)}")
    for name, value in values.items():
        if isinstance(value, str) and "\0" in value:
            raise ValidationError({name: ["Must not contain a NUL character."]})
        if name not in to_many:
            setattr(row, name, value)
    row.full_clean()
    row.save()
    for name in to_many & set(values):
        getattr(row, name).set(values[name])


def fresh(row: M) -> M:
    """The row as it is now, ours until the end of the transaction; others may refer to it. Raises Overtaken."""
    found = type(row)._default_manager.select_for_update(no_key=True, of=("self",)).filter(pk=row.pk).first()
    if found is None:
        raise Overtaken(f"The {row._meta.verbose_name} {row} has just been deleted.")
    return found


def facts(row: models.Model, *, without: Collection[str] = ()) -> Facts:
    """What people set about a row, with what it refers to by name."""
    found = audit.snapshot(row, exclude=["id", *without])
    for field in row._meta.concrete_fields:
        if field.is_relation and field.name in found:
            found[field.name] = _name(getattr(row, field.name))
    for many in row._meta.many_to_many:
        found[many.name] = sorted(str(other) for other in getattr(row, many.name).all())
    return found


def tell(
    name: str, row: models.Model, *, before: Facts | None, after: Facts | None, by: Actor, at: datetime, about: Facts
) -> None:
    """Publish it with `about`, and write into the audit log what is different; call it last."""
    publish(name, subject=row.pk, at=at, data={**about, "by": str(by)})
    if before is not None and after is not None:
        before, after = audit.differences(before, after)
    audit.record(name, by=by, subject=row, at=at, before=before, after=after)


def _name(other: object) -> object:
    return None if other is None else getattr(other, "slug", str(other))
