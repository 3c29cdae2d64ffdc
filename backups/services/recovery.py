"""Setting right what crashes and lost messages leave: nothing waits for ever, nothing "runs" with nobody behind it."""

import hashlib
import json
import logging
import re
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from functools import partial
from typing import TypeVar

from django.db import connection, transaction
from django.db.models import F, Q, QuerySet

from backups import manifest
from backups.engines.base import Artifact, EngineError
from backups.engines.scratch import sweep_scratch
from backups.models import Attempt, Backup, Restore, Source, Verification, WrongState
from backups.models import Store as StoreRow
from backups.models.moves import Leased
from backups.rules import (
    LEASE,
    MESSAGE_LIVES,
    WAKE_AGAIN,
    RestoreStatus,
    Rung,
    Status,
    VerificationStatus,
    may_try_again,
)
from backups.services import left_running, restores, runs, verifications
from backups.services.runs import Failure, Taken
from backups.stores.base import NotStored, Store, StoreError
from backups.workshop import NOT_SET_UP, Workshop
from sysops.events import publish

logger = logging.getLogger(__name__)

Row = TypeVar("Row", bound=Leased)
Wake = Callable[..., bool]
MOST_WOKEN = 50  # per sweep and kind; the next sweep wakes the next ones
ATTEMPT_KEY = re.compile(r"[-\w]+/\d{1,18}-\d{1,5}-(?P<installation>[0-9a-f]{6})[0-9a-f]{8}", re.ASCII)
PICK_UP_EXPIRES = 60.0
LOST = "The worker on {host} died or was cut off (its lease ran out) during attempt {attempt}"


def sweep(*, workshop: Workshop, wake: Wake) -> None:
    """Wake workers for everything that waits and is due, and take back what dead workers held.

    Touches rows only, so that any worker may do it; files are the work of `pick_up`, where the stores are.
    """
    at = workshop.now()
    for model, waiting, task in (
        (Restore, RestoreStatus.QUEUED, "backups.restore"),
        (Backup, Status.QUEUED, "backups.take"),
    ):
        _wake_waiting(model._base_manager.filter(status=waiting.value), task, wake=wake, at=at)
    pending = Verification.objects.filter(status=VerificationStatus.PENDING.value)
    _wake_waiting(pending.exclude(rung=Rung.REREAD.value), "backups.verify", wake=wake, at=at)
    _wake_one_reread(wake=wake, at=at)
    restores.wake_stops(wake=wake, at=at)
    left_running.wake_look(wake=wake, at=at)
    lost = take_back_lost(workshop=workshop)
    if lost or Backup.objects.filter(status=Status.INTERRUPTED.value).exists():
        wake("backups.pick_up", expires=PICK_UP_EXPIRES)


def _wake_waiting(waiting: QuerySet[Row], task: str, *, wake: Wake, at: datetime) -> None:
    """Publish again for rows whose message got lost, or whose time has come after a failed try."""
    unheard = Q(woken_at__isnull=True) | Q(woken_at__lte=at - WAKE_AGAIN)
    due = waiting.filter(unheard, not_before__lte=at).order_by(F("woken_at").asc(nulls_first=True), "pk")
    pks = list(due.values_list("pk", flat=True)[:MOST_WOKEN])
    # Marked first: with the broker away the next sweep would otherwise find the same rows at once.
    waiting.filter(pk__in=pks).update(woken_at=at)
    for pk in pks:
        if not wake(task, subject=str(pk), expires=MESSAGE_LIVES.total_seconds()):
            logger.warning("The broker is away; %s of %s waits for the next sweep", task, pk)
            waiting.filter(pk__in=pks).update(woken_at=None)
            return


