"""`{% load show %}`: the shared words, and those of backups."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django import template
from django.utils.safestring import SafeString

from backups import words as states
from backups.models import Backup
from sysops.pages import show

MOST = 50  # of a long list; the API has all of it

register = template.Library()
register.filter("size", show.size)
register.filter("when", show.when)
register.filter("span", show.span)
register.simple_tag(show.icon, name="icon")
register.filter("rung", states.rung)
register.filter("kind_of", states.kind_of)
register.filter("verification_of", states.verification_of)


@register.filter
def state(value: object, kind: str) -> SafeString:
    """`{{ backup.status|state:"status" }}`: a word on a coloured ground."""
    return states.state(kind, value)


@register.filter
def took(row: Backup) -> SafeString:
    """How long a backup, verification, restore or attempt took."""
    end: datetime | None = getattr(row, "completed_at", None) or getattr(row, "ended_at", None)
    return show.took(row.started_at, end)


@register.filter
def figure(value: object, name: str = "") -> SafeString | str:
    """A figure of a check, of whatever shape: sizes and spans as people read them."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if name.endswith("bytes"):
            return show.size(value)
        if name.endswith("seconds"):
            return show.span(value)
    return show.NOTHING if value is None else _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(item)}" for key, item in list(value.items())[:MOST]) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_plain(item) for item in value[:MOST]) or "none"
    return str(value)


@register.filter
def spaced(name: str) -> str:
    """`rows_before` as words."""
    return name.replace("_", " ")
