"""`sysops backup`, `verify-backup`, `restore` and `stop-server`: ask for it, follow it, say how it ended."""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from sysops.cli.base import Failed, json_option, needs_django, person, show

if TYPE_CHECKING:
    from backups.models import Backup, Restore, Verification

wait_option = click.option("--wait/--no-wait", default=True, help="Follow it to its end (default) or only ask.")
POLL_SECONDS = 0.5
NOBODY_TOOK_IT = "Nothing has taken it yet: is a worker for the queue `backups` running? (sysops health)"


@click.command()
@click.argument("source")
@click.option(
    "--type",
    "backup_type",
    type=click.Choice(["full", "differential", "incremental"]),
    default="full",
    show_default=True,
)
@wait_option
@json_option
@needs_django
def backup(source: str, backup_type: str, wait: bool, as_json: bool) -> None:
    """Take a backup of SOURCE. Exit code 1 when it fails."""
    from backups.rules import BackupType
    from backups.services import requests
    from sysops.access.actors import Actor
    from sysops.access.driver_settings import BadSettings
    from sysops.kernel.clock import utc_now

    try:
        asked = requests.request_backup(
            source=_source(source), backup_type=BackupType(backup_type), by=Actor.cli(person()), at=utc_now()
        )
    except (requests.Busy, BadSettings) as exc:
        raise Failed(str(exc)) from None
    if wait:
        _follow(
            asked, _backup_line, finished=lambda row: row.status in ("succeeded", "failed", "expired"), quiet=as_json
        )
    from backups.api.serializers import BackupSerializer

    show(BackupSerializer(asked).data, as_json=as_json, text=lambda: _backup_line(asked))
    if wait and asked.status != "succeeded":
        sys.exit(1)


@click.command("verify-backup")
@click.argument("backup_id", type=click.IntRange(min=1))
@click.option("--files-only", is_flag=True, help="Look at the stored files only; no restore into scratch.")
@wait_option
@json_option
@needs_django
def verify_backup(backup_id: int, files_only: bool, wait: bool, as_json: bool) -> None:
    """Prove backup BACKUP_ID by reading its files and restoring it into scratch. Exit code 1 unless it passes."""
    from backups.api.serializers import VerificationSerializer
    from backups.models import WrongState
    from backups.rules import Rung
    from backups.services import verifications
    from sysops.access.actors import Actor
    from sysops.kernel.clock import utc_now

    wanted = [Rung.FILES] if files_only else [Rung.FILES, Rung.RESTORE]
    by = Actor.cli(person())
    try:
        rows = [
            verifications.request_verification(backup=_backup(backup_id), rung=rung, by=by, at=utc_now())
            for rung in wanted
        ]
    except WrongState as exc:
        raise Failed(str(exc)) from None
    if wait:
        for row in rows:
            _follow(row, _verification_line, finished=lambda r: r.status not in ("pending", "running"), quiet=as_json)
    text = "\n".join(line for row in rows for line in [_verification_line(row), *_check_lines(row.checks)])
    show(VerificationSerializer(rows, many=True).data, as_json=as_json, text=lambda: text)
    if wait and any(row.status != "passed" for row in rows):
        sys.exit(1)


@click.command()
@click.argument("backup_id", type=click.IntRange(min=1))
@click.option("--target", default="", help="New folder below SYSOPS_RESTORE_DIR; default: one is named for you.")
@click.option("--server", is_flag=True, help="Leave the restored server running on a private socket.")
@wait_option
@json_option
@needs_django
def restore(backup_id: int, target: str, server: bool, wait: bool, as_json: bool) -> None:
    """Restore backup BACKUP_ID to a new place. Exit code 1 when it fails or is refused."""
    from django.conf import settings

    from backups.api.serializers import RestoreSerializer
    from backups.models import WrongState
    from backups.services import restores
    from sysops.access.actors import Actor
    from sysops.access.driver_settings import BadSettings
    from sysops.kernel.clock import utc_now

    try:
        asked = restores.request_restore(
            backup=_backup(backup_id),
            restores_dir=settings.ENV.restores,
            by=Actor.cli(person()),
            at=utc_now(),
            target=target,
            start_server=server,
        )
    except (WrongState, BadSettings) as exc:
        raise Failed(str(exc)) from None
    if wait:
        _follow(asked, _restore_line, finished=lambda r: r.status in ("succeeded", "failed"), quiet=as_json)
    text = "\n".join([_restore_line(asked), *_check_lines(asked.checks)])
    show(RestoreSerializer(asked).data, as_json=as_json, text=lambda: text)
    if wait and asked.status != "succeeded":
        sys.exit(1)


@click.command()
@click.option("--source", default=None, help="Only of this source.")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@json_option
@needs_django
def backups(source: str | None, limit: int, as_json: bool) -> None:
    """The newest backups, to find the number of the one you want."""
    from backups.api.serializers import BackupSerializer
    from backups.selectors import for_lists

    rows = for_lists().order_by("-pk")
    rows = rows.filter(source=_source(source)) if source else rows
    found = list(rows[:limit])
    show(BackupSerializer(found, many=True).data, as_json=as_json, text=lambda: "\n".join(map(_backup_line, found)))


