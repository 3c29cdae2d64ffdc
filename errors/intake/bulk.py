"""Rows into the spool by one prepared statement, with libpq's own calls.

psycopg's cursors do the same in twice the time of the web server: they adapt every value, and wait in tasks of their
own (docs/decisions/0002-intake.md has the figures). The connection is psycopg's all the same.
"""

import asyncio
import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
from psycopg import pq

from errors.intake.database import Connection

Row = tuple[int, int, datetime, UUID | None, str, str, str, bytes]

NAME = b"sysops_spool"
# One statement is one transaction: the answer to it means that its rows are on disk.
INSERT = b"""
INSERT INTO errors_spool (project_id, key_id, received_at, event_id, kind, encoding, remote, body)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::uuid[], $5::text[], $6::text[], $7::text[],
                     $8::bytea[])
"""
BIGINT, TIMESTAMPTZ, UUID_, TEXT, BYTEA = 20, 1184, 2950, 25, 17  # oids, the same in every PostgreSQL
COLUMNS = (BIGINT, BIGINT, TIMESTAMPTZ, UUID_, TEXT, TEXT, TEXT, BYTEA)
BINARY = [pq.Format.BINARY] * len(COLUMNS)

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_NUMBER = struct.Struct("!q")
_LENGTH = struct.Struct("!i")
_NULL = _LENGTH.pack(-1)
_HEADER = struct.Struct("!iiIii")  # dimensions, whether there may be nulls, oid, count, first index

Cells = tuple[bytes, bytes, bytes, bytes | None, bytes, bytes, bytes, bytes]


async def prepare(connection: Connection) -> None:
    """Make the statement known on a new connection. Raises psycopg.Error."""
    connection.pgconn.send_prepare(NAME, INSERT)
    await _answered(connection)


async def insert(connection: Connection, rows: Sequence[Cells]) -> None:
    """Write the rows and commit. Raises psycopg.Error, and then none of them is written."""
    values = [_array(oid, column, len(rows)) for oid, column in zip(COLUMNS, zip(*rows))]
    connection.pgconn.send_query_prepared(NAME, values, BINARY)
    await _answered(connection)


def cells(row: Row) -> Cells:
    """A row as it is sent. Raises ValueError, OverflowError or struct.error for what is no row."""
    project, key, at, event_id, kind, encoding, remote, body = row
    return (
        _NUMBER.pack(project),
        _NUMBER.pack(key),
        _NUMBER.pack((at - EPOCH) // MICROSECOND),
        event_id.bytes if event_id else None,
        kind.encode(),
        encoding.encode(),
        remote.encode(),
        body,
    )


def _array(oid: int, column: Iterable[bytes | None], count: int) -> bytes:
    """An array in PostgreSQL's binary form."""
    parts = [_HEADER.pack(1, 1, oid, count, 1)]
    for cell in column:
        if cell is None:
            parts.append(_NULL)
        else:
            parts += (_LENGTH.pack(len(cell)), cell)
    return b"".join(parts)


async def _answered(connection: Connection) -> None:
    """Once the server has answered what was sent. Raises psycopg.Error with what it said."""
    pgconn = connection.pgconn
    loop, descriptor = asyncio.get_running_loop(), pgconn.socket
    done: asyncio.Future[None] = loop.create_future()
    failures: list[psycopg.Error] = []

    def ready() -> None:
        if done.done():
            return
        try:
            pgconn.consume_input()
            if not pgconn.flush():
                loop.remove_writer(descriptor)
            while not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    done.set_result(None)
                    return
                if result.status != pq.ExecStatus.COMMAND_OK:
                    failures.append(_failure(result))
        except psycopg.Error as exc:
            done.set_exception(exc)

    loop.add_reader(descriptor, ready)
    try:
        if pgconn.flush():  # more than the socket takes at once
            loop.add_writer(descriptor, ready)
        await done
    finally:
        loop.remove_writer(descriptor)
        loop.remove_reader(descriptor)
    if failures:
        raise failures[0]


def _failure(result: pq.abc.PGresult) -> psycopg.Error:
    state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    said = (result.error_message or b"").decode("utf-8", "replace")
    try:
        return psycopg.errors.lookup(state)(said)
    except KeyError:
        return psycopg.DatabaseError(said)
