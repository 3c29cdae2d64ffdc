"""Which stored backups may go. Pure: no Django, no clock, no I/O (SPEC B5)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Stored:
    """One stored backup as retention sees it. `busy`: a verification, restore or backup is using it now."""

    backup_id: int
    source_id: int
    parent_id: int | None
    completed_at: datetime
    delete_after: datetime
    good: bool
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

    Kept whatever the age: what is held; what a kept one stands on; the last good one of a source with all
    it stands on; what is in use.
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
        last_good = next((b for b in of_source if _good_chain(b, known)), None)
        if last_good:
            kept.setdefault(last_good.backup_id, "The last good backup of its source")
    for backup_id in list(kept):
        parent_id = known[backup_id].parent_id
        while parent_id is not None and parent_id in known:
            kept.setdefault(parent_id, f"Backup {backup_id} stands on it")
            parent_id = known[parent_id].parent_id
    return kept


def _good_chain(backup: Stored, known: dict[int, Stored]) -> bool:
    """Whether the backup and all it stands on are stored and good."""
    link: Stored | None = backup
    while link is not None:
        if not link.good:
            return False
        if link.parent_id is None:
            return True
        link = known.get(link.parent_id)
    return False
