"""Removing what is past its time (SPEC B5): decided by backups.retention, recorded, done, and finished if cut off."""

import logging
from datetime import datetime

from django.db import transaction

from backups import selectors
from backups.models import Backup, Removal, WrongState
from backups.retention import Decision, Stored, decide
from backups.rules import Status, VerificationStatus
from backups.stores.base import StoreError
from backups.workshop import Workshop
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.events import publish

logger = logging.getLogger(__name__)

WORKER = Actor.task("backups.apply_retention")


def preview(*, at: datetime) -> list[Decision]:
    """What `apply` would do with each backup past its time, and why."""
    overdue = Backup.objects.filter(status=Status.SUCCEEDED.value, delete_after__lte=at)
    sources = overdue.order_by().values_list("source_id", flat=True).distinct()
    used = selectors.in_use_ids()
    fields = (
        *("pk", "source_id", "parent_id", "completed_at", "delete_after"),
        *("verification_status", "proven_at", "held_by"),
    )
    rows = Backup.objects.filter(source__in=sources, status=Status.SUCCEEDED.value).only(*fields).order_by("pk")
    return decide(
        (
            Stored(
                backup_id=b.pk,
                source_id=b.source_id,
                parent_id=b.parent_id,
                completed_at=b.completed_at,
                delete_after=b.delete_after,
                good=not b.known_bad,
                passed=b.verification_status == VerificationStatus.PASSED.value,
                proven=b.proven_at is not None,
                held=bool(b.held_by),
                busy=b.pk in used,
            )
            for b in rows.iterator(chunk_size=5000)
            if b.completed_at and b.delete_after
        ),
        now=at,
    )


def apply(*, workshop: Workshop) -> int:
    """Remove every backup whose time is over and that nothing needs; how many. Safe to run twice at once."""
    removed = 0
    for decision in preview(at=workshop.now()):
        if decision.remove and _expire(decision, at=workshop.now()):
            removed += 1
    finish_removals(workshop=workshop)
    return removed


def _expire(decision: Decision, *, at: datetime) -> bool:
    """Take one backup out of use and record its removal; False when something needs it by now."""
    with transaction.atomic():
        backup = Backup.objects.select_for_update(of=("self",)).select_related("source").get(pk=decision.backup_id)
        stored_children = backup.children.filter(status__in=[Status.SUCCEEDED.value, Status.RUNNING.value])
        if backup.held_by or stored_children.exists() or selectors.is_in_use(backup):
            return False
        try:
            backup.move(Status.EXPIRED)
        except WrongState:
            return False
        Removal.objects.create(
            backup=backup,
            reason=decision.reason,
            removed_by=WORKER.name,
            removed_at=at,
            freed_bytes=backup.size_bytes,
        )
        facts = {"source": backup.source.slug, "reason": decision.reason, "size_bytes": backup.size_bytes}
        audit.record("backups.backup.expired", by=WORKER, subject=backup, at=at, after=facts)
        publish("backups.backup.expired", subject=backup.pk, at=at, data=facts)
    return True


def finish_removals(*, workshop: Workshop) -> int:
    """Remove the files of every expired backup that still has them, also after a crash in between; how many."""
    done = 0
    waiting = Backup.objects.select_related("store").filter(status=Status.EXPIRED.value, removed_at__isnull=True)
    for backup in waiting.order_by("pk"):
        try:
            workshop.store(backup.store).remove(backup.key)
        except StoreError as exc:
            logger.error("%s: its files could not be removed and will be tried again: %s", backup, exc)
            continue
        Backup.objects.filter(pk=backup.pk).update(removed_at=workshop.now())
        done += 1
    return done
