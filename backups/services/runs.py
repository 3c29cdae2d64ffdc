"""Taking a backup: claim, work outside any transaction, record what happened."""

import hashlib
import logging
import random
import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F

from backups import manifest, selectors
from backups.engines.base import Artifact, BackupJob, Cancelled, Engine, EngineError, Link, ParentUnusable
from backups.models import Attempt, Backup, Source, WrongState
from backups.retention import keep_until
from backups.rules import BackupType, Base, Rung, Status, choose_base, may_try_again, retry_delay
from backups.services.leases import Held, persist
from backups.services.verifications import queue_verification
from backups.stores.base import NotStored, Store, StoreError
from backups.workshop import NOT_SET_UP, Workshop, link_of, spec_of
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.events import publish

logger = logging.getLogger(__name__)

WORKER = Actor.task("backups.take")


@dataclass(frozen=True)
class Taken:
    """What a run brought into the store."""

    artifact: Artifact
    files: Sequence[manifest.FileRecord]
    location: str


@dataclass(frozen=True)
class Failure:
    """Why a try failed, in words, and whether another one could help."""

    code: str
    reason: str
    permanent: bool = False


def installation() -> str:
    """Six characters that tell this Sysops from another one that shares a store with it."""
    return hashlib.sha256(f"store key {settings.SECRET_KEY}".encode()).hexdigest()[:6]


def fresh_key(backup: Backup, attempt: int) -> str:
    """A name in the store that nothing else ever had: ids come again when a database is restored or made anew."""
    return f"{backup.source.slug}/{backup.pk}-{attempt}-{installation()}{secrets.token_hex(4)}"


def execute_backup(*, backup_id: int, workshop: Workshop) -> None:
    """Take the queued backup and record the outcome; nothing to do when another worker has it or it is not its time."""
    backup = _claim(backup_id, workshop)
    if backup is None:
        return
    policy, key = backup.source.policy, backup.key
    with Held(backup, now=workshop.now, time_limit_seconds=policy.time_limit_seconds) as held:
        try:
            taken = _take(backup, workshop.store(backup.store), workshop, held)
        except (EngineError, StoreError) as exc:
            failure = Failure(exc.code, str(exc), exc.permanent)
            if held.cancelled_by:
                failure = Failure("cancelled", f"Cancelled by {held.cancelled_by}", permanent=True)
            _try_record(backup, held, partial(_record_failure, backup, failure, workshop))
        except NOT_SET_UP as exc:
            _try_record(
                backup,
                held,
                partial(_record_failure, backup, Failure("not_set_up", str(exc), permanent=True), workshop),
            )
        except Exception:
            failure = Failure("unexpected", "Unexpected error; see the worker's log")
            _try_record(backup, held, partial(_record_failure, backup, failure, workshop))
            raise
        else:
            _try_record(backup, held, partial(_record_success, backup, taken, workshop.now()))
        finally:
            clean_behind(backup, key, workshop)


def _claim(backup_id: int, workshop: Workshop) -> Backup | None:
    at = workshop.now()
    backup = Backup.objects.select_related("source__policy", "store").get(pk=backup_id)
    if backup.status != Status.QUEUED.value or backup.not_before > at:
        logger.info("%s is %s; nothing to do", backup, backup.status)
        return None
    try:
        with transaction.atomic():
            base = _base(backup)
            backup.claim(
                at=at,
                host=workshop.host,
                key=fresh_key(backup, backup.attempt + 1),
                backup_type=base.backup_type.value,
                parent_id=base.parent_id,
                type_reason=base.reason,
                started_at=at,
            )
            Attempt.objects.create(backup=backup, number=backup.attempt, host=workshop.host, started_at=at)
            publish("backups.backup.started", subject=backup.pk, at=at, data={"source": backup.source.slug})
    except WrongState:
        logger.info("%s was taken by another worker", backup)
        return None
    except IntegrityError:
        logger.info("%s waits: another backup of %s runs", backup, backup.source.slug)
        return None
    return backup


def _base(backup: Backup) -> Base:
    """What the backup stands on, that one locked: retention cannot expire it before our row says that we use it."""
    requested = BackupType(backup.requested_type)
    base = choose_base(requested, selectors.candidates(backup))
    if base.parent_id is None:
        return base
    parent = Backup.objects.select_for_update(of=("self",)).get(pk=base.parent_id)
    if parent.status == Status.SUCCEEDED.value and not parent.known_bad:
        return base
    return Base(BackupType.FULL, None, f"Backup {parent.pk}, which it would stand on, has just gone")


