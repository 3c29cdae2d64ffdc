"""The engine `postgres-dump`: one database as pg_dump's custom format, full only."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import psycopg
from psycopg import sql

from backups.engines import scratch
from backups.engines.base import (
    Artifact,
    BackupJob,
    Check,
    Control,
    EngineError,
    Link,
    Outcome,
    ProveJob,
    Restored,
    RestoreJob,
    SourceSpec,
    Tools,
)
from backups.engines.postgres import checks as look_at
from backups.engines.postgres import connect, figures, probe, reasons, restore, server, target
from backups.engines.postgres import tools as pg_tools
from backups.engines.postgres.connect import CONNECTION_PROPERTIES, Address
from backups.engines.postgres.prove import CANNOT, superuser
from backups.engines.postgres.server import PrivateServer
from backups.engines.postgres.tools import Toolset
from backups.engines.work import Work
from backups.rules import BackupType
from sysops.kernel import process

DUMP = "database.dump"
GLOBALS = "globals.sql"
NEEDED = ("postgres", "initdb", "pg_restore", "psql", "pg_controldata", "pg_amcheck", "pg_checksums", "pg_ctl")
SPARE_BYTES = 256 << 20
_CANNOT_HERE = re.compile(
    r'extension "[^"]*" is not available|could not open extension control file|could not access file "[^"]*"|'
    r"is not supported in this build|invalid locale name|unsupported version \([\d.]+\) in file header|"
    r"could not load library|could not compress|this build does not support|access method \"[^\"]*\" does not exist"
)


class PostgresDumpEngine:
    """One database of PostgreSQL 10 or newer: pg_dump, and the roles it refers to."""

    name: ClassVar[str] = "postgres-dump"
    label: ClassVar[str] = "PostgreSQL (logical dump)"
    types: ClassVar[frozenset[BackupType]] = frozenset({BackupType.FULL})
    settings_schema: ClassVar[Mapping[str, object]] = {
        "type": "object",
        "properties": {
            **CONNECTION_PROPERTIES,
            "compression": {"enum": ["gzip", "none", "lz4", "zstd"], "default": "gzip", "title": "Compression"},
        },
        "required": ["host", "user", "dbname"],
        "additionalProperties": False,
    }

    def check_settings(self, source: SourceSpec, tools: Tools) -> Sequence[Check]:
        return probe.check_logical(source, tools, needed=NEEDED)

    def back_up(self, job: BackupJob) -> Artifact:
        if job.backup_type not in self.types:
            raise EngineError(
                f"pg_dump knows full backups only, no {job.backup_type} ones", code="unsupported_type", permanent=True
            )
        return _back_up(job)

    def verify_files(self, link: Link, tools: Tools, control: Control) -> Sequence[Check]:
        return _verify_files(link, Work(control=control, tools=tools))

    def prove(self, job: ProveJob) -> Sequence[Check]:
        made: list[Check] = []
        try:
            _prove(job, made)
        except _NotRestored as exc:
            made.append(exc.check)
        except EngineError as exc:
            if exc.code not in CANNOT:
                raise
            made.append(Check("restore", Outcome.COULD_NOT, str(exc), {"code": exc.code}))
        return made

    def restore(self, job: RestoreJob) -> Restored:
        return _restore(job)

    def start_server(self, job: RestoreJob) -> str:
        return restore.start_server(job)

    def stop_server(self, target: Path, tools: Tools) -> None:
        restore.stop_server(target, tools)

    def server_is_gone(self, target: Path, tools: Tools) -> bool:
        return restore.server_is_gone(target)


def _back_up(job: BackupJob) -> Artifact:
    address = Address.of(job.source.settings, app=f"sysops {job.backup_id}")
    work = Work(control=job.control, tools=job.tools, secrets=address.secrets)
    work.say("asking the source")
    told = connect.ask(address, seconds=min(30, work.left()))
    toolset = pg_tools.find(job.tools, ["pg_dump", "pg_dumpall", "pg_restore"], major=told.major, newer=True)
    marker = figures.write_marker(address, job.backup_id)
    before = figures.snapshot(address, only=address.dbname)
    dump = job.directory / DUMP
    compression = str(job.source.settings.get("compression") or "gzip")
    argv = [
        toolset["pg_dump"], "-Fc", f"--file={dump}", "--no-password", "--lock-wait-timeout=60s",
        "--compress=none" if compression == "none" else f"--compress={compression}:1",
    ]  # fmt: skip
    work.run(
        argv, env=address.environ(), explain=reasons.from_result,
        on_tick=lambda: work.say("dumping", dump.stat().st_size if dump.exists() else None),
    )  # fmt: skip
    work.say("dumping roles")
    roles = [toolset["pg_dumpall"], "--globals-only", "--no-role-passwords", "--no-tablespaces", "--no-password"]
    work.run([*roles, f"--file={job.directory / GLOBALS}"], env=address.environ(), explain=reasons.from_result)
    entries = _table_of_contents(dump, work, toolset)
    after = figures.snapshot(address, only=address.dbname)
    size = _database_size(address)
    return Artifact(
        logical_size_bytes=size,
        engine_version=f"PostgreSQL {told.version}, pg_dump {toolset.version}",
        figures={
            "server_version": told.version,
            "server_version_num": told.version_num,
            "tool_major": toolset.major,
            "superuser": told.superuser,
            "database": address.dbname,
            "database_bytes": size,
            "entries": entries,
            "compression": compression,
            "marker": marker,
            "databases": figures.bounds(before, after, same_pages=False),
        },
    )


def _table_of_contents(dump: Path, work: Work, toolset: Toolset) -> int:
    """How many things the dump holds. Exit codes lie: a dump whose contents cannot be listed is none."""
    entries, result = _list(dump, work, toolset)
    said = reasons.last_lines(result.words)
    if result.returncode != 0 or entries == 0:
        raise EngineError(f"pg_dump said it was done, but its dump cannot be listed: {said}", code="incomplete")
    return entries


def _list(dump: Path, work: Work, toolset: Toolset) -> tuple[int, process.Result]:
    entries = 0

    def hear(stream: process.Stream, line: str) -> None:
        nonlocal entries
        entries += stream == "stdout" and bool(re.match(r"\d+; ", line))

    result = work.run([toolset["pg_restore"], "--list", dump], on_line=hear)
    return entries, result


def _database_size(address: Address) -> int | None:
    try:
        with address.connection(seconds=10) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    except (EngineError, psycopg.Error):
        return None
    return int(str(row[0])) if row else None


def _verify_files(link: Link, work: Work) -> Sequence[Check]:
    """pg_restore lists the contents, and reads the dump from its first byte to its last."""
    noted: dict[str, object] = {"backup_id": link.backup_id}
    try:
        toolset = pg_tools.find(work.tools, ["pg_restore"], major=_tool_major(link), newer=True)
    except EngineError as exc:
        return [Check("pg_restore", Outcome.COULD_NOT, str(exc), {**noted, "code": exc.code})]
    dump = link.path / DUMP
    if not dump.is_file():
        return [Check("pg_restore", Outcome.FAILED, f"{DUMP} is missing", noted)]
    work.say("reading the dump")
    entries, listed = _list(dump, work, toolset)
    noted["entries"] = entries
    if listed.returncode != 0 or not entries:
        return [_judge(listed, f"Its contents cannot be listed: {reasons.last_lines(listed.words)}", noted)]
    # Through a file name of our own, --file=/dev/null: every block is read and uncompressed, nothing is kept.
    reading: list[str | Path] = [toolset["pg_restore"], "--file=/dev/null", dump]
    read = work.run(reading)
    if read.returncode > 0 and reasons.disk_failed(read.words):
        read = work.run(reading)
    if read.returncode != 0:
        return [_judge(read, f"It cannot be read to its end: {reasons.last_lines(read.words)}", noted)]
    return [Check("pg_restore", Outcome.PASSED, f"{entries} entries, read to the end", noted, read.seconds)]


def _judge(result: process.Result, detail: str, noted: Mapping[str, object]) -> Check:
    cannot = result.returncode < 0 or _hindered(result)
    return Check("pg_restore", Outcome.COULD_NOT if cannot else Outcome.FAILED, detail, noted, result.seconds)


def _hindered(result: process.Result) -> bool:
    return bool(_CANNOT_HERE.search(result.words)) or reasons.cannot_look(result.words)


def _tool_major(link: Link) -> int:
    return int(str(link.figures.get("tool_major") or 0))


class _NotRestored(Exception):
    """The dump did not become a database; carries the check that says why."""

    def __init__(self, check: Check) -> None:
        super().__init__(check.detail)
        self.check = check


def _prove(job: ProveJob, made: list[Check]) -> None:
    work, link = Work(control=job.control, tools=job.tools), job.chain[-1]
    toolset = pg_tools.find(job.tools, NEEDED, major=_tool_major(link), newer=True, as_server_user=True)
    with scratch.folder(job.tools, link.backup_id) as place:
        with _filled(link, place, place, work, toolset, made, {**server.QUIET, **server.THROW_AWAY}) as restored:
            made += look_at.look(restored, figures=link.figures, work=work, toolset=toolset)
            made += look_at.custom(restored, job.custom_checks, database=_database(link), work=work)
        made.append(look_at.checksums(place / "data", work=work, toolset=toolset))


def _restore(job: RestoreJob) -> Restored:
    work, link = Work(control=job.control, tools=job.tools), job.chain[-1]
    toolset = pg_tools.find(job.tools, NEEDED, major=_tool_major(link), newer=True, as_server_user=True)
    made: list[Check] = []
    with target.new(job) as place:
        beside = place / ".fill"
        scratch.make_private(beside, job.tools.os_user)
        try:
            with _filled(link, place, beside, work, toolset, made, {**server.QUIET, "autovacuum": "off"}):
                pass
        except _NotRestored as exc:
            code = "restore_impossible" if exc.check.outcome is Outcome.COULD_NOT else "backup_corrupt"
            raise EngineError(exc.check.detail, code=code, permanent=True) from None
        made += [
            check
            for check in restore.check_in_place(place, work=work, toolset=toolset, figures=link.figures, settings={})
            if check.name != "server_starts"
        ]
        target.remove_folder(beside)
        restore.finish(job, place, work=work, toolset=toolset, settings={})
    return Restored(made)


def _database(link: Link) -> str:
    return str(link.figures.get("database") or "postgres")


@contextmanager
def _filled(
    link: Link, place: Path, beside: Path, work: Work, toolset: Toolset, made: list[Check], settings: Mapping[str, str]
) -> Iterator[PrivateServer]:
    """A running new cluster in `place`/data with the dump restored into it. Raises _NotRestored."""
    _require_room(link, place)
    data = place / "data"
    scratch.make_private(data, work.tools.os_user)
    work.say("making an empty cluster")
    role = superuser(link.figures)
    argv: list[str | Path] = [
        toolset["initdb"], "-D", data, "-U", role, "--auth=trust", "--encoding=UTF8", "--locale=C",
        "--data-checksums", "--no-instructions", "--no-sync",
    ]  # fmt: skip
    work.run(argv, as_server_user=True, explain=lambda r: EngineError(f"initdb failed: {reasons.last_lines(r.words)}"))
    try:
        with server.running(
            data, beside=beside, work=work, toolset=toolset, superuser=role, settings=settings
        ) as empty:
            made.append(_roles(link, empty, work, toolset))
            made.append(_data(link, empty, work, toolset))
            if made[-1].outcome is not Outcome.PASSED:
                raise _NotRestored(made.pop())
            yield empty
    except server.ServerDied as exc:
        outcome = Outcome.COULD_NOT if exc.cannot_here else Outcome.FAILED
        raise _NotRestored(Check("restore", outcome, f"The scratch server died: {exc}")) from None


def _require_room(link: Link, place: Path) -> None:
    """A dump does not say how large its database was made of indexes: the source's own size is the guide."""
    stored = sum(path.stat().st_size for path in link.path.iterdir())
    noted = link.figures.get("database_bytes")
    needed = max(int(str(noted)) if noted else 0, stored) + SPARE_BYTES
    free = target.free_bytes(place)
    if free < needed:
        raise EngineError(
            f"Restoring needs about {needed} bytes in {place}, and {free} are free; make room or choose another folder",
            code="no_space",
        )