@click.command("check-source")
@click.argument("source")
@json_option
@needs_django
def check_source(source: str, as_json: bool) -> None:
    """Look whether SOURCE can be reached and backed up from this machine. Exit code 1 unless all is well."""
    from backups.api.serializers import check_out
    from backups.workshop import check_source as look
    from backups.workshop import here

    checks = [check_out(asdict(check)) for check in look(_source(source), here())]
    show(checks, as_json=as_json, text=lambda: "\n".join(_check_lines(checks)))
    if not all(check["passed"] for check in checks):
        sys.exit(1)


@click.command()
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@json_option
@needs_django
def restores(limit: int, as_json: bool) -> None:
    """The newest restores: where they lie, and whether a server was left running on them."""
    from backups.api.serializers import RestoreSerializer
    from backups.models import Restore

    found = list(Restore.objects.select_related("backup__source").order_by("-pk")[:limit])
    show(RestoreSerializer(found, many=True).data, as_json=as_json, text=lambda: "\n".join(map(_restore_line, found)))


@click.command("stop-server")
@click.argument("restore_id", type=click.IntRange(min=1))
@wait_option
@json_option
@needs_django
def stop_server(restore_id: int, wait: bool, as_json: bool) -> None:
    """Stop the server that restore RESTORE_ID left running; its folder stays. Exit code 1 while it runs on."""
    from backups.api.serializers import RestoreSerializer
    from backups.models import Restore, WrongState
    from backups.services import restores
    from sysops.access.actors import Actor
    from sysops.kernel.clock import utc_now

    row = Restore.objects.filter(pk=restore_id).first()
    if row is None:
        raise click.UsageError(f"There is no restore {restore_id}; `sysops restores` lists them")
    try:
        row = restores.request_stop(restore=row, by=Actor.cli(person()), at=utc_now())
    except WrongState as exc:
        raise Failed(str(exc)) from None
    if wait:
        _follow(row, _server_line, finished=lambda r: not r.server_runs or r.stop_failure, quiet=as_json)
    show(RestoreSerializer(row).data, as_json=as_json, text=lambda: _server_line(row))
    if wait and row.server_runs:
        sys.exit(1)


def _source(slug: str):  # type: ignore[no-untyped-def]
    from backups.models import Source

    found = Source.objects.filter(slug=slug).first()
    if found is None:
        known = ", ".join(Source.objects.order_by("slug").values_list("slug", flat=True)[:20])
        raise click.UsageError(f"There is no source {slug!r}. Known: {known or 'none'}")
    return found


def _backup(pk: int) -> "Backup":
    from backups.models import Backup

    found = Backup.objects.select_related("source__policy", "store").filter(pk=pk).first()
    if found is None:
        raise click.UsageError(f"There is no backup {pk}; `sysops backups` lists them")
    return found


def _follow(row, line: Callable[..., str], *, finished: Callable[..., bool], quiet: bool) -> None:  # type: ignore[no-untyped-def]
    """Poll the row until it is finished, telling changes on standard error."""
    said, started, warned = "", time.monotonic(), False
    while not finished(row):
        now = line(row)
        if now != said and not quiet:
            click.echo(now, err=True)
            said = now
        if not warned and row.attempt == 0 and time.monotonic() - started > 20:
            click.echo(NOBODY_TOOK_IT, err=True)
            warned = True
        time.sleep(POLL_SECONDS)
        row.refresh_from_db()


def _backup_line(row: "Backup") -> str:
    size = "" if row.size_bytes is None else f" {row.size_bytes:,} bytes"
    words = f"Backup {row.pk} of {row.source.slug}: {row.backup_type} {row.status}{_progress(row)}{size}"
    if row.status == "succeeded":
        words += f", verification {row.verification_status}"
    return words + (f" — {row.failure_reason}" if row.failure_reason else "")


def _verification_line(row: "Verification") -> str:
    return f"Verification {row.pk} ({row.rung}) of backup {row.backup_id}: {row.status}{_progress(row)} {row.detail}"


def _restore_line(row: "Restore") -> str:
    words = f"Restore {row.pk} of backup {row.backup_id} to {row.target}: {row.status}{_progress(row)}"
    words += f" — {row.failure_reason}" if row.failure_reason else ""
    return words + (f"\n  {_server_line(row)}" if row.connection else "")


def _server_line(row: "Restore") -> str:
    if not row.server_runs:
        return "its server is gone: it was not stopped from here" if row.stop_failure else "its server is stopped"
    if row.stop_failure:
        return f"its server runs on: {row.stop_failure}"
    told = f"; told to stop by {row.stop_requested_by}" if row.stop_requested_at else ""
    return f"its server runs on {row.host}{told}\n  connect with: {row.connection}"


def _progress(row: "Backup | Verification | Restore") -> str:
    if row.status != "running" or row.done_bytes is None:
        return ""
    share = f" {100 * row.done_bytes / row.total_bytes:.0f} %" if row.total_bytes else ""
    return f" ({row.phase}{share}, {row.done_bytes:,} bytes)"


def _check_lines(checks: list[dict[str, object]]) -> list[str]:
    return [f"  {check['outcome']:<16} {check['name']}: {check['detail']}" for check in checks]
