"""Bringing backups back to a new place (SPEC B11)."""

import logging
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from django.db import IntegrityError, transaction

from backups import places, selectors
from backups.engines.base import EngineError, Outcome, Restored, RestoreJob
from backups.models import Backup, Restore, WrongState
from backups.places import Place
from backups.rules import LEASE, MESSAGE_LIVES, WAKE_AGAIN, RestoreStatus, Status, may_try_again, retry_delay
from backups.services.leases import Held, persist
from backups.stores.base import StoreError
from backups.workshop import NOT_SET_UP, Workshop, opened_chain, spec_of
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.access.driver_settings import BadSettings
from sysops.events import publish

logger = logging.getLogger(__name__)

WORKER = Actor.task("backups.restore")
MAX_ATTEMPTS = 3
REMEMBERED = timedelta(days=30)  # what a restore left is looked for so long
STOP_TRIED_FOR = timedelta(hours=1)
MOST_WOKEN = 50


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
    """The folder meant by `target`: a new or empty one directly below `restores_dir`. Raises BadSettings."""
    if "\0" in target or len(target) > 1000:
        raise BadSettings({"target": ["Not the name of a folder"]})
    base = restores_dir.resolve()
    place = (base / target).resolve()
    if place == base or base not in place.parents:
        raise BadSettings(
            {"target": [f"Restores go below {base} only (SYSOPS_RESTORE_DIR); {target!r} is outside of it"]}
        )
    if place.parent != base:
        said = f"One folder directly below {base} is wanted, and {target!r} lies deeper: no restore lies in another"
        raise BadSettings({"target": [said]})
    if places.ATTEMPT_NAME.match(place.name) or len(os.fsencode(place.name)) > places.LONGEST_NAME_BYTES:
        said = f"Name a folder that does not end like those of attempts, in {places.LONGEST_NAME_BYTES} bytes at most"
        raise BadSettings({"target": [said]})
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
            restored, connection = _restore(restore, workshop, held)
        except (EngineError, StoreError, WrongState, *NOT_SET_UP) as exc:
            permanent = not isinstance(exc, EngineError | StoreError) or exc.permanent or held.cancelled
            reason = f"Cancelled by {held.cancelled_by}" if held.cancelled_by else str(exc)
            _try_record(
                restore, held, partial(_record_failure, restore, reason, permanent=permanent, at=workshop.now())
            )
        except Exception:
            reason = "Unexpected error; see the worker's log"
            _try_record(restore, held, partial(_record_failure, restore, reason, permanent=True, at=workshop.now()))
            raise
        else:
            _keep(restore, workshop, held, partial(_record_success, restore, restored, connection, at=workshop.now()))


def _try_record(restore: Restore, held: Held, write: Callable[[], None]) -> bool:
    """Whether it is recorded; not when somebody else took the row over: then what we found does not count."""
    if held.lost:
        logger.warning("%s: the lease was lost; what attempt %s found does not count", restore, restore.attempt)
        return False
    try:
        persist(write)
    except WrongState as exc:
        # The database may have gone away right after it had done it.
        done = Restore.objects.filter(pk=restore.pk, attempt=restore.attempt, status=RestoreStatus.SUCCEEDED.value)
        if not done.exists():
            logger.warning("%s: the outcome is not recorded: %s", restore, exc)
            return False
    return True


def _keep(restore: Restore, workshop: Workshop, held: Held, write: Callable[[], None]) -> None:
    """Record the success. What is not recorded does not stay, and what another attempt made is not touched."""
    place = _place(restore)
    if _try_record(restore, held, write):
        place.keep()
    else:
        place.remove(_stopper(restore, workshop))


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


def _place(restore: Restore) -> Place:
    return Place(Path(restore.target), restore.pk, restore.attempt)


def _stopper(restore: Restore, workshop: Workshop) -> places.Stop:
    return lambda folder: workshop.engine(restore.backup.engine).stop_server(folder, workshop.tools)


