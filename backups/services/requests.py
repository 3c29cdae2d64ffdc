"""Asking for backups, and taking the request back."""

from datetime import datetime

from django.db import transaction

from backups.engines.base import engines
from backups.models import Backup, Source, WrongState
from backups.rules import ACTIVE, BackupType, Status, WhenBusy
from backups.selectors import active_backup
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.access.driver_settings import BadSettings
from sysops.events import publish
from sysops.kernel.registry import UnknownName


class Busy(Exception):
    """A backup of the source is queued or running already; `active` is that one."""

    def __init__(self, active: Backup) -> None:
        super().__init__(
            f"Backup {active.pk} of {active.source.slug} is {active.status} already: wait for it or cancel it"
        )
        self.active = active


def check_type(source: Source, backup_type: BackupType) -> None:
    """Raises BadSettings when the source's engine has no such type; it never quietly makes another one."""
    try:
        types = engines.get(source.engine).types
    except UnknownName as exc:
        raise BadSettings({"source": [f"{source.slug} cannot be backed up here: {exc}"]}) from None
    if backup_type not in types:
        known = ", ".join(sorted(types))
        raise BadSettings(
            {"backup_type": [f"The engine {source.engine} of {source.slug} knows {known} only, not {backup_type}"]}
        )


def request_backup(
    *, source: Source, backup_type: BackupType, by: Actor, at: datetime, keep_days: int | None = None
) -> Backup:
    """Queue a backup of the source.

    Raises Busy while one is queued or running (unless the policy queues a second one), BadSettings when
    the engine has no such type.
    """
    check_type(source, backup_type)
    with transaction.atomic():
        # The lock makes two requests of the same instant take turns: the second finds the first.
        locked = Source.objects.select_for_update(of=("self",)).select_related("policy").get(pk=source.pk)
        active = active_backup(locked)
        if active and not _may_wait_behind(active, locked):
            raise Busy(active)
        return queue_backup(locked, backup_type=backup_type, by=by, at=at, keep_days=keep_days)


def queue_backup(source: Source, *, backup_type: BackupType, by: Actor, at: datetime, keep_days: int | None) -> Backup:
    """The queued row, audited and published. The caller holds the source's lock."""
    backup = Backup.objects.create(
        source=source,
        store_id=source.policy.store_id,
        engine=source.engine,
        requested_type=backup_type.value,
        backup_type=backup_type.value,
        requested_by=by.name,
        requested_at=at,
        not_before=at,
        woken_at=at,
        keep_days=keep_days,
    )
    audit.record("backups.backup.requested", by=by, subject=backup, at=at, after=_facts(backup))
    publish("backups.backup.queued", subject=backup.pk, at=at, data={"source": source.slug})
    return backup


def _may_wait_behind(active: Backup, source: Source) -> bool:
    """With the policy `queue`, one backup may wait behind a running one; never two."""
    if source.policy.when_busy != WhenBusy.QUEUE.value or active.status != Status.RUNNING.value:
        return False
    return not Backup.objects.filter(source=source, status=Status.QUEUED.value).exists()


def cancel_backup(*, backup: Backup, by: Actor, at: datetime) -> Backup:
    """End a queued backup at once; tell the worker of a running one to stop. Raises WrongState."""
    with transaction.atomic():
        held = Backup.objects.select_for_update(of=("self",)).select_related("source").get(pk=backup.pk)
        status = Status(held.status)
        if status not in ACTIVE:
            raise WrongState(f"Backup {held.pk} is {status}: there is nothing to cancel", current=status)
        if status is not Status.QUEUED:  # its worker, or the one that picks it up, hears of it and clears up
            Backup.objects.filter(pk=held.pk).update(cancel_requested_by=by.name)
        else:
            held.move(
                Status.FAILED,
                completed_at=at,
                failure_code="cancelled",
                failure_reason=f"Cancelled by {by.name}",
                cancel_requested_by=by.name,
            )
            publish("backups.backup.cancelled", subject=held.pk, at=at, data={"source": held.source.slug})
        audit.record("backups.backup.cancel", by=by, subject=held, at=at, before={"status": status.value})
    held.refresh_from_db()
    return held


def hold_backup(*, backup: Backup, reason: str, by: Actor, at: datetime) -> None:
    """Keep the backup, and all it stands on, whatever its age, until released. Raises BadSettings, WrongState."""
    if not reason.strip():
        raise BadSettings({"reason": ["Say why it is held; the next person will want to know"]})
    _set_hold(backup, reason=reason.strip(), holder=by.name, by=by, at=at)


def release_backup(*, backup: Backup, by: Actor, at: datetime) -> None:
    """Let retention decide again. Raises WrongState."""
    _set_hold(backup, reason="", holder="", by=by, at=at)


def _set_hold(backup: Backup, *, reason: str, holder: str, by: Actor, at: datetime) -> None:
    with transaction.atomic():
        changed = Backup.objects.filter(pk=backup.pk, status=Status.SUCCEEDED.value).update(
            held_by=holder, held_reason=reason
        )
        if not changed:
            raise WrongState(f"Backup {backup.pk} is {backup.status}: only a stored one is held", current=backup.status)
        audit.record(
            "backups.backup.held" if holder else "backups.backup.released",
            by=by,
            subject=backup,
            at=at,
            before={"held_by": backup.held_by, "held_reason": backup.held_reason},
            after={"held_by": holder, "held_reason": reason},
        )
    backup.held_by, backup.held_reason = holder, reason


def _facts(backup: Backup) -> dict[str, object]:
    return {"source": backup.source.slug, "type": backup.requested_type, "keep_days": backup.keep_days}
