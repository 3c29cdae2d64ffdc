"""What may happen to backups, verifications and restores. Pure: no Django, no clock, no I/O."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

LEASE = timedelta(seconds=30)  # a worker that has not renewed its lease for this long is taken for dead
HEARTBEAT = timedelta(seconds=3)  # how often it renews and tells its progress
WAKE_AGAIN = timedelta(seconds=30)  # a queued row whose message got lost is published again after this
MESSAGE_LIVES = timedelta(minutes=2)  # longer than two machines' clocks differ: by its own clock a worker drops it

RPO_GRACE = timedelta(minutes=5)  # for the next backup to be asked for and taken; `within_rpo` itself has none
LONGEST_CHAIN = 50  # links; more make a restore slow and keep every parent for as long as the last child
PROOF_AGE = timedelta(days=7)  # a restore that proved a backup longer ago than this says little of today
REREAD_TURN = timedelta(minutes=5)  # how long one task re-reads stored backups before others have their turn

RETRY_FIRST = timedelta(seconds=30)
RETRY_MOST = timedelta(hours=1)


class BackupType(StrEnum):
    """SPEC B3: differential stands on the last full, incremental on the last backup of any type."""

    FULL = "full"
    DIFFERENTIAL = "differential"
    INCREMENTAL = "incremental"


# SPEC B4: when several fall together, the larger wins.
SIZE_ORDER = {BackupType.INCREMENTAL: 1, BackupType.DIFFERENTIAL: 2, BackupType.FULL: 3}


class Status(StrEnum):
    """A backup's states, as in API.md."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    EXPIRED = "expired"


class VerificationStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    COULD_NOT = "could_not_verify"


class RestoreStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Rung(StrEnum):
    """How deep a verification looked: the stored files, the stored files again later, a real restore."""

    FILES = "files"
    REREAD = "reread"
    RESTORE = "restore"


class WhenBusy(StrEnum):
    """What a second request gets while a backup of the source is queued or running."""

    REFUSE = "refuse"
    QUEUE = "queue"


class SlotOutcome(StrEnum):
    """What became of one slot of a cadence."""

    REQUESTED = "requested"
    COALESCED = "coalesced"
    SKIPPED = "skipped"


ACTIVE = (Status.QUEUED, Status.RUNNING, Status.INTERRUPTED)

BACKUP_MOVES: Mapping[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.FAILED}),
    Status.RUNNING: frozenset({Status.SUCCEEDED, Status.FAILED, Status.QUEUED, Status.INTERRUPTED}),
    Status.INTERRUPTED: frozenset({Status.QUEUED, Status.FAILED, Status.SUCCEEDED}),
    Status.SUCCEEDED: frozenset({Status.EXPIRED}),
}
VERIFICATION_MOVES: Mapping[VerificationStatus, frozenset[VerificationStatus]] = {
    VerificationStatus.PENDING: frozenset({VerificationStatus.RUNNING, VerificationStatus.COULD_NOT}),
    VerificationStatus.RUNNING: frozenset(
        {
            VerificationStatus.PASSED,
            VerificationStatus.FAILED,
            VerificationStatus.COULD_NOT,
            VerificationStatus.PENDING,
        }
    ),
}
RESTORE_MOVES: Mapping[RestoreStatus, frozenset[RestoreStatus]] = {
    RestoreStatus.QUEUED: frozenset({RestoreStatus.RUNNING, RestoreStatus.FAILED}),
    RestoreStatus.RUNNING: frozenset({RestoreStatus.SUCCEEDED, RestoreStatus.FAILED, RestoreStatus.QUEUED}),
}

State = TypeVar("State", bound=StrEnum)


def may_move(moves: Mapping[State, frozenset[State]], old: State, new: State) -> bool:
    """Whether a row in state `old` may become `new`."""
    return new in moves.get(old, frozenset())


def may_try_again(*, attempt: int, max_attempts: int, permanent: bool) -> bool:
    """Whether another attempt could help: bounded, and never after a failure that only a person can cure."""
    return not permanent and attempt < max_attempts