def _wake_one_reread(*, wake: Wake, at: datetime) -> None:
    """One task at a time re-reads stored backups, one after the other: backups and restores need the other workers."""
    rereads = Verification.objects.filter(rung=Rung.REREAD.value)
    busy = rereads.filter(status=VerificationStatus.RUNNING.value).exists()
    told = rereads.filter(status=VerificationStatus.PENDING.value, woken_at__gt=at - WAKE_AGAIN).exists()
    if not busy and not told:
        first = rereads.filter(status=VerificationStatus.PENDING.value).order_by("not_before", "pk")[:1]
        _wake_waiting(
            rereads.filter(pk__in=list(first.values_list("pk", flat=True))), "backups.verify", wake=wake, at=at
        )


def take_back_lost(*, workshop: Workshop) -> int:
    """Find rows whose lease ran out and queue or end them; how many. One that cannot be helped holds up no other."""
    at = workshop.now()
    if _database_just_came_back():
        return 0
    found = 0
    for backup in _lost(Backup, at).select_related("source__policy", "store"):
        found += _apart(backup, partial(_interrupt, backup, at=at))
    for verification in _lost(Verification, at).select_related("backup__source__policy"):
        reason = LOST.format(host=verification.host, attempt=verification.attempt)
        found += _apart(verification, partial(verifications.record_obstacle, verification, reason, at=at))
    for restore in _lost(Restore, at).select_related("backup__source__policy"):
        found += _apart(restore, partial(restores.take_back, restore, workshop))
    return found


