"""Which stored backups may go. Pure: no Django, no clock, no I/O (SPEC B5)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Stored:
    """One stored backup as retention sees it.

    `good`: not known bad; `passed`: every look at it passed; `proven`: a restore of it passed. `busy`: a
    verification, restore or backup is using it now.
    """

    backup_id: int
    source_id: int
    parent_id: int | None
    completed_at: datetime
    delete_after: datetime
    good: bool
    passed: bool = False
    proven: bool = False
    held: bool = False
    busy: bool = False


@dataclass(frozen=True)
class Decision:
    """What happens to one backup past its time, and why, in words for the record."""

    backup_id: int
    remove: bool
    reason: str


def keep_until(completed_at: datetime, *, online_days: int, keep_days: int | None) -> datetime:
    """The moment a backup's time is over: the policy's online days, or longer where its cadence says so."""
    return completed_at + timedelta(days=max(online_days, keep_days or 0))


def decide(stored: Iterable[Stored], *, now: datetime) -> list[Decision]:
    """What to do with every backup past its time, youngest first, so that children go before parents.

    Kept whatever the age: what is held; what a kept one stands on; what is in use; and of each source the last
    good, the last proven and the last verified one. The last good one alone would not do: when backups stop, it
    may be one that nobody has looked at yet.
    """
    backups = sorted(stored, key=lambda b: (b.completed_at, b.backup_id), reverse=True)
    why_kept = _kept(backups, now=now)
    return [
        Decision(b.backup_id, b.backup_id not in why_kept, why_kept.get(b.backup_id, "Past its retention"))
        for b in backups
        if b.delete_after <= now
    ]


def _kept(backups: Sequence[Stored], *, now: datetime) -> dict[int, str]:
    """Why each kept backup is kept, by id."""
    known = {b.backup_id: b for b in backups}
    kept: dict[int, str] = {}
    by_source: dict[int, list[Stored]] = defaultdict(list)
    for backup in backups:
        by_source[backup.source_id].append(backup)
        if backup.held:
            kept[backup.backup_id] = "Held"
        elif backup.busy:
            kept[backup.backup_id] = "In use"
        elif backup.delete_after > now:
            kept[backup.backup_id] = "Within its retention"
    for of_source in by_source.values():
        for backup_id, reason in _last_resorts(of_source, known):
            kept.setdefault(backup_id, reason)
    for backup_id in list(kept):
        parent_id = known[backup_id].parent_id
        while parent_id is not None and parent_id in known:
            kept.setdefault(parent_id, f"Backup {backup_id} stands on it")
            parent_id = known[parent_id].parent_id
    return kept


def _last_resorts(newest_first: Sequence[Stored], known: Mapping[int, Stored]) -> Iterator[tuple[int, str]]:
    """The backups of one source that are never removed, and why."""
    found: dict[str, int] = {}
    for backup in newest_first:
        chain = _chain(backup, known)
        if not chain or not all(link.good for link in chain):
            continue
        found.setdefault("good", backup.backup_id)
        if backup.proven:  # a restore proves all it stands on
            found.setdefault("proven", backup.backup_id)
        if all(link.passed for link in chain):
            found.setdefault("verified", backup.backup_id)
        if len(found) == 3:
            break
    for what, backup_id in found.items():
        yield backup_id, f"The last {what} backup of its source"


def _chain(backup: Stored, known: Mapping[int, Stored]) -> list[Stored]:
    """The backup and all it stands on; nothing when one of those is not stored any more."""
    links = [backup]
    while links[-1].parent_id is not None:
        parent = known.get(links[-1].parent_id)
        if parent is None:
            return []
        links.append(parent)
    return links
