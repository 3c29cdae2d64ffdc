"""Figures of a live database, taken around its backup, so that a restore can be held against something.

A database moves while it is backed up. What the backup contains lies between the figures before and after:
the rows of a counted table within [fewest − deleted, most + inserted], the size of a table too large to count
within the sizes seen, with a little slack.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg
from psycopg import sql

from backups.engines.base import EngineError
from backups.engines.postgres.connect import Address

COUNT_UP_TO_ROWS = 200_000
TABLES_AT_MOST = 2_000
BUDGET_SECONDS = 3.0
MARKER_DAYS = 7
STATISTICS_LAG_ROWS = 10

_DATABASES: LiteralString = """
SELECT datname, datallowconn AND has_database_privilege(oid, 'CONNECT') FROM pg_database
WHERE NOT datistemplate AND (%(only)s::text IS NULL OR datname = %(only)s) ORDER BY datname
"""
_TABLES: LiteralString = """
WITH locked AS MATERIALIZED (  -- asking for the size of a locked table would wait for the lock
    SELECT relation FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock' AND relation IS NOT NULL
), largest AS MATERIALIZED (
    SELECT c.oid, n.oid AS namespace, n.nspname, c.relname, c.relkind, c.reltuples, c.relfilenode
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%%'
      AND (n.nspname, c.relname) <> ('sysops_backup', 'marker')
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')
    ORDER BY c.relpages DESC, n.nspname, c.relname LIMIT %(limit)s
)
SELECT nspname, relname, reltuples::float8,
       CASE WHEN oid NOT IN (SELECT relation FROM locked) THEN pg_relation_size(oid) END, relfilenode::text,
       coalesce(pg_stat_get_tuples_inserted(oid), 0), coalesce(pg_stat_get_tuples_deleted(oid), 0),
       relkind = 'r' AND has_schema_privilege(namespace, 'USAGE') AND has_table_privilege(oid, 'SELECT')
       AND NOT row_security_active(oid), coalesce(pg_stat_get_live_tuples(oid), 0)
