"""What people may do to sources, backups and restores from their pages."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast

from django.conf import settings
from django.contrib import messages
from django.db import models
from django.urls import reverse

from backups.admin.base import RELEASE, REQUEST, RESTORE
from backups.admin.forms import BackUpForm, HoldForm, RestoreForm, VerifyForm
from backups.models import Backup, Restore, Source
from backups.rules import ACTIVE, BackupType, RestoreStatus, Rung, Status
from backups.services import requests, restores, verifications
from backups.workshop import open_store
from sysops.access.actors import Actor
from sysops.env import Environment
from sysops.kernel.words import size_words, span_words
from sysops.pages.acts import Act, Done

Given = Mapping[str, object]

HOLD_MEANS = (
    "Retention keeps it, and every backup it stands on, whatever their age.",
    "It stays held until somebody with the right to do so releases it.",
)


def _url(row: models.Model) -> str:
    return reverse(f"admin:backups_{row._meta.model_name}_change", args=[row.pk])


def _back_up(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    source = cast(Source, row)
    backup_type = BackupType(str(given["backup_type"]))
    backup = requests.request_backup(source=source, backup_type=backup_type, by=by, at=at)
    return Done(f"{backup_type.capitalize()} backup {backup.pk} of {source.name} is queued.", _url(backup))


def _back_up_will(row: models.Model) -> Sequence[str]:
    source = cast(Source, row)
    return (
        f"A worker takes a backup of {source.name} now and puts it into {source.policy.store}.",
        "Right after, its files are checked; a full backup is also proven by a restore into a scratch place.",
        f"It is tried up to {source.policy.max_attempts} times, each for {span_words(source.policy.time_limit_seconds)}"
        " at most.",
    )


def _verify(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    backup = cast(Backup, row)
    rung = Rung(str(given["rung"]))
    verification = verifications.request_verification(backup=backup, rung=rung, by=by, at=at)
    return Done(f"Verification {verification.pk} of backup {backup.pk} is queued.", _url(verification))


def _verify_will(row: models.Model) -> Sequence[str]:
    return (
        "Nothing about the stored files changes; what is restored into scratch is removed again.",
        "Each check is kept with its figures. A backup found bad is not restored and nothing more stands on it.",
    )


def _restore(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    env: Environment = settings.ENV
    restore = restores.request_restore(
        backup=cast(Backup, row),
        restores_dir=env.restores,
        by=by,
        at=at,
        target=str(given["target"]),
        start_server=bool(given["start_server"]),
    )
    return Done(f"Restore {restore.pk} to {restore.target} is queued.", _url(restore))


def _restore_will(row: models.Model) -> Sequence[str]:
    backup = cast(Backup, row)
    env: Environment = settings.ENV
    size = size_words(backup.logical_size_bytes or backup.size_bytes)
    return (
        f"Backup {backup.pk} of {backup.source.name}, with all it stands on, is restored to a new folder"
        f" below {env.restores}.",
        f"That takes {size} of room there. What it was taken from is not touched.",
        "The restored data is checked before the restore counts as succeeded.",
    )


def _cancel_backup(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    backup = requests.cancel_backup(backup=cast(Backup, row), by=by, at=at)
    if backup.status == Status.RUNNING.value:
        return Done(f"The worker on {backup.host} was told to stop backup {backup.pk}.", level=messages.INFO)
    return Done(f"Backup {backup.pk} is cancelled.")


def _cancel_backup_will(row: models.Model) -> Sequence[str]:
    return (
        "A backup that waits ends at once. One that runs is stopped within seconds, and what it wrote is removed.",
        "It counts as failed, with your name as the reason. The schedule goes on as before.",
    )


def _hold(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    requests.hold_backup(backup=cast(Backup, row), reason=str(given["reason"]), by=by, at=at)
    return Done(f"Backup {row.pk} is held.")


def _release(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    requests.release_backup(backup=cast(Backup, row), by=by, at=at)
    return Done(f"Backup {row.pk} is released: retention decides again.")


def _release_will(row: models.Model) -> Sequence[str]:
    backup = cast(Backup, row)
    return (
        f"It was held by {backup.held_by}: {backup.held_reason}",
        "From now on retention may remove it when its time is over.",
    )


def _cancel_restore(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    restores.cancel_restore(restore=cast(Restore, row), by=by, at=at)
    return Done(f"Restore {row.pk} is cancelled, or its worker told to stop.")


def _cancel_restore_will(row: models.Model) -> Sequence[str]:
    return ("What was restored so far is removed. The backup itself is not touched.",)


def _stop_server(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    restore = restores.request_stop(restore=cast(Restore, row), by=by, at=at)
    return Done(f"The worker on {restore.host} was told to stop the server of restore {row.pk}.", level=messages.INFO)


def _stop_server_will(row: models.Model) -> Sequence[str]:
    restore = cast(Restore, row)
    return (f"The server in {restore.target} stops and its connections end.", "The folder stays where it is.")


def _try_store(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    open_store(row).check()  # type: ignore[arg-type]
    return Done(f"{row} works: a small file was written, read and removed.")


def _is_stored(row: models.Model) -> bool:
    return cast(Backup, row).status == Status.SUCCEEDED.value


def server_runs(row: models.Model) -> bool:
    """Whether a restore left a server that nobody has stopped yet."""
    restore = cast(Restore, row)
    return restore.server_runs


def _may_be_restored(row: models.Model) -> bool:
    return _is_stored(row) and not cast(Backup, row).known_bad


def _is_active(row: models.Model) -> bool:
    backup = cast(Backup, row)
    return Status(backup.status) in ACTIVE and not backup.cancel_requested_by


def _is_restoring(row: models.Model) -> bool:
    waits_or_runs = (RestoreStatus.QUEUED.value, RestoreStatus.RUNNING.value)
    restore = cast(Restore, row)
    return restore.status in waits_or_runs and not restore.cancel_requested_by


BACK_UP = Act(
    "back-up", "Back up now", REQUEST, _back_up, _back_up_will, form=BackUpForm, icon="cloud_upload", tone="main"
)
VERIFY = Act(
    "verify", "Verify now", REQUEST, _verify, _verify_will, when=_is_stored, form=VerifyForm, icon="fact_check"
)
HOLD = Act(
    "hold",
    "Hold",
    REQUEST,
    _hold,
    lambda row: HOLD_MEANS,
    when=lambda row: _is_stored(row) and not cast(Backup, row).held_by,
    form=HoldForm,
    icon="lock",
)
BACKUP_ACTS = (
    Act(
        "restore",
        "Restore…",
        RESTORE,
        _restore,
        _restore_will,
        when=_may_be_restored,
        form=RestoreForm,
        icon="settings_backup_restore",
        tone="main",
    ),
    VERIFY,
    HOLD,
    Act(
        "release",
        "Release",
        RELEASE,
        _release,
        _release_will,
        when=lambda row: _is_stored(row) and bool(cast(Backup, row).held_by),
        icon="lock_open",
    ),
    Act(
        "cancel",
        "Cancel",
        REQUEST,
        _cancel_backup,
        _cancel_backup_will,
        when=_is_active,
        icon="cancel",
        tone="danger",
    ),
)
RESTORE_ACTS = (
    Act(
        "stop-server",
        "Stop the server",
        RESTORE,
        _stop_server,
        _stop_server_will,
        when=server_runs,
        icon="stop_circle",
        tone="danger",
    ),
    Act(
        "cancel",
        "Cancel",
        RESTORE,
        _cancel_restore,
        _cancel_restore_will,
        when=_is_restoring,
        icon="cancel",
        tone="danger",
    ),
)
TRY_STORE = Act(
    "try",
    "Try it",
    "backups.configure",
    _try_store,
    lambda row: ("A small file is written there, read back and removed.",),
    icon="rule",
)