def _restore(restore: Restore, workshop: Workshop, held: Held) -> tuple[Restored, str]:
    """What was checked, and how to connect to the server. The target is filled, or nothing of this attempt is left."""
    backup, place = restore.backup, _place(restore)
    _refuse_bad(backup)
    stop = _stopper(restore, workshop)
    _clear_earlier(restore, stop)
    _require_free(place.target)
    try:
        with opened_chain(selectors.chain(backup), workshop) as chain:
            job = RestoreJob(
                source=spec_of(backup.source),
                chain=chain,
                folder=place.folder,
                target=place.target,
                start_server=restore.start_server,
                paths=restore.paths,
                tools=workshop.tools,
                control=held.control,
            )
            engine = workshop.engine(backup.engine)
            restored = engine.restore(job)
            if any(check.outcome is Outcome.FAILED for check in restored.checks):
                place.remove(stop)
                return restored, ""
            _require_ours(restore, workshop, held)
            _settle(place)
            if not restore.start_server:
                return restored, ""
            _require_ours(restore, workshop, held)
            return restored, engine.start_server(job)
    except BaseException:
        place.remove(stop)
        raise


def _require_free(target: Path) -> None:
    if target.resolve() != target:
        raise WrongState(f"{target} leads elsewhere by now ({target.resolve()}); ask for a new folder")
    if _has_something(target):
        raise WrongState(f"{target} has something in it by now; ask for a new folder")


def _require_ours(restore: Restore, workshop: Workshop, held: Held) -> None:
    """Raises Cancelled unless the database says at this moment that the attempt goes on.

    After a pause of the whole machine we are awake before our heartbeat is.
    """
    row = persist(
        lambda: Restore.renew(pk=restore.pk, attempt=restore.attempt, until=workshop.now() + LEASE, phase="placing")
    )
    if row is None:
        held.lost = True
    elif row.cancel_requested_by:
        held.cancelled_by = row.cancel_requested_by
    held.check()


def _settle(place: Place) -> None:
    try:
        place.settle()
    except places.Taken as exc:
        raise WrongState(str(exc)) from None


def _record_success(restore: Restore, restored: Restored, connection: str, *, at: datetime) -> None:
    restore.hold_again()
    checks = [asdict(check) for check in restored.checks]
    failed = [c for c in restored.checks if c.outcome is Outcome.FAILED]
    words = "; ".join(f"{c.name}: {c.detail}" for c in failed)
    status = RestoreStatus.FAILED if failed else RestoreStatus.SUCCEEDED
    reason = f"What was restored is not right, and was removed: {words}" if failed else ""
    _finish(restore, status, at=at, checks=checks, connection=connection, failure_reason=reason)


def _record_failure(restore: Restore, reason: str, *, permanent: bool, at: datetime) -> None:
    restore.hold_again()
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
    """Queue or end a restore whose worker died. Rows only: `clear_up` and the next attempt remove what it wrote."""
    cancelled_by = restore.cancel_requested_by
    reason = f"The worker on {restore.host} died or was cut off while restoring"
    reason = f"Cancelled by {cancelled_by}" if cancelled_by else reason
    _record_failure(restore, reason, permanent=bool(cancelled_by), at=workshop.now())


def clear_up(*, workshop: Workshop) -> int:
    """Remove what attempts left that no worker stands behind any more, here where restores lie; how many things."""
    tried = Restore.objects.filter(attempt__gt=0, requested_at__gt=workshop.now() - REMEMBERED)
    return sum(_clear_earlier(restore, _stopper(restore, workshop)) for restore in tried.select_related("backup"))


def _clear_earlier(restore: Restore, stop: places.Stop) -> int:
    """Remove what is left of the attempts before the one that runs; of all when the restore came to nothing."""
    removed = 0
    done = restore.status == RestoreStatus.SUCCEEDED.value
    running = restore.status == RestoreStatus.RUNNING.value
    for attempt in range(1, restore.attempt + (0 if running or done else 1)):
        place = Place(Path(restore.target), restore.pk, attempt)
        if place.is_there:
            logger.info("%s: removing what attempt %s left", restore, attempt)
            place.remove(stop)
            removed += 1
    return removed