def _take(backup: Backup, store: Store, workshop: Workshop, held: Held) -> Taken:
    """Engine, manifest, store: everything between the claim and the record."""
    engine = workshop.engine(backup.source.engine)
    if BackupType(backup.backup_type) is BackupType.FULL:
        return _take_as(backup, store, workshop, held, engine=engine, parent=None)
    try:
        with ExitStack() as stack:
            parent = _parent_link(backup, store, stack)
            return _take_as(backup, store, workshop, held, engine=engine, parent=parent)
    except ParentUnusable as exc:
        reason = str(exc)
        logger.warning("%s becomes a full one: %s", backup, reason)
    mine = Backup.objects.filter(pk=backup.pk, attempt=backup.attempt, status=Status.RUNNING.value)
    if persist(lambda: mine.update(backup_type=BackupType.FULL.value, parent=None, type_reason=reason)) != 1:
        raise Cancelled("The lease was lost")
    backup.backup_type, backup.parent, backup.type_reason = BackupType.FULL.value, None, reason
    return _take_as(backup, store, workshop, held, engine=engine, parent=None)


def _take_as(
    backup: Backup, store: Store, workshop: Workshop, held: Held, *, engine: Engine, parent: Link | None
) -> Taken:
    directory = store.stage(backup.key)
    job = BackupJob(
        source=spec_of(backup.source),
        backup_id=str(backup.pk),
        backup_type=BackupType(backup.backup_type),
        directory=directory,
        parent=parent,
        tools=workshop.tools,
        control=held.control,
    )
    artifact = engine.back_up(job)
    files = manifest.seal(directory, description=_description(backup, artifact), watch=held.watch("hashing"))
    held.check()
    return Taken(artifact=artifact, files=files, location=store.commit(backup.key, watch=held.check))


def _description(backup: Backup, artifact: Artifact) -> dict[str, object]:
    """What lies beside the files: enough to understand, restore and record the backup without its row."""
    return {
        "source": backup.source.slug,
        "backup_id": str(backup.pk),
        "attempt": backup.attempt,
        "backup_type": backup.backup_type,
        "parent": str(backup.parent_id) if backup.parent_id else None,
        "parent_key": backup.parent.key if backup.parent else None,
        "engine": backup.engine,
        "engine_version": artifact.engine_version,
        "logical_size_bytes": artifact.logical_size_bytes,
        "figures": artifact.figures,
        "started_at": backup.started_at.isoformat() if backup.started_at else None,
        "host": backup.host,
    }


def _parent_link(backup: Backup, store: Store, stack: ExitStack) -> Link:
    parent = backup.parent
    assert parent is not None
    try:
        return link_of(parent, stack.enter_context(store.local(parent.key)))
    except NotStored as exc:
        raise ParentUnusable(f"Backup {parent.pk}, which it would stand on, is not in the store: {exc}") from exc


def clean_behind(backup: Backup, key: str, workshop: Workshop) -> None:
    """Remove what the attempt staged, and what it stored unless a row still names it.

    While its row names the key, the stored files are the backup, or the sweep decides about them. A key is one
    attempt's own and never comes again, so nothing of anybody else can be meant.
    """
    try:
        store = workshop.store(backup.store)
        store.discard(key)
        if not persist(Backup.objects.filter(key=key).exists):
            store.remove(key)
    except (StoreError, *NOT_SET_UP) as exc:
        logger.warning("%s: files of attempt %s may be left in the store: %s", backup, key, exc)


def _try_record(backup: Backup, held: Held, write: partial[None]) -> None:
    """Record, unless somebody else took the row over: then what we found does not count."""
    if held.lost:
        logger.warning("%s: the lease was lost, so the outcome of attempt %s is not recorded", backup, backup.attempt)
        return
    try:
        persist(write)
    except WrongState as exc:
        logger.warning("%s: the outcome is not recorded again: %s", backup, exc)


def _record_success(backup: Backup, taken: Taken, at: datetime) -> None:
    """One transaction, which may be tried again: it changes nothing when it had been committed after all."""
    backup.hold_again()
    with transaction.atomic():
        Source.objects.select_for_update().get(pk=backup.source_id)  # before the backup, as everywhere
        record_stored(backup, taken, at=at)