def _roles(link: Link, empty: PrivateServer, work: Work, toolset: Toolset) -> Check:
    """The roles that own what follows. One that is there already is no fault."""
    path = link.path / GLOBALS
    if not path.is_file():
        return Check("roles", Outcome.FAILED, f"{GLOBALS} is missing")
    work.say("restoring roles")
    faults: list[str] = []

    def hear(_stream: process.Stream, line: str) -> None:
        if re.search(r"ERROR|FATAL|error:", line) and "already exists" not in line and len(faults) < 20:
            faults.append(line.strip())

    argv = [toolset["psql"], "-X", "-q", "--no-password", "-v", "ON_ERROR_STOP=0", "-d", "template1"]
    result = work.run(argv, env=empty.environ(), stdin=path, on_line=hear, as_server_user=True)
    if faults or result.returncode != 0:
        said = "; ".join(faults[:5]) or reasons.last_lines(result.words)
        return Check(
            "roles", Outcome.FAILED, f"Not all roles could be restored: {said}", {"faults": faults}, result.seconds
        )
    return Check("roles", Outcome.PASSED, "The roles are there", {}, result.seconds)


def _data(link: Link, empty: PrivateServer, work: Work, toolset: Toolset) -> Check:
    """The database made from template0, as it was: into an existing one its own public schema would be in the way."""
    work.say("restoring the database")
    with psycopg.connect(empty.conninfo("template1"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(_database(link))))
    argv = [
        toolset["pg_restore"], "--create", "--exit-on-error", "--no-password", "--no-tablespaces", "--no-subscriptions",
        "--dbname=template1",
    ]  # fmt: skip
    # On standard input: the store may be closed to the OS user that the tool runs as.
    result = work.run(argv, env=empty.environ(), stdin=link.path / DUMP, as_server_user=True)
    figures_: dict[str, object] = {"database": _database(link)}
    if result.returncode == 0:
        return Check("restore", Outcome.PASSED, "pg_restore restored everything", figures_, result.seconds)
    said = reasons.last_lines(result.words)
    if "No space left" in result.words:
        raise EngineError(f"No room left for the restore: {said}", code="no_space")
    if result.returncode < 0 or _hindered(result):
        detail = f"The tools here cannot restore this dump: {said}"
        return Check("restore", Outcome.COULD_NOT, detail, figures_, result.seconds)
    return Check("restore", Outcome.FAILED, f"pg_restore: {said}", figures_, result.seconds)