def retry_delay(*, attempt: int, chance: random.Random) -> timedelta:
    """How long to wait after failed attempt number `attempt` (1, 2, …).

    Exponential from 30 s up to 1 h with "equal jitter": between half and all of the step, so that sources
    which failed together do not come back together (M. Brooker, "Exponential Backoff and Jitter", AWS 2015).
    """
    step = min(RETRY_MOST, RETRY_FIRST * int(2 ** min(attempt - 1, 16)))
    return step * (0.5 + 0.5 * chance.random())


@dataclass(frozen=True)
class Candidate:
    """A stored backup something could stand on.

    `usable`: it and all it stands on are stored and not known bad; `links`: how many that are, itself included.
    """

    backup_id: int
    backup_type: BackupType
    completed_at: datetime
    usable: bool
    links: int = 1


@dataclass(frozen=True)
class Base:
    """What will be taken, on what, and why when that differs from what was asked for."""

    backup_type: BackupType
    parent_id: int | None
    reason: str = ""


def choose_base(requested: BackupType, candidates: Iterable[Candidate]) -> Base:
    """The type and parent of the next backup (SPEC B3). Nothing to stand on makes a full one that says why."""
    if requested is BackupType.FULL:
        return Base(BackupType.FULL, None)
    stored = sorted(candidates, key=lambda c: (c.completed_at, c.backup_id), reverse=True)
    if requested is BackupType.DIFFERENTIAL:
        stored = [c for c in stored if c.backup_type is BackupType.FULL]
    if not stored:
        what = "full backup" if requested is BackupType.DIFFERENTIAL else "backup"
        return Base(BackupType.FULL, None, f"There is no stored {what} for a {requested} one to stand on")
    newest = stored[0]
    if newest.links >= LONGEST_CHAIN:
        reason = f"Backup {newest.backup_id} ends a chain of {newest.links} links, the longest allowed"
        return Base(BackupType.FULL, None, reason)
    if newest.usable:
        return Base(requested, newest.backup_id)
    reason = f"Backup {newest.backup_id}, which it would stand on, is known bad or stands on one that is"
    return Base(BackupType.FULL, None, reason)


@dataclass(frozen=True)
class Due:
    """A cadence whose slot has come."""

    cadence_id: int
    backup_type: BackupType
    slot_at: datetime
    keep_days: int | None


def coalesce(due: Sequence[Due]) -> tuple[Due, list[Due]]:
    """Of the slots due at once for one source, the one to take and those it stands for (SPEC B4).

    The larger type wins; among equals the one kept longest, then the lowest id.
    """
    ranked = sorted(due, key=lambda d: (-SIZE_ORDER[d.backup_type], -(d.keep_days or 0), d.cadence_id))
    return ranked[0], ranked[1:]


def covers(active: BackupType, wanted: BackupType) -> bool:
    """Whether a backup of type `active` that is queued or running makes one of type `wanted` needless."""
    return SIZE_ORDER[active] >= SIZE_ORDER[wanted]


def overall(rungs: Mapping[Rung, VerificationStatus]) -> VerificationStatus:
    """One word for a backup from the newest verification of each rung: bad news first, then work under way."""
    found = set(rungs.values())
    for status in (VerificationStatus.FAILED, VerificationStatus.RUNNING, VerificationStatus.PENDING):
        if status in found:
            return status
    if VerificationStatus.PASSED in found and VerificationStatus.COULD_NOT not in found:
        return VerificationStatus.PASSED
    return VerificationStatus.COULD_NOT if found else VerificationStatus.PENDING


def smoothed_rate(*, previous: float | None, done_bytes: int, before_bytes: int, seconds: float) -> float | None:
    """Bytes per second, an exponential mean that forgets in about ten readings; None until time has passed."""
    if seconds <= 0:
        return previous
    now = max(0, done_bytes - before_bytes) / seconds
    return now if previous is None else previous * 0.8 + now * 0.2
