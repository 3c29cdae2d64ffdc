"""The audit log: append-only and chained by hash, so that a change to an old entry shows.

audit.record("backups.policy.changed", by=request_actor(request), subject=policy, at=now, before=…, after=…)
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, models, transaction

from sysops.access.actors import Actor
from sysops.access.models import AuditEntry
from sysops.access.rules import GENESIS, Fact, chain_hash, storable, text

_LOCK = 7_305_001  # advisory lock: one writer at a time extends the chain
_BATCH = 2_000


@dataclass(frozen=True)
class Note:
    """One thing to record; see `record`."""

    action: str
    subject: str | models.Model
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Verified:
    """Every entry is as it was written. Keep `head` elsewhere: it shows later if the newest entries were cut off."""

    entries: int
    head: str


@dataclass(frozen=True)
class Broken:
    """The chain does not hold at the entry `entry_id`; `entries` before it were right."""

    entry_id: int
    reason: str
    entries: int


def record(
    action: str,
    *,
    by: Actor,
    subject: str | models.Model,
    at: datetime,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> AuditEntry:
    """Append one entry in the caller's transaction. Call it last: other writers wait until the caller commits.

    Secrets in `before` and `after` are masked by the names of their fields.
    """
    return record_many([Note(action, subject, before, after)], by=by, at=at)[0]


def record_many(notes: Sequence[Note], *, by: Actor, at: datetime) -> list[AuditEntry]:
    """Append several entries in one go, in order. See `record`."""
    facts = [_fact(note, by, at) for note in notes]
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        previous = _head()
        entries = []
        for fact in facts:
            entries.append(AuditEntry(**fact.__dict__, previous_hash=previous, hash=chain_hash(previous, fact)))
            previous = entries[-1].hash
        return AuditEntry.objects.bulk_create(entries)


def verify() -> Verified | Broken:
    """Walk the whole chain in constant memory and say whether every entry is as it was written."""
    previous, count = GENESIS, 0
    for entry in AuditEntry.objects.order_by("id").iterator(chunk_size=_BATCH):
        if entry.previous_hash != previous:
            return Broken(entry.pk, "It does not follow the entry before it: one was removed, added or moved", count)
        if entry.hash != chain_hash(previous, fact_of(entry)):
            return Broken(entry.pk, "Its content is not what was recorded", count)
        previous, count = entry.hash, count + 1
    return Verified(count, previous)


def fact_of(entry: AuditEntry) -> Fact:
    """What a stored entry says."""
    return Fact(**{name: getattr(entry, name) for name in Fact.__dataclass_fields__})


def differences(
    before: Mapping[str, object], after: Mapping[str, object]
) -> tuple[dict[str, object], dict[str, object]]:
    """The fields whose values differ, as they were and as they are."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {n: before[n] for n in names if n in before}, {n: after[n] for n in names if n in after}


def snapshot(row: models.Model, *, exclude: Sequence[str] = ()) -> dict[str, object]:
    """The stored fields of a row, for `before` and `after`."""
    fields: Iterator[models.Field[object, object]] = (
        field for field in row._meta.concrete_fields if field.name not in exclude
    )
    return {field.name: field.value_from_object(row) for field in fields}


def _head() -> str:
    last = AuditEntry.objects.order_by("-id").values_list("hash", flat=True).first()
    return last or GENESIS


def _fact(note: Note, by: Actor, at: datetime) -> Fact:
    subject = note.subject
    name, label = (
        (f"{subject._meta.label_lower}:{subject.pk}", str(subject))
        if isinstance(subject, models.Model)
        else (subject, "")
    )
    return Fact(
        at=at,
        action=text(note.action, limit=100),
        actor=text(by.name, limit=200),
        actor_kind=by.kind,
        address=text(by.address or "", limit=100),
        subject=text(name, limit=200),
        label=text(label, limit=200),
        before=None if note.before is None else storable(note.before),
        after=None if note.after is None else storable(note.after),
    )