FROM largest
"""


@dataclass(frozen=True)
class Table:
    """One table at one moment; `rows` is None where it was not counted, `size_bytes` where it was locked."""

    rows: int | None
    estimated_rows: int
    size_bytes: int | None
    filenode: str
    inserted: int
    deleted: int


@dataclass(frozen=True)
class Database:
    """One database at one moment. With a `reason` its tables could not be looked at."""

    tables: Mapping[str, Table] = field(default_factory=dict)
    left_out: bool = False
    reason: str = ""


Snapshot = Mapping[str, Database]


def write_marker(address: Address, backup_id: str) -> dict[str, object]:
    """Write the row that a restore must find again. Answers what was written, or why it could not be."""
    try:
        with address.connection(seconds=10) as connection:
            return _write_marker(connection, backup_id, address.dbname)
    except (EngineError, psycopg.Error) as exc:
        return {"reason": " ".join(str(exc).split())}


def _write_marker(
    connection: "psycopg.Connection[tuple[object, ...]]", backup_id: str, dbname: str
) -> dict[str, object]:
    connection.execute("SET lock_timeout = '5s'")
    connection.execute("SET synchronous_commit = local")  # on the disk here; never waiting for a lost standby
    found = connection.execute("SELECT to_regclass('sysops_backup.marker')").fetchone()
    if not found or found[0] is None:
        # Not a schema `sysops`: a role of that name would find it first in its search path ("$user", public).
        connection.execute("CREATE SCHEMA IF NOT EXISTS sysops_backup")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS sysops_backup.marker "
            "(backup_id text PRIMARY KEY, written_at timestamptz NOT NULL)"
        )
    connection.execute(
        "DELETE FROM sysops_backup.marker WHERE written_at < now() - make_interval(days => %s)", (MARKER_DAYS,)
    )
    row = connection.execute(
        "INSERT INTO sysops_backup.marker VALUES (%s, clock_timestamp()) "
        "ON CONFLICT (backup_id) DO UPDATE SET written_at = excluded.written_at RETURNING written_at::text",
        (backup_id,),
    ).fetchone()
    return {"backup_id": backup_id, "database": dbname, "written_at": row[0] if row else None}


def snapshot(address: Address, *, only: str | None = None, budget_seconds: float = BUDGET_SECONDS) -> Snapshot:
    """The tables of every database we may look at (or of `only` one), counted while the budget lasts."""
    deadline = time.monotonic() + budget_seconds
    with address.connection(seconds=10) as connection:
        names = connection.execute(_DATABASES, {"only": only}).fetchall()
    return {str(name): _database(address, str(name), bool(open_), deadline) for name, open_ in names}


def _database(address: Address, name: str, may_connect: bool, deadline: float) -> Database:
    if not may_connect:
        return Database(reason="the role may not connect to it")
    try:
        with address.connection(dbname=name, seconds=10) as connection:
            connection.execute("SET default_transaction_read_only = on")
            connection.execute("SET lock_timeout = '300ms'")  # a locked table is estimated, not waited for
            rows = connection.execute(_TABLES, {"limit": TABLES_AT_MOST + 1}).fetchall()
            tables = dict(_tables(connection, rows[:TABLES_AT_MOST], deadline))
            return Database(tables=tables, left_out=len(rows) > TABLES_AT_MOST)
    except (EngineError, psycopg.Error) as exc:
        return Database(reason=" ".join(str(exc).split())[:300])


def _tables(
    connection: "psycopg.Connection[tuple[object, ...]]", rows: Iterable[tuple[object, ...]], deadline: float
) -> Iterable[tuple[str, Table]]:
    """Small tables first: most of them get counted before the budget ends."""
    for row in sorted(rows, key=lambda row: int(str(row[3] or 0))):
        schema, name, tuples, size, node, inserted, deleted, countable, live = row
        estimate = max(int(float(str(tuples))), int(str(live)), 0)
        count = None
        if countable and size is not None and estimate <= COUNT_UP_TO_ROWS and time.monotonic() < deadline:
            count = _count(connection, str(schema), str(name), deadline)
        bytes_ = None if size is None else int(str(size))
        yield (
            qualified(str(schema), str(name)),
            Table(count, estimate, bytes_, str(node), int(str(inserted)), int(str(deleted))),
        )


def _count(connection: "psycopg.Connection[tuple[object, ...]]", schema: str, name: str, deadline: float) -> int | None:
    milliseconds = max(50, int(1000 * (deadline - time.monotonic())))
    try:
        connection.execute(sql.SQL("SET statement_timeout = {}").format(milliseconds))
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))).fetchone()
    except psycopg.Error:
        if connection.broken:
            raise
        return None  # locked, too slow for the budget, or not ours to read: its size must do
    return int(str(row[0])) if row else None


def qualified(schema: str, name: str) -> str:
    """The name of a table as SQL writes it, quoted where it must be."""
    return sql.Identifier(schema, name).as_string(None)


def bounds(before: Snapshot, after: Snapshot, *, same_pages: bool) -> dict[str, object]:
    """What a restore must keep to, per database and table, as JSON.

    Tables or databases seen only before or only after came or went meanwhile: nothing is promised of them.
    `same_pages` says that the restore will have the source's pages (physical) and not rows written anew.
    """
    result: dict[str, object] = {}
    for name in sorted(set(before) & set(after)):
        old, new = before[name], after[name]
        entry: dict[str, object] = {
            "tables": {
                table: table_bounds(old.tables[table], new.tables[table], same_pages=same_pages)
                for table in sorted(set(old.tables) & set(new.tables))
            }
        }
        if reason := old.reason or new.reason:
            entry["not_looked_at"] = reason
        if old.left_out or new.left_out:
            entry["left_out"] = f"only the {TABLES_AT_MOST} largest tables were looked at"
        result[name] = entry
    return result


def table_bounds(before: Table, after: Table, *, same_pages: bool) -> dict[str, object]:
    """The rows, or else the bytes, that this table may have in a backup taken between the two moments."""
    rewritten = before.filenode != after.filenode  # truncated or rebuilt meanwhile: it may have been empty in between
    if before.rows is not None and after.rows is not None:
        inserted = max(0, after.inserted - before.inserted)
        deleted = max(0, after.deleted - before.deleted)
        fewest, most = sorted((before.rows, after.rows))
        # PostgreSQL's counters lag by seconds. What only grows is bounded by the two counts alone; rows that
        # came and went between them are seen by the counters only, so a table that loses rows gets some slack.
        slack = max(STATISTICS_LAG_ROWS, most // 100, inserted, deleted) if after.deleted else 0
        low = 0 if rewritten else max(0, fewest - deleted - slack)
        return {"rows": [low, most + inserted + slack]}
    if before.size_bytes is None or after.size_bytes is None:
        return {"not_measured": "it was locked"}
    small, large = sorted((before.size_bytes, after.size_bytes))
    if same_pages:
        low, high = int(small * 0.95), int(large * 1.05)
    else:
        low, high = int(before.estimated_rows > 1000), int(large * 1.5)  # written anew, without the bloat
    return {"bytes": [0 if rewritten else low, high + (1 << 20)], "estimated_rows": after.estimated_rows}
