"""Keys of projects: what an SDK signs in with, and the DSN it is told."""

import secrets
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from catalogue.links import base_url
from errors.models import Key, Project
from errors.services import rows
from sysops.access.actors import Actor

_SETTABLE = frozenset({"label", "enabled", "quota_per_minute"})


def dsn(key: Key) -> str:
    """What to set as SENTRY_DSN: where to report, and as whom."""
    base = urlsplit(base_url())
    return f"{base.scheme}://{key.public}@{base.netloc}{base.path}/{key.project_id}"


def add_key(project: Project, *, by: Actor, at: datetime, label: str = "", quota_per_minute: int | None = None) -> Key:
    """One more key of the project. Raises ValidationError by field, Overtaken."""
    with rows.one_change(f"the keys of {project.slug}"):
        row = Key(project=rows.fresh(project), public=secrets.token_hex(16), created_at=at, created_by=by.name[:255])
        rows.write(row, {"label": label, "quota_per_minute": quota_per_minute})
        rows.tell("errors.key.created", row, before=None, after=rows.facts(row), by=by, at=at, about=_about(row))
    return row


def change_key(key: Key, values: Mapping[str, object], *, by: Actor, at: datetime) -> Key:
    """The key with these values (label, enabled, quota_per_minute). Raises ValidationError by field, Overtaken."""
    if unknown := sorted(set(values) - _SETTABLE):
        raise TypeError(f"A key's {', '.join(unknown)} cannot be set")
    with rows.one_change(f"the key {key}"):
        row = rows.fresh(key)
        before = rows.facts(row)
        rows.write(row, values)
        after = rows.facts(row)
        if after != before:
            rows.tell("errors.key.changed", row, before=before, after=after, by=by, at=at, about=_about(row))
    return row


def _about(row: Key) -> dict[str, object]:
    """For events, which everybody may read: of a restricted project not what it and its keys are called."""
    named = {} if row.project.restricted else {"project": row.project.slug, "label": row.label}
    return {**named, "enabled": row.enabled}
