"""Taking a physical backup: pg_basebackup in tar format, watched, and its result looked at."""

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psycopg

from backups.engines.base import Artifact, BackupJob, EngineError, ParentUnusable
from backups.engines.postgres import connect, figures, reasons, tools
from backups.engines.postgres.connect import Address
from backups.engines.work import Work
from backups.rules import BackupType
from sysops.kernel import process

MANIFEST = "backup_manifest"
COMPRESSIONS = ("gzip", "none", "lz4", "zstd")
OLDEST_MAJOR = 17
PROGRESS_EVERY_SECONDS = 1.0

_PROGRESS_LINE = re.compile(r"\s*(?P<done>\d+)/(?P<total>\d+) kB \(")


def back_up(job: BackupJob) -> Artifact:
    """Fill the job's directory with base.tar, pg_wal.tar and backup_manifest (and <oid>.tar per tablespace)."""
    address = Address.of(job.source.settings, app=f"sysops {job.backup_id}")
    work = Work(control=job.control, tools=job.tools, secrets=address.secrets)
    compression = str(job.source.settings.get("compression") or "gzip")
    work.say("asking the source")
    server = connect.ask(address, seconds=min(30, work.left()))
    _require_version(server)
    parent = _usable_parent(job, server)
    toolset = tools.find(job.tools, ["pg_basebackup"], major=server.major, newer=True)
    marker = figures.write_marker(address, job.backup_id)
    before = figures.snapshot(address)
    _run(job, work, address, toolset["pg_basebackup"], compression=compression, parent=parent)
    system = check_result(job.directory)
    after = figures.snapshot(address)
    return Artifact(
        logical_size_bytes=server.size_bytes,
        engine_version=f"PostgreSQL {server.version}, pg_basebackup {toolset.version}",
        figures={
            "server_version": server.version,
            "server_version_num": server.version_num,
            "superuser": server.superuser,
            "data_checksums": server.data_checksums,
            "system_identifier": system,
            "compression": compression,
            "marker": marker,
            "databases": figures.bounds(before, after, same_pages=True),
        },
    )


def _require_version(server: connect.Server) -> None:
    if server.major < OLDEST_MAJOR:
        raise EngineError(
            f"The source is PostgreSQL {server.version}; this engine needs {OLDEST_MAJOR} or newer "
            "(postgres-dump takes older ones)",
            code="version_mismatch",
            permanent=True,
        )


def _usable_parent(job: BackupJob, server: connect.Server) -> Path | None:
    """The parent's manifest, or None for a full backup."""
    if job.backup_type is BackupType.FULL:
        return None
    if job.parent is None:
        raise ParentUnusable(f"There is no backup that a {job.backup_type} one could stand on", code="parent_missing")
    manifest = job.parent.path / MANIFEST
    if not manifest.is_file():
        raise ParentUnusable(f"Backup {job.parent.backup_id} has no {MANIFEST}", code="parent_missing")
    if not server.summarize_wal:
        raise ParentUnusable(
            "The source keeps no WAL summaries; on the source run: ALTER SYSTEM SET summarize_wal = on; "
            "SELECT pg_reload_conf()",
            code="wal_summaries_missing",
        )
    taken_with = int(str(job.parent.figures.get("server_version_num") or server.version_num)) // 10000
    if taken_with != server.major:
        raise ParentUnusable(
            f"The parent is of PostgreSQL {taken_with}, the source now of {server.major}", code="version_mismatch"
        )
    return manifest


def _run(job: BackupJob, work: Work, address: Address, tool: str, *, compression: str, parent: Path | None) -> None:
    argv: list[str | Path] = [
        tool, "-D", job.directory, "-Ft", "-X", "stream", "--manifest-checksums=SHA256", "--checkpoint=fast",
        f"--label=sysops {job.backup_id}", "--no-password", "--progress", *compress_arguments(compression),
    ]  # fmt: skip
    if rate := job.source.settings.get("max_rate_kilobytes_per_second"):
        argv.append(f"--max-rate={rate}k")
    if parent:
        argv.append(f"--incremental={parent}")
    with Watch(address, job.directory, work) as watch:
        work.run(argv, env=address.environ(), explain=reasons.from_result, on_line=watch.hear, on_tick=watch.tick)


