"""Bringing backups back to a new place (SPEC B11)."""

import logging
import random
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path

from django.db import IntegrityError, transaction

from backups import selectors
from backups.engines.base import EngineError, Outcome, Restored, RestoreJob
from backups.models import Backup, Restore, WrongState
from backups.rules import RestoreStatus, Status, may_try_again, retry_delay
from backups.secrets import BadSettings
from backups.services.leases import Held, persist
from backups.stores.base import StoreError
from backups.workshop import Workshop, opened_chain, spec_of
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.events import publish

logger = logging.getLogger(__name__)

WORKER = Actor.task("backups.restore")
MAX_ATTEMPTS = 3


def request_restore(
    *,
    backup: Backup,
    restores_dir: Path,
    by: Actor,
    at: datetime,
    target: str = "",
    start_server: bool = False,
    paths: Sequence[str] = (),
) -> Restore:
    """Queue a restore to a new place below `restores_dir`; without a target, one named after source, backup and time.

    Raises WrongState for a backup that is not stored, known bad, or stands on one that is; BadSettings for a
    target outside, one that has something in it, or what the engine cannot do.
    """
    _refuse_bad(backup)
    if paths:
        raise BadSettings({"paths": [f"The engine {backup.engine} restores the whole only; leave paths out"]})
    place = check_target(target, restores_dir) if target else _new_place(backup, restores_dir, at)
    try:
        with transaction.atomic():
            restore = Restore.objects.create(
                backup=backup,
                target=str(place),
                start_server=start_server,
                requested_by=by.name,
                requested_at=at,
                not_before=at,
                woken_at=at,
            )
            audit.record(
                "backups.restore.requested",
                by=by,
                subject=restore,
                at=at,
                after={"backup": backup.pk, "target": str(place), "start_server": start_server},
            )
            publish("backups.restore.queued", subject=restore.pk, at=at, data={"backup": backup.pk})
    except IntegrityError:
        raise BadSettings({"target": [f"Another restore to {place} is under way; name another folder"]}) from None
    return restore


def _refuse_bad(backup: Backup) -> None:
    if backup.status != Status.SUCCEEDED.value:
        raise WrongState(
            f"Backup {backup.pk} is {backup.status}: only a stored backup can be restored", current=backup.status
        )
    bad = selectors.broken_link(selectors.chain(backup))
    if bad is None:
        return
    whose = "It" if bad.pk == backup.pk else f"It stands on backup {bad.pk}, which"
    what = f"was found bad: {bad.verification_detail}" if bad.known_bad else f"is {bad.status}"
    raise WrongState(f"Backup {backup.pk} is not restored. {whose} {what}. Restore another one.", current=backup.status)


def check_target(target: str, restores_dir: Path) -> Path:
    """The folder meant by `target` (relative ones lie below `restores_dir`). Raises BadSettings."""
    if "\0" in target or len(target) > 1000:
        raise BadSettings({"target": ["Not the name of a folder"]})
    base = restores_dir.resolve()
    place = (base / target).resolve()
    if place == base or base not in place.parents:
        raise BadSettings(
            {"target": [f"Restores go below {base} only (SYSOPS_RESTORE_DIR); {target!r} is outside of it"]}
        )
    if _has_something(place):
        raise BadSettings({"target": [f"{place} has something in it; name a new or empty folder"]})
    return place


def _has_something(place: Path) -> bool:
    try:
        return any(place.iterdir())
    except FileNotFoundError:
        return False
    except (NotADirectoryError, PermissionError):
        return True


def _new_place(backup: Backup, restores_dir: Path, at: datetime) -> Path:
    return restores_dir.resolve() / f"{backup.source.slug}-{backup.pk}-{at:%Y%m%dT%H%M%S%f}"


def execute_restore(*, restore_id: int, workshop: Workshop) -> None:
    """Claim, restore, record. Nothing to do when another worker has it or it is not its time."""
    restore = _claim(restore_id, workshop)
    if restore is None:
        return
    policy = restore.backup.source.policy
    with Held(restore, now=workshop.now, time_limit_seconds=policy.time_limit_seconds) as held:
        try:
            restored = _restore(restore, workshop, held)
        except (EngineError, StoreError, WrongState) as exc:
            permanent = isinstance(exc, WrongState) or exc.permanent or held.cancelled
            reason = f"Cancelled by {held.cancelled_by}" if held.cancelled_by else str(exc)
            write = partial(_record_failure, restore, reason, permanent=permanent, at=workshop.now())
        except Exception:
            if not held.lost:
                reason = "Unexpected error; see the worker's log"
                persist(partial(_record_failure, restore, reason, permanent=True, at=workshop.now()))
            raise
        else:
            write = partial(_record_success, restore, restored, at=workshop.now())
        if held.lost:
            return
        try:
            persist(write)
        except WrongState as exc:
            logger.warning("%s: the outcome is not recorded: %s", restore, exc)


