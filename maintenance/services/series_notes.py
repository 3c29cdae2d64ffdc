"""Occurrences that could not be made, on record."""

from datetime import datetime

from maintenance.models import Series, SeriesNote
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.events import publish

_CONFLICT = "maintenance.series.conflict"


def note_conflict(series: Series, occurrence: datetime, reason: str, *, by: Actor, at: datetime) -> None:
    """Record that the occurrence could not be made; told once per reason, not at every run."""
    text = reason[:500]
    note, created = SeriesNote.objects.get_or_create(
        series=series, occurrence=occurrence, defaults={"reason": text, "at": at}
    )
    if not created:
        if note.skipped or note.reason == text:
            return
        note.reason, note.at = text, at
        note.save(update_fields=["reason", "at"])
    facts: dict[str, object] = {"occurrence": occurrence.isoformat(), "reason": text}
    publish(_CONFLICT, subject=series.pk, at=at, data={**facts, "series": series.slug, "title": series.title})
    audit.record(_CONFLICT, by=by, subject=series, at=at, after=facts)