def _database_just_came_back() -> bool:
    """Whether PostgreSQL started less than a lease ago: nobody could renew while it was away."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())")
        return bool(cursor.fetchone()[0] < LEASE.total_seconds())


def _lost(model: type[Row], at: datetime) -> QuerySet[Row]:
    return model._base_manager.filter(status=model.RUNNING.value, lease_until__lt=at).order_by("pk")


def _apart(row: Leased, act: Callable[[], None]) -> int:
    """1 when done; 0 when another sweeper was first, or when this row is in trouble, which is its own alone."""
    try:
        act()
    except WrongState:
        return 0
    except (EngineError, StoreError, OSError, *NOT_SET_UP):
        logger.exception("%s could not be taken back; it is tried again with the next sweep", row)
        return 0
    return 1


def _interrupt(backup: Backup, *, at: datetime) -> None:
    reason = LOST.format(host=backup.host, attempt=backup.attempt)
    with transaction.atomic():
        runs.note_failure(backup.source, reason=reason, backup=backup, at=at)
        backup.move(Status.INTERRUPTED, failure_code="lost_lease", failure_reason=reason, lease_until=None, phase="")
        Attempt.objects.filter(backup=backup, number=backup.attempt).update(
            ended_at=at, outcome="interrupted", code="lost_lease", reason=reason
        )
        publish("backups.backup.interrupted", subject=backup.pk, at=at, data={"source": backup.source.slug})


def pick_up(*, workshop: Workshop) -> int:
    """Bring every interrupted backup on its way again and clear up behind its worker, here where the stores are.

    Servers that restores left running here are looked for, too.
    """
    done = 0
    interrupted = Backup.objects.filter(status=Status.INTERRUPTED.value).select_related("source__policy", "store")
    for backup in interrupted.order_by("pk"):
        done += _apart(backup, partial(_pick_up, backup, workshop))
    return done + left_running.settle(workshop=workshop) + _clear_up(workshop)


def _clear_up(workshop: Workshop) -> int:
    """Scratch folders (living workers hold a lock on theirs) and what attempts at restores left behind."""
    return len(sweep_scratch(workshop.tools, ())) + restores.clear_up(workshop=workshop)


def _pick_up(backup: Backup, workshop: Workshop) -> None:
    """Adopt what the dead worker had stored whole; else queue the backup again, or fail it after its last attempt."""
    key, at = backup.key, workshop.now()
    try:
        store = workshop.store(backup.store)
    except NOT_SET_UP as exc:
        _end(backup, Failure("not_set_up", str(exc)), at=at)
        return
    store.discard(key)
    if backup.cancel_requested_by:
        _end(backup, Failure("cancelled", f"Cancelled by {backup.cancel_requested_by}"), at=at)
    elif key and (taken := _stored_whole(store, key)) is not None:
        _adopt(backup, taken, at=at)
    elif may_try_again(attempt=backup.attempt, max_attempts=backup.source.policy.max_attempts, permanent=False):
        backup.move(Status.QUEUED, key="", not_before=at, woken_at=None)
    else:
        _end(backup, Failure(backup.failure_code, backup.failure_reason), at=at)
    runs.clean_behind(backup, key, workshop)


def _end(backup: Backup, failure: Failure, *, at: datetime) -> None:
    with transaction.atomic():
        runs.fail_backup(backup, failure=failure, at=at)


def _stored_whole(store: Store, key: str) -> Taken | None:
    """What lies in the store under the attempt's key. A commit is all or nothing, so what is there is whole.

    That is a worker killed between storing and recording, and it is Sysops' own database after it was restored:
    its newest backup holds its own row as running.
    """
    try:
        with closing(store.open(key, manifest.SIDECAR)) as file:
            said = file.read()
        names = {file.name for file in store.files(key)}
        note = json.loads(said)
        records = [manifest.FileRecord.from_json(entry) for entry in note["files"]]
    except (NotStored, ValueError, KeyError):
        return None
    records.append(manifest.FileRecord(manifest.SIDECAR, len(said), hashlib.sha256(said).hexdigest()))
    if names != {record.name for record in records}:
        return None
    artifact = Artifact(note.get("logical_size_bytes"), str(note.get("engine_version", "")), note.get("figures", {}))
    return Taken(artifact=artifact, files=records, location=store.commit(key))


def _adopt(backup: Backup, taken: Taken, *, at: datetime) -> None:
    with transaction.atomic():
        Source.objects.select_for_update().get(pk=backup.source_id)
        runs.record_stored(backup, taken, at=at)
    logger.info("%s was stored whole by the worker that died; it is recorded and will be verified", backup)


def sweep_files(*, workshop: Workshop) -> int:
    """Remove staged and scratch files that no running row stands behind any more; how many things.

    Stored backups that no row names are only told of: they may be all that is left of something.
    """
    removed = 0
    for row in StoreRow.objects.order_by("pk"):
        try:
            removed += _sweep_store(row, workshop)
        except (StoreError, *NOT_SET_UP) as exc:
            logger.error("Store %s was not swept: %s", row.slug, exc)
    return removed + _clear_up(workshop)


def _sweep_store(row: StoreRow, workshop: Workshop) -> int:
    """Only what an attempt of this very Sysops staged is touched: another one may share the store."""
    store = workshop.store(row)
    # Listed before the rows are read: an attempt that begins in between is not in the list.
    staged = [key for key in store.staged_keys() if _is_ours(key)]
    in_use = set(Backup.objects.filter(key__in=staged, status=Status.RUNNING.value).values_list("key", flat=True))
    for key in set(staged) - in_use:
        store.discard(key)
        logger.info("Removed what attempt %s had staged", key)
    stored = list(store.keys())
    unknown = set(stored) - set(Backup.objects.filter(key__in=stored).values_list("key", flat=True))
    if unknown:
        logger.warning(
            "Store %s holds %s backups that no record names: %s", row.slug, len(unknown), sorted(unknown)[:20]
        )
    return len(staged) - len(in_use)


def _is_ours(key: str) -> bool:
    match = ATTEMPT_KEY.fullmatch(key)
    return match is not None and match["installation"] == runs.installation()


def finished_before(moment: datetime) -> int:
    """Delete the records of passed re-reads older than `moment`; how many. Failed ones stay with their backup."""
    old = Verification.objects.filter(rung="reread", status=VerificationStatus.PASSED.value, completed_at__lt=moment)
    return old.delete()[0]
