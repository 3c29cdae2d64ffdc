"""The intake's one connection to PostgreSQL: used by one at a time, made again when it is lost, never waited for long.

Apart from Django's connections, which block a thread each: here the event loop goes on while PostgreSQL works.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import psycopg

logger = logging.getLogger(__name__)

T = TypeVar("T")
Connection = psycopg.AsyncConnection[tuple[object, ...]]

NAME = "sysops intake"
PATIENCE_SECONDS = 3.0
CONNECT_SECONDS = 2
REST_SECONDS = 0.2  # between two attempts to connect
LOG_EVERY_SECONDS = 30.0
# Whatever the server's default, what is answered 200 is on disk. `local` and the stronger ones stay as they are.
DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
# Said by a server that is being stopped: it may be back soon.
ENDING = (psycopg.errors.AdminShutdown, psycopg.errors.CrashShutdown, psycopg.errors.CannotConnectNow)


class Away(Exception):
    """PostgreSQL did not do it. `lost`: the connection is gone, and a new one may be had soon. `stuck`: it did not
    answer in time."""

    def __init__(self, why: str, *, lost: bool = False, stuck: bool = False) -> None:
        super().__init__(why)
        self.lost = lost
        self.stuck = stuck


class Database:
    """A connection that is made when needed. `parameters` are psycopg's own, asked for at each attempt; `prepare` is
    done once on each new connection."""

    def __init__(
        self, parameters: Callable[[], Mapping[str, object]], *, prepare: Callable[[Connection], Awaitable[None]]
    ) -> None:
        self._parameters = parameters
        self._prepare = prepare
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None
        self._not_before = 0.0
        self._said_at = -LOG_EVERY_SECONDS

    async def run(self, work: Callable[[Connection], Awaitable[T]], *, patience: float = PATIENCE_SECONDS) -> T:
        """What `work` returns, given the connection for itself. Raises Away, at the latest after `patience` seconds
        (and those it takes to connect)."""
        async with self._lock:
            connection = await self._connected()
            # A frozen server answers nothing, not even a request to cancel: only the end of the socket ends the wait.
            overdue = asyncio.get_running_loop().call_later(patience, _break, connection)
            try:
                return await work(connection)
            except psycopg.Error as exc:
                if isinstance(exc, ENDING):
                    await connection.close()  # it says so a moment before it closes the socket
                stuck = overdue.when() <= asyncio.get_running_loop().time()
                self._say(exc)
                raise Away(_first_line(exc), lost=connection.closed and not stuck, stuck=stuck) from exc
            finally:
                overdue.cancel()

    async def ready(self) -> bool:
        """Whether there is a connection; makes one if need be, which takes up to twice CONNECT_SECONDS."""
        async with self._lock:
            try:
                await self._connected()
            except Away:
                return False
            return True

    async def close(self) -> None:
        async with self._lock:
            if self._connection is not None:
                await self._connection.close()
                self._connection = None

    async def _connected(self) -> Connection:
        if self._connection is not None:
            if not self._connection.closed:
                return self._connection
            await self._connection.close()
            self._connection = None
        clock = asyncio.get_running_loop().time
        if clock() < self._not_before:
            raise Away("The database is away", lost=True)
        try:
            self._connection = await self._connect()
        except psycopg.Error as exc:
            self._not_before = clock() + REST_SECONDS
            self._say(exc)
            raise Away(_first_line(exc), lost=True) from exc
        if self._said_at > 0:
            logger.info("The database is back; reports are taken again")
            self._said_at = -LOG_EVERY_SECONDS
        return self._connection

    async def _connect(self) -> Connection:
        given: dict[str, object] = {**self._parameters(), "connect_timeout": CONNECT_SECONDS, "application_name": NAME}
        connection: Connection = await psycopg.AsyncConnection.connect(**given, autocommit=True)  # type: ignore[arg-type]
        overdue = asyncio.get_running_loop().call_later(CONNECT_SECONDS, _break, connection)
        try:
            await connection.execute(DURABLE)
            await self._prepare(connection)
        except psycopg.Error:
            await connection.close()
            raise
        finally:
            overdue.cancel()
        return connection

    def _say(self, exc: psycopg.Error) -> None:
        """Once in a while: a database that is away for an hour must not fill the disk with lines about it."""
        now = asyncio.get_running_loop().time()
        if now - self._said_at >= LOG_EVERY_SECONDS:
            self._said_at = now
            logger.warning("Reports cannot be kept at present: %s", _first_line(exc))


def _break(connection: Connection) -> None:
    """End the socket beneath the connection: whoever waits on it is told so at once."""
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as ours:
            ours.shutdown(socket.SHUT_RDWR)
    except (psycopg.Error, OSError):
        return  # it is closed already


def _first_line(exc: psycopg.Error) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0]
