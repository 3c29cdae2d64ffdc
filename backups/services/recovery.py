"""Setting right what crashes and lost messages leave: nothing waits for ever, nothing "runs" with nobody behind it."""

import logging
import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

from django.db import connection, transaction
from django.db.models import F, Q, QuerySet

from backups.engines.scratch import sweep_scratch
from backups.models import Attempt, Backup, Restore, Verification, WrongState
from backups.models import Store as StoreRow
from backups.models.moves import Leased
from backups.rules import (
    LEASE,
    WAKE_AGAIN,
    RestoreStatus,
    Status,
    VerificationStatus,
    may_try_again,
)
from backups.services import restores, runs, verifications
from backups.services.runs import Failure
from backups.stores.base import StoreError
from backups.workshop import Workshop
from sysops.events import publish

logger = logging.getLogger(__name__)

Row = TypeVar("Row", bound=Leased)
Wake = Callable[..., bool]
MOST_WOKEN = 50  # per sweep and kind; the next sweep wakes the next ones
ATTEMPT_KEY = re.compile(r"(?P<source>[-a-zA-Z0-9_]+)/(?P<id>\d{1,18})-(?P<attempt>\d{1,9})")
LOST = "The worker on {host} died or was cut off (its lease ran out) during attempt {attempt}"


def sweep(*, workshop: Workshop, wake: Wake) -> None:
    """Take back what dead workers held, then wake workers for everything that waits and is due."""
    take_back_lost(workshop=workshop)
    at = workshop.now()
    for model, waiting, task in (
        (Backup, Status.QUEUED, "backups.take"),
        (Verification, VerificationStatus.PENDING, "backups.verify"),
        (Restore, RestoreStatus.QUEUED, "backups.restore"),
    ):
        _wake_waiting(model, waiting.value, task, wake=wake, at=at)


def _wake_waiting(model: type[Leased], waiting: str, task: str, *, wake: Wake, at: datetime) -> None:
    """Publish again for rows whose message got lost, or whose time has come after a failed try."""
    due = model._base_manager.filter(
        Q(woken_at__isnull=True) | Q(woken_at__lte=at - WAKE_AGAIN), status=waiting, not_before__lte=at
    ).order_by(F("woken_at").asc(nulls_first=True), "pk")
    pks = list(due.values_list("pk", flat=True)[:MOST_WOKEN])
    # Marked first: with the broker away the next sweep would otherwise find the same rows at once.
    model._base_manager.filter(pk__in=pks, status=waiting).update(woken_at=at)
    for pk in pks:
        if not wake(task, subject=str(pk), expires=WAKE_AGAIN.total_seconds()):
            logger.warning("The broker is away; %s of %s waits for the next sweep", task, pk)
            model._base_manager.filter(pk__in=pks, status=waiting).update(woken_at=None)
            return


def take_back_lost(*, workshop: Workshop) -> int:
    """Find rows whose lease ran out, clean up behind their workers, and queue or end them; how many."""
    at = workshop.now()
    if _database_just_came_back():
        return 0
    found = 0
    for backup in _lost(Backup, at).select_related("source__policy", "store"):
        found += _interrupt(backup, at=at)
    for backup in Backup.objects.filter(status=Status.INTERRUPTED.value).select_related("source__policy", "store"):
        _pick_up(backup, workshop)
    for verification in _lost(Verification, at).select_related("backup__source__policy"):
        reason = LOST.format(host=verification.host, attempt=verification.attempt)
        found += _quietly(partial(verifications.record_obstacle, verification, reason, at=at))
    for restore in _lost(Restore, at).select_related("backup__source__policy"):
        found += _quietly(partial(restores.take_back, restore, workshop))
    if found:
        sweep_scratch(workshop.tools, ())  # living workers hold a lock on theirs
    return found


def _database_just_came_back() -> bool:
    """Whether PostgreSQL started less than a lease ago: nobody could renew while it was away."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())")
        return bool(cursor.fetchone()[0] < LEASE.total_seconds())


def _lost(model: type[Row], at: datetime) -> QuerySet[Row]:
    return model._base_manager.filter(status=model.RUNNING.value, lease_until__lt=at).order_by("pk")


def _quietly(act: Callable[[], None]) -> int:
    """1 when done, 0 when another sweeper was first."""
    try:
        act()
    except WrongState:
        return 0
    return 1


def _interrupt(backup: Backup, *, at: datetime) -> int:
    reason = LOST.format(host=backup.host, attempt=backup.attempt)

    def act() -> None:
        with transaction.atomic():
            backup.move(
                Status.INTERRUPTED, failure_code="lost_lease", failure_reason=reason, lease_until=None, phase=""
            )
            Attempt.objects.filter(backup=backup, number=backup.attempt).update(
                ended_at=at, outcome="interrupted", code="lost_lease", reason=reason
            )
            runs.note_failure(backup.source, reason=reason, backup=backup, at=at)
            publish("backups.backup.interrupted", subject=backup.pk, at=at, data={"source": backup.source.slug})

    return _quietly(act)


def _pick_up(backup: Backup, workshop: Workshop) -> None:
    """Remove what the dead worker left, then queue the backup again, or fail it after its last attempt."""
    store = workshop.store(backup.store)
    try:
        store.discard(backup.attempt_key)
        store.remove(backup.attempt_key)  # committed, but never recorded
    except StoreError as exc:
        logger.error("%s: its files stay for the next sweep: %s", backup, exc)
        return
    at = workshop.now()
    again = may_try_again(
        attempt=backup.attempt,
        max_attempts=backup.source.policy.max_attempts,
        permanent=bool(backup.cancel_requested_by),
    )

    def act() -> None:
        with transaction.atomic():
            if again:
                backup.move(Status.QUEUED, not_before=at, woken_at=None)
            else:
                runs.fail_backup(backup, failure=Failure(backup.failure_code, backup.failure_reason), at=at)

    _quietly(act)


def sweep_files(*, workshop: Workshop) -> int:
    """Remove staged and scratch files that no running row stands behind any more; how many things."""
    removed = 0
    for row in StoreRow.objects.order_by("pk"):
        try:
            removed += _sweep_store(row, workshop)
        except StoreError as exc:
            logger.error("Store %s was not swept: %s", row.slug, exc)
    return removed + len(sweep_scratch(workshop.tools, ()))


def _sweep_store(row: StoreRow, workshop: Workshop) -> int:
    """Only what an attempt of ours staged is touched: another Sysops may share the store."""
    store = workshop.store(row)
    # Listed before the running ones are read: an attempt that begins in between is not in the list.
    staged = [(key, match) for key in store.staged_keys() if (match := ATTEMPT_KEY.fullmatch(key))]
    ours = {b.pk: b for b in Backup.objects.select_related("source").filter(pk__in=[int(m["id"]) for _, m in staged])}
    removed = 0
    for key, match in staged:
        backup = ours.get(int(match["id"]))
        if backup is None or backup.source.slug != match["source"]:
            continue
        if backup.status == Status.RUNNING.value and backup.attempt_key == key:
            continue
        store.discard(key)
        logger.info("Removed what attempt %s had staged", key)
        removed += 1
    return removed


def finished_before(moment: datetime) -> int:
    """Delete the records of passed re-reads older than `moment`; how many. Failed ones stay with their backup."""
    old = Verification.objects.filter(rung="reread", status=VerificationStatus.PASSED.value, completed_at__lt=moment)
    return old.delete()[0]
