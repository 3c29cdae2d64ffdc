"""Where a PostgreSQL source is, for psycopg and for PostgreSQL's own tools."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg
from psycopg.conninfo import make_conninfo

from backups.engines.base import EngineError
from backups.engines.postgres import reasons

CONNECT_SECONDS = 10
GRACE_SECONDS = 1.0  # the server's own statement_timeout gets to speak first

CONNECTION_PROPERTIES: Mapping[str, object] = {
    "host": {
        "type": "string",
        "minLength": 1,
        "title": "Host",
        "description": "Host name, address, or the folder of its unix socket.",
    },
    "port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 5432, "title": "Port"},
    "user": {"type": "string", "minLength": 1, "title": "Role"},
    "password": {"type": "string", "title": "Password", "writeOnly": True},
    "dbname": {"type": "string", "minLength": 1, "default": "postgres", "title": "Database"},
    "sslmode": {
        "enum": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        "default": "prefer",
        "title": "Encryption",
    },
    "sslrootcert": {"type": "string", "title": "Certificate file", "description": "File that `verify-…` checks with."},
}


@dataclass(frozen=True)
class Address:
    """One server as one role. The password appears in no repr, no argument and no message."""

    host: str
    user: str
    port: int = 5432
    dbname: str = "postgres"
    sslmode: str = "prefer"
    sslrootcert: str = ""
    password: str = field(default="", repr=False)
    app: str = "sysops"

    @classmethod
    def of(cls, settings: Mapping[str, object], *, app: str = "sysops") -> "Address":
        """From an engine's settings."""
        return cls(
            host=str(settings["host"]),
            user=str(settings["user"]),
            port=int(str(settings.get("port") or 5432)),
            dbname=str(settings.get("dbname") or "postgres"),
            sslmode=str(settings.get("sslmode") or "prefer"),
            sslrootcert=str(settings.get("sslrootcert") or ""),
            password=str(settings.get("password") or ""),
            app=app[:63],
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.password,) if self.password else ()

    def environ(self) -> dict[str, str]:
        """Environment for PostgreSQL's tools: the password never stands in an argument list."""
        given = {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGDATABASE": self.dbname,
            "PGPASSWORD": self.password,
            "PGSSLMODE": self.sslmode,
            "PGSSLROOTCERT": self.sslrootcert,
            "PGAPPNAME": self.app,
            "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS),
        }
        return {name: value for name, value in given.items() if value}

    def conninfo(self, *, dbname: str | None = None, seconds: float = 60, **more: str) -> str:
        """For psycopg; every statement ends after `seconds`."""
        given = {
            "host": self.host,
            "port": str(self.port),
            "user": self.user,
            "dbname": dbname or self.dbname,
            "password": self.password,
            "sslmode": self.sslmode,
            "sslrootcert": self.sslrootcert,
            "application_name": self.app,
            "connect_timeout": str(CONNECT_SECONDS),
            "options": f"-c statement_timeout={int(seconds * 1000)} -c client_min_messages=error",
        }
        return make_conninfo("", **{name: value for name, value in {**given, **more}.items() if value})

    @contextmanager
    def connection(
        self, *, dbname: str | None = None, seconds: float = 60
    ) -> "Iterator[psycopg.Connection[tuple[object, ...]]]":
        """A connection in autocommit mode, for `seconds` in all.

        Raises EngineError with the reason when there is none to be had or the time is over.
        """
        try:
            connection = psycopg.connect(self.conninfo(dbname=dbname, seconds=seconds), autocommit=True)
        except psycopg.Error as exc:
            raise reasons.from_connection(exc, secrets=self.secrets) from None
        with connection, limited(connection, seconds=seconds + GRACE_SECONDS):
            yield connection


@contextmanager
def limited(connection: "psycopg.Connection[tuple[object, ...]]", *, seconds: float) -> Iterator[None]:
    """Inside, no wait for the server outlives `seconds`: a frozen server never reaches its own statement_timeout.

    Raises EngineError `connect_timeout` in place of what psycopg makes of the end.
    """
    over = threading.Event()
    own = socket.socket(fileno=os.dup(connection.fileno()))

    def hang_up() -> None:
        over.set()
        with contextlib.suppress(OSError):
            own.shutdown(socket.SHUT_RDWR)

    watchdog = threading.Timer(seconds, hang_up)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    except (psycopg.Error, EngineError):
        if over.is_set():
            raise EngineError(f"The source did not answer within {seconds:.0f} s", code="connect_timeout") from None
        raise
    finally:
        watchdog.cancel()
        own.close()


@dataclass(frozen=True)
class Server:
    """What a server says of itself."""

    version: str
    version_num: int
    superuser: str
    data_checksums: bool
    in_recovery: bool
    wal_level: str
    summarize_wal: bool
    size_bytes: int | None

    @property
    def major(self) -> int:
        return self.version_num // 10000


_ASK: LiteralString = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int,
       coalesce((SELECT rolname FROM pg_roles WHERE rolsuper AND rolcanlogin ORDER BY oid LIMIT 1), 'postgres'),
       current_setting('data_checksums') = 'on', pg_is_in_recovery(), current_setting('wal_level'),
       coalesce(current_setting('summarize_wal', true), 'off') = 'on',
       (SELECT sum(CASE WHEN has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
                        THEN pg_database_size(oid) END)::bigint FROM pg_database)
"""


def ask(address: Address, *, seconds: float = 30) -> Server:
    """What the server says of itself. Raises EngineError."""
    with address.connection(seconds=seconds) as connection:
        try:
            row = connection.execute(_ASK).fetchone()
        except psycopg.Error as exc:
            raise reasons.from_connection(exc, secrets=address.secrets) from None
    if row is None:
        raise EngineError("The source answered nothing to a plain question")
    return Server(*row)  # type: ignore[arg-type]
