"""Whether a source can be reached and backed up now: each question answered by itself, with the remedy."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import psycopg

from backups.engines.base import Check, EngineError, Outcome, SourceSpec, Tools
from backups.engines.postgres import connect, reasons
from backups.engines.postgres import tools as pg_tools
from backups.engines.postgres.basebackup import OLDEST_MAJOR
from backups.engines.postgres.connect import Address, Server
from backups.engines.postgres.prove import NEEDED


def check_physical(source: SourceSpec, tools: Tools) -> Sequence[Check]:
    """Everything a physical backup, its differentials and its proof need."""
    server, checks = reach(source)
    if server is None:
        return checks
    address = Address.of(source.settings)
    checks.append(_version(server))
    checks.append(_ask("replication", lambda: _replicate(address)))
    checks.append(
        _judge("wal_level", server.wal_level in ("replica", "logical"), f"wal_level is {server.wal_level}",
               "on the source run: ALTER SYSTEM SET wal_level = replica, and restart it")
    )  # fmt: skip
    checks.append(
        _judge("summarize_wal", server.summarize_wal, f"summarize_wal is {'on' if server.summarize_wal else 'off'}",
               "differential and incremental backups need it and will become full ones; on the source run: "
               "ALTER SYSTEM SET summarize_wal = on; SELECT pg_reload_conf()")
    )  # fmt: skip
    checks.append(_checksums(server))
    checks.append(
        _ask("tools", lambda: _backup_tools(server, tools, str(source.settings.get("compression") or "gzip")))
    )
    checks.append(_can_prove(NEEDED, server, tools))
    return checks


def check_logical(source: SourceSpec, tools: Tools, *, needed: Sequence[str]) -> Sequence[Check]:
    """Everything a logical backup and its proof need."""
    server, checks = reach(source)
    if server is None:
        return checks
    checks.append(
        _ask(
            "tools",
            lambda: (
                pg_tools.find(tools, ["pg_dump", "pg_dumpall", "pg_restore"], major=server.major, newer=True).version
            ),
        )
    )
    checks.append(_can_prove(needed, server, tools, newer=True))
    return checks


def reach(source: SourceSpec) -> tuple[Server | None, list[Check]]:
    """What the server says of itself, or why it cannot be asked."""
    started = time.monotonic()
    try:
        server = connect.ask(replace(Address.of(source.settings), app="sysops check"), seconds=15)
    except EngineError as exc:
        return None, [Check("connect", Outcome.FAILED, str(exc), {"code": exc.code}, time.monotonic() - started)]
    except (KeyError, ValueError) as exc:
        return None, [Check("connect", Outcome.FAILED, f"The settings are not complete: {exc}", {"code": "settings"})]
    seconds = time.monotonic() - started
    figures = {"version": server.version, "size_bytes": server.size_bytes}
    return server, [Check("connect", Outcome.PASSED, f"PostgreSQL {server.version} answers", figures, seconds)]


def _version(server: Server) -> Check:
    remedy = f"physical backups need PostgreSQL {OLDEST_MAJOR} or newer; use the engine postgres-dump"
    return _judge("version", server.major >= OLDEST_MAJOR, f"The source is PostgreSQL {server.version}", remedy)


def _replicate(address: Address) -> str:
    """Open a replication connection, as pg_basebackup will: that asks pg_hba.conf and the role at once."""
    info = address.conninfo(seconds=10, replication="true", options="")
    connection = psycopg.pq.PGconn.connect(info.encode())
    try:
        if connection.status != psycopg.pq.ConnStatus.OK:
            raise reasons.from_connection(
                psycopg.OperationalError(connection.get_error_message()), secrets=address.secrets
            )
        answer = connection.exec_(b"IDENTIFY_SYSTEM")
        if answer.status != psycopg.pq.ExecStatus.TUPLES_OK:
            raise reasons.from_connection(
                psycopg.OperationalError(connection.get_error_message()), secrets=address.secrets
            )
    finally:
        connection.finish()
    return "The role may replicate"


def _checksums(server: Server) -> Check:
    if server.data_checksums:
        return Check("data_checksums", Outcome.PASSED, "Data checksums are on")
    detail = "Data checksums are off, so damaged pages may go unseen; stop the source and run: pg_checksums --enable"
    return Check("data_checksums", Outcome.COULD_NOT, detail)


def _backup_tools(server: Server, tools: Tools, compression: str) -> str:
    toolset = pg_tools.find(tools, ["pg_basebackup"], major=server.major, newer=True)
    if compression != "none" and not pg_tools.can_compress(toolset, compression):
        raise EngineError(
            f"pg_basebackup {toolset.version} in {toolset.bin_dir} cannot compress with {compression}; "
            "choose gzip or none",
            code="compression_unsupported",
        )
    return f"pg_basebackup {toolset.version} in {toolset.bin_dir}, compression {compression}"


def _can_prove(names: Sequence[str], server: Server, tools: Tools, *, newer: bool = False) -> Check:
    """Without these a backup can be taken, but never proven here."""
    try:
        toolset = pg_tools.find(tools, names, major=server.major, newer=newer, as_server_user=True)
    except EngineError as exc:
        return Check("proof", Outcome.COULD_NOT, f"Backups could not be proven here: {exc}", {"code": exc.code})
    return Check("proof", Outcome.PASSED, f"Backups can be proven here with PostgreSQL {toolset.version}")


def _ask(name: str, question: Callable[[], str]) -> Check:
    started = time.monotonic()
    try:
        detail = question()
    except EngineError as exc:
        return Check(name, Outcome.FAILED, str(exc), {"code": exc.code}, time.monotonic() - started)
    return Check(name, Outcome.PASSED, detail, {}, time.monotonic() - started)


def _judge(name: str, right: bool, detail: str, remedy: str) -> Check:
    return Check(name, Outcome.PASSED if right else Outcome.FAILED, detail if right else f"{detail}: {remedy}")