def record_stored(backup: Backup, taken: Taken, *, at: datetime) -> None:
    """The backup is in the store: say so, end the failure series, ask for the proofs. The caller holds the source."""
    source = backup.source
    backup.move(
        Status.SUCCEEDED,
        completed_at=at,
        failure_code="",
        failure_reason="",
        phase="",
        location=taken.location,
        size_bytes=sum(f.size_bytes for f in taken.files),
        logical_size_bytes=taken.artifact.logical_size_bytes,
        manifest=[f.as_json() for f in taken.files],
        figures=dict(taken.artifact.figures),
        engine_version=taken.artifact.engine_version[:200],
        lease_until=None,
        delete_after=keep_until(at, online_days=source.policy.online_days, keep_days=backup.keep_days),
    )
    _end_attempt(backup, "succeeded", at=at)
    publish("backups.backup.succeeded", subject=backup.pk, at=at, data={"source": source.slug})
    _end_failure_series(source, backup, at=at)
    queue_verification(backup, rung=Rung.FILES, by=WORKER, at=at)
    if BackupType(backup.backup_type) is BackupType.FULL:
        queue_verification(backup, rung=Rung.RESTORE, by=WORKER, at=at)
    facts = {"source": source.slug, "type": backup.backup_type, "size_bytes": backup.size_bytes}
    audit.record("backups.backup.succeeded", by=WORKER, subject=backup, at=at, after=facts)


def _record_failure(backup: Backup, failure: Failure, workshop: Workshop) -> None:
    """Queue again while another try could help, else fail; one failure series per source, however many tries."""
    at, policy = workshop.now(), backup.source.policy
    again = may_try_again(attempt=backup.attempt, max_attempts=policy.max_attempts, permanent=failure.permanent)
    backup.hold_again()
    with transaction.atomic():
        if failure.code != "cancelled":
            note_failure(backup.source, reason=failure.reason, backup=backup, at=at)
        _end_attempt(backup, "failed", at=at, code=failure.code, reason=failure.reason)
        if again:
            delay = retry_delay(attempt=backup.attempt, chance=random.SystemRandom())
            backup.move(
                Status.QUEUED,
                key="",
                not_before=at + delay,
                woken_at=None,
                lease_until=None,
                phase="",
                failure_code=failure.code,
                failure_reason=failure.reason,
            )
        else:
            fail_backup(backup, failure=failure, at=at)


def fail_backup(backup: Backup, *, failure: Failure, at: datetime) -> None:
    """Record the end of a backup that did not come about. The caller holds the transaction."""
    backup.move(
        Status.FAILED,
        key="",
        completed_at=at,
        lease_until=None,
        phase="",
        failure_code=failure.code,
        failure_reason=failure.reason,
    )
    cancelled = failure.code == "cancelled"
    publish(
        "backups.backup.cancelled" if cancelled else "backups.backup.failed",
        subject=backup.pk,
        at=at,
        data={"source": backup.source.slug, "reason": failure.reason, "code": failure.code},
    )
    audit.record(
        "backups.backup.failed",
        by=WORKER,
        subject=backup,
        at=at,
        after={"source": backup.source.slug, "code": failure.code, "reason": failure.reason},
    )


def note_failure(source: Source, *, reason: str, backup: Backup, at: datetime) -> None:
    """Open or lengthen the source's failure series; only its beginning is published (SPEC B8: not one a try)."""
    opened = Source.objects.filter(pk=source.pk, failing_since__isnull=True).update(failing_since=at)
    Source.objects.filter(pk=source.pk).update(failing_reason=reason, failing_tries=F("failing_tries") + 1)
    if opened:
        publish("backups.source.failing", subject=source.pk, at=at, data={"backup": backup.pk, "reason": reason})


def _end_failure_series(source: Source, backup: Backup, *, at: datetime) -> None:
    ended = Source.objects.filter(pk=source.pk, failing_since__isnull=False).update(
        failing_since=None, failing_reason="", failing_tries=0
    )
    if ended:
        publish("backups.source.recovered", subject=source.pk, at=at, data={"backup": backup.pk})


def _end_attempt(backup: Backup, outcome: str, *, at: datetime, code: str = "", reason: str = "") -> None:
    Attempt.objects.filter(backup=backup, number=backup.attempt).update(
        ended_at=at, outcome=outcome, code=code, reason=reason
    )