def cancel_restore(*, restore: Restore, by: Actor, at: datetime) -> None:
    """End a queued restore at once; tell the worker of a running one to stop. Raises WrongState."""
    with transaction.atomic():
        held = Restore.objects.select_for_update().get(pk=restore.pk)
        before = held.status
        if before == RestoreStatus.QUEUED.value:
            reason = f"Cancelled by {by.name}"
            _finish(held, RestoreStatus.FAILED, at=at, failure_reason=reason, cancel_requested_by=by.name)
        elif before == RestoreStatus.RUNNING.value:
            Restore.objects.filter(pk=held.pk).update(cancel_requested_by=by.name)
        else:
            raise WrongState(f"Restore {held.pk} is {before}: there is nothing to cancel", current=before)
        audit.record("backups.restore.cancel", by=by, subject=held, at=at, before={"status": before})


def request_stop(*, restore: Restore, by: Actor, at: datetime) -> Restore:
    """Ask for the server that a restore left running to be stopped where it runs; its folder stays.

    Asked again it is tried again. Raises WrongState when there is no running server.
    """
    with transaction.atomic():
        held = Restore.objects.select_for_update().get(pk=restore.pk)
        if not held.server_runs:
            raise WrongState(f"Restore {held.pk} has no running server", current=held.status)
        held.stop_requested_by, held.stop_requested_at = by.name, at
        held.stop_failure, held.woken_at = "", at
        held.save(update_fields=["stop_requested_by", "stop_requested_at", "stop_failure", "woken_at"])
        facts = {"target": held.target, "host": held.host}
        audit.record("backups.restore.stop_requested", by=by, subject=held, at=at, after=facts)
        publish("backups.restore.stop_requested", subject=held.pk, at=at, data={"backup": held.backup_id})
    return held


def execute_stop(*, restore_id: int, workshop: Workshop) -> None:
    """Stop the server where it runs, and say so only when it is gone; else say why not, and try again later."""
    restore = Restore.objects.select_related("backup__source").get(pk=restore_id)
    if restore.stop_requested_at is None or not restore.server_runs:
        return
    try:
        _require_here(restore, workshop)
        _stopper(restore, workshop)(Path(restore.target))
    except (EngineError, *NOT_SET_UP) as exc:
        logger.warning("%s: its server is not stopped: %s", restore, exc)
        Restore.objects.filter(pk=restore.pk, server_stopped_at=None).update(stop_failure=str(exc))
        return
    record_stopped(restore, at=workshop.now())


def record_stopped(restore: Restore, *, at: datetime, reason: str = "") -> bool:
    """Whether it was news that the server runs no more; `reason` when nobody here stopped it."""
    with transaction.atomic():
        mine = Restore.objects.filter(pk=restore.pk, server_stopped_at=None)
        if mine.update(server_stopped_at=at, stop_failure=reason) != 1:
            return False
        facts = {"target": restore.target, "requested_by": restore.stop_requested_by, "reason": reason}
        audit.record("backups.restore.server_stopped", by=WORKER, subject=restore, at=at, after=facts)
        publish("backups.restore.server_stopped", subject=restore.pk, at=at, data={"backup": restore.backup_id})
    return True


def _require_here(restore: Restore, workshop: Workshop) -> None:
    if restore.host != workshop.host:
        raise EngineError(
            f"The server runs on {restore.host}, and the worker that was asked is on {workshop.host}; "
            f"it is asked again until the one on {restore.host} answers",
            code="out_of_sight",
        )


def wake_stops(*, wake: Callable[..., bool], at: datetime) -> None:
    """Ask again for stops whose message got lost or that did not succeed, for an hour after they were asked for."""
    asked = Restore.objects.filter(
        stop_requested_at__gt=at - STOP_TRIED_FOR, server_stopped_at=None, woken_at__lte=at - WAKE_AGAIN
    )
    for pk in asked.order_by("woken_at", "pk").values_list("pk", flat=True)[:MOST_WOKEN]:
        if not wake("backups.stop_server", subject=str(pk), expires=MESSAGE_LIVES.total_seconds()):
            return  # the broker is away; the next sweep asks again
        Restore.objects.filter(pk=pk).update(woken_at=at)