def compress_arguments(compression: str) -> Sequence[str]:
    """What pg_basebackup is told for a value of the setting `compression`."""
    return () if compression == "none" else (f"--compress=client-{compression}:1",)


class Watch:
    """Progress from pg_stat_progress_basebackup; from pg_basebackup's own words where that cannot be read."""

    def __init__(self, address: Address, directory: Path, work: Work) -> None:
        self._address = address
        self._directory = directory
        self._work = work
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._blind = False
        self._told: tuple[int, int] | None = None
        self._next = 0.0

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self._hang_up()

    def hear(self, _stream: process.Stream, line: str) -> None:
        """pg_basebackup counts as well, but only what has arrived here."""
        if match := _PROGRESS_LINE.match(line):
            self._told = int(match["done"]) * 1024, int(match["total"]) * 1024

    def tick(self) -> None:
        """Say how far the copy is, once a second."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + PROGRESS_EVERY_SECONDS
        row = None if self._blind else self._ask()
        if row and row[1] is not None:
            self._work.say(_PHASES.get(str(row[0]), str(row[0])), int(str(row[1])), _number(row[2]))
        elif self._told:
            self._work.say("streaming", *self._told)
        else:
            size = sum(path.stat().st_size for path in self._directory.iterdir() if path.is_file())
            self._work.say("streaming" if size else "waiting for the source", size or None)

    def _ask(self) -> tuple[object, ...] | None:
        try:
            if self._connection is None:
                # Every second this may hold up the copy's own time limit: it gets two seconds and no more.
                info = self._address.conninfo(seconds=2, connect_timeout="2")
                self._connection = psycopg.connect(info, autocommit=True)
            with connect.limited(self._connection, seconds=3):
                return self._connection.execute(
                    "SELECT p.phase, p.backup_streamed, p.backup_total FROM pg_stat_progress_basebackup p "
                    "JOIN pg_stat_activity a USING (pid) WHERE a.application_name = %s LIMIT 1",
                    (self._address.app,),
                ).fetchone()
        except (psycopg.Error, EngineError):
            self._blind = True
            self._hang_up()
            return None

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


_PHASES: Mapping[str, str] = {
    "initializing": "starting",
    "waiting for checkpoint to finish": "waiting for the source's checkpoint",
    "estimating backup size": "estimating",
    "streaming database files": "streaming",
    "waiting for wal archiving to finish": "waiting for WAL",
    "transferring wal files": "transferring WAL",
}


def _number(value: object) -> int | None:
    return None if value is None else int(str(value))


def check_result(directory: Path) -> str:
    """Exit codes lie: the files are there, none is empty, the manifest is whole. Answers the system identifier."""
    names = {path.name: path.stat().st_size for path in directory.iterdir()}
    for stem in ("base.tar", "pg_wal.tar"):
        if not any(name == stem or name.startswith(f"{stem}.") for name in names):
            raise EngineError(f"pg_basebackup said it was done, but wrote no {stem}", code="incomplete")
    if empty := sorted(name for name, size in names.items() if size == 0):
        raise EngineError(f"pg_basebackup said it was done, but {', '.join(empty)} is empty", code="incomplete")
    if MANIFEST not in names:
        raise EngineError(f"pg_basebackup said it was done, but wrote no {MANIFEST}", code="incomplete")
    try:
        return read_manifest(directory / MANIFEST)
    except ValueError as exc:
        raise EngineError(f"pg_basebackup said it was done, but {exc}", code="incomplete") from None


def read_manifest(path: Path) -> str:
    """The system identifier of a whole manifest, in constant memory. Raises ValueError when it is not whole."""
    head = b""
    digest, last = hashlib.sha256(), b""
    with path.open("rb") as file:
        for line in file:
            head = head or (line if b"System-Identifier" in line else b"")
            digest.update(last)
            last = line
    kept = re.search(rb'"Manifest-Checksum": "(?P<sum>[0-9a-f]{64})"', last)
    if not kept or kept["sum"].decode() != digest.hexdigest():
        raise ValueError(f"its {MANIFEST} is cut short or changed")
    system = re.search(rb'"System-Identifier": (?P<id>\d+)', head)
    if not system:
        raise ValueError(f"its {MANIFEST} names no system")
    return system["id"].decode()