def _claim(restore_id: int, workshop: Workshop) -> Restore | None:
    at = workshop.now()
    restore = Restore.objects.select_related("backup__source__policy", "backup__store").get(pk=restore_id)
    if restore.status != RestoreStatus.QUEUED.value or restore.not_before > at:
        return None
    try:
        with transaction.atomic():
            restore.claim(at=at, host=workshop.host, started_at=at, failure_reason="")
            publish("backups.restore.started", subject=restore.pk, at=at, data={"backup": restore.backup_id})
    except WrongState:
        return None
    return restore


def _restore(restore: Restore, workshop: Workshop, held: Held) -> Restored:
    backup = restore.backup
    _refuse_bad(backup)
    target = Path(restore.target)
    if _has_something(target):
        raise WrongState(f"{target} has something in it by now; ask for a new folder")
    # From here on what lies there is ours, and the reaper may remove it when we die.
    persist(lambda: Restore.objects.filter(pk=restore.pk, attempt=restore.attempt).update(wrote_at=workshop.now()))
    with opened_chain(selectors.chain(backup), workshop) as chain:
        job = RestoreJob(
            source=spec_of(backup.source),
            chain=chain,
            target=target,
            start_server=restore.start_server,
            paths=restore.paths,
            tools=workshop.tools,
            control=held.control,
        )
        return workshop.engine(backup.engine).restore(job)


def _record_success(restore: Restore, restored: Restored, *, at: datetime) -> None:
    checks = [asdict(check) for check in restored.checks]
    failed = [c for c in restored.checks if c.outcome is Outcome.FAILED]
    words = "; ".join(f"{c.name}: {c.detail}" for c in failed)
    status = RestoreStatus.FAILED if failed else RestoreStatus.SUCCEEDED
    reason = f"Restored, but not right: {words}" if failed else ""
    _finish(restore, status, at=at, checks=checks, connection=restored.connection or "", failure_reason=reason)


def _record_failure(restore: Restore, reason: str, *, permanent: bool, at: datetime) -> None:
    if may_try_again(attempt=restore.attempt, max_attempts=MAX_ATTEMPTS, permanent=permanent):
        delay = retry_delay(attempt=restore.attempt, chance=random.SystemRandom())
        restore.move(
            RestoreStatus.QUEUED, not_before=at + delay, woken_at=None, lease_until=None, failure_reason=reason
        )
        return
    _finish(restore, RestoreStatus.FAILED, at=at, failure_reason=reason)


def _finish(restore: Restore, status: RestoreStatus, *, at: datetime, **changes: object) -> None:
    with transaction.atomic():
        restore.move(status, completed_at=at, lease_until=None, phase="", **changes)
        facts = {"backup": restore.backup_id, "target": restore.target, "reason": restore.failure_reason}
        publish(f"backups.restore.{status.value}", subject=restore.pk, at=at, data=facts)
        audit.record(f"backups.restore.{status.value}", by=WORKER, subject=restore, at=at, after=facts)


def take_back(restore: Restore, workshop: Workshop) -> None:
    """Pick up a restore whose worker died: remove what it wrote, then try again or give up."""
    target = Path(restore.target)
    if restore.wrote_at is not None and target.exists():
        workshop.engine(restore.backup.engine).stop_server(target, workshop.tools)
        shutil.rmtree(target)
    reason = f"The worker on {restore.host} died or was cut off while restoring"
    _record_failure(restore, reason, permanent=False, at=workshop.now())


def cancel_restore(*, restore: Restore, by: Actor, at: datetime) -> None:
    """End a queued restore at once; tell the worker of a running one to stop. Raises WrongState."""
    with transaction.atomic():
        held = Restore.objects.select_for_update().get(pk=restore.pk)
        if held.status == RestoreStatus.QUEUED.value:
            held.cancel_requested_by = by.name
            _finish(held, RestoreStatus.FAILED, at=at, failure_reason=f"Cancelled by {by.name}")
        elif held.status == RestoreStatus.RUNNING.value:
            Restore.objects.filter(pk=held.pk).update(cancel_requested_by=by.name)
        else:
            raise WrongState(f"Restore {held.pk} is {held.status}: there is nothing to cancel", current=held.status)
        audit.record("backups.restore.cancel", by=by, subject=held, at=at, before={"status": held.status})


def stop_restored_server(*, restore: Restore, workshop: Workshop, by: Actor) -> None:
    """Stop the server that a restore left running; its folder stays. Raises WrongState when there is none."""
    if not restore.connection or restore.server_stopped_at is not None:
        raise WrongState(f"Restore {restore.pk} has no running server", current=restore.status)
    workshop.engine(restore.backup.engine).stop_server(Path(restore.target), workshop.tools)
    at = workshop.now()
    with transaction.atomic():
        Restore.objects.filter(pk=restore.pk).update(server_stopped_at=at)
        audit.record("backups.restore.server_stopped", by=by, subject=restore, at=at, after={"target": restore.target})
