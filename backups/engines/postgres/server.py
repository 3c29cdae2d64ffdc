"""A private server on a restored (or new) data folder: one socket, no network, none of the source's settings."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psycopg
from psycopg.conninfo import make_conninfo

from backups.engines import scratch
from backups.engines.base import EngineError
from backups.engines.postgres.reasons import cannot_look
from backups.engines.postgres.tools import Toolset
from backups.engines.work import Work
from sysops.kernel import process

PORT = 5432
# What must not come from the source: its network, its archive, its libraries, its standbys and subscriptions.
QUIET: Mapping[str, str] = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "ssl": "off",
    "archive_mode": "off",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
    "hot_standby": "off",
    "primary_conninfo": "",
    "restore_command": "",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",  # a restored subscription would pull from the real publisher
    "logging_collector": "off",
    "log_destination": "stderr",
    "lc_messages": "C",
}
THROW_AWAY: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "max_connections": "32",
    "jit": "off",
}
# Recovery needs room for what the source had room for.
_FROM_CONTROL = {
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
    "max_worker_processes setting": "max_worker_processes",
    "max_connections setting": "max_connections",
    "track_commit_timestamp setting": "track_commit_timestamp",
}
_STILL_STARTING = re.compile(r"starting up|not (?:yet )?accepting|No such file|refused|closed the conn")
CANNOT_HERE = (
    "is not supported in this build",
    "not compatible with this server",
    "incompatible with server",
    "database locale is incompatible with operating system",
    "could not access file",
    "was initialized by PostgreSQL version",
    "could not open collator",
)


class ServerDied(Exception):
    """The server did not come up; the message is its last word. `cannot_here`: this machine cannot run it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.cannot_here = any(words in message for words in CANNOT_HERE) or cannot_look(message)


@dataclass(frozen=True)
class PrivateServer:
    """A running server that only its OS user and root can reach."""

    data: Path
    socket_dir: Path
    superuser: str
    major: int

    def conninfo(self, dbname: str = "template1", *, user: str | None = None, seconds: float = 600) -> str:
        """For psycopg. Settings of databases and roles that load code are overruled."""
        options = [f"-c statement_timeout={int(seconds * 1000)}", "-c client_min_messages=error", *self._safe]
        return make_conninfo(
            "", host=str(self.socket_dir), port=str(PORT), user=user or self.superuser, dbname=dbname,
            connect_timeout="10", options=" ".join(options if user is None else options[:2]), sslmode="disable",
        )  # fmt: skip

    def plain_conninfo(self, dbname: str) -> str:
        """For people: nothing but where it is."""
        return make_conninfo("", host=str(self.socket_dir), port=str(PORT), user=self.superuser, dbname=dbname)

    def environ(self) -> dict[str, str]:
        """For PostgreSQL's tools."""
        return {
            "PGHOST": str(self.socket_dir),
            "PGPORT": str(PORT),
            "PGUSER": self.superuser,
            "PGDATABASE": "template1",
            "PGOPTIONS": " ".join(self._safe),
            "PGSSLMODE": "disable",
        }

    @property
    def _safe(self) -> tuple[str, ...]:
        triggers = ("-c event_triggers=off",) if self.major >= 17 else ()
        return ("-c session_preload_libraries=", "-c local_preload_libraries=", *triggers)


def control_data(data: Path, *, work: Work, toolset: Toolset) -> dict[str, str]:
    """What pg_controldata says of the cluster."""
    result = work.run([toolset["pg_controldata"], data], as_server_user=True)
    pairs = (line.partition(":") for line in result.stdout.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def needed_settings(control: Mapping[str, str]) -> dict[str, str]:
    """The settings without which recovery would refuse what the source had prepared, locked or stamped."""
    return {setting: control[said] for said, setting in _FROM_CONTROL.items() if control.get(said)}


def configuration(settings: Mapping[str, str]) -> str:
    """A postgresql.conf of these settings."""
    return "".join(f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items())


@contextmanager
def running(
    data: Path, *, beside: Path, work: Work, toolset: Toolset, superuser: str, settings: Mapping[str, str]
) -> Iterator[PrivateServer]:
    """The server, out of recovery and answering; stopped in order afterwards.

    Its configuration lies in `beside`, not in the data folder. Raises ServerDied.
    """
    user = work.tools.os_user
    sockets = scratch.socket_folder(beside, user)
    config = beside / "server.conf"
    config.write_text(configuration({**settings, "unix_socket_directories": str(sockets)}))
    (beside / "server.hba").write_text("local all all trust\n")  # the folder of the socket is closed to others
    (beside / "server.ident").write_text("")
    auto = data / "postgresql.auto.conf"
    auto.write_text("")  # read whatever config_file says: the source's ALTER SYSTEM must not leak in
    for path in (config, beside / "server.hba", beside / "server.ident", auto):
        scratch.give(path, user)
    argv = [
        toolset["postgres"], "-D", str(data), "-c", f"config_file={config}",
        "-c", f"hba_file={beside / 'server.hba'}", "-c", f"ident_file={beside / 'server.ident'}",
    ]  # fmt: skip
    server = PrivateServer(data, sockets, superuser, toolset.major)
    log = beside / "server.log"
    with log.open("ab") as said:
        started = _start(argv, said, user)
        try:
            _wait_until_out_of_recovery(server, started, log, work)
            yield server
        finally:
            _stop(started)


def _start(argv: list[str], said: IO[bytes], user: str | None) -> "subprocess.Popen[bytes]":
    try:
        # SIGQUIT: should we be killed, the server ends at once together with its children.
        return process.start(argv, stdout=said, stderr=said, run_as=user, death_signal=signal.SIGQUIT)
    except process.ToolMissing as exc:
        raise EngineError(str(exc), code="tool_missing", permanent=True) from exc


def _wait_until_out_of_recovery(
    server: PrivateServer, started: "subprocess.Popen[bytes]", log: Path, work: Work
) -> None:
    """A server that was started is not yet one that works: it may die at the end of recovery."""
    while True:
        work.left()
        if started.poll() is not None:
            raise ServerDied(last_words(log))
        try:
            with psycopg.connect(server.conninfo(), autocommit=True) as connection:
                row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
                if row and row[0] is False:
                    return
        except psycopg.OperationalError as exc:
            if not _STILL_STARTING.search(str(exc)) and started.poll() is None:
                raise ServerDied(" ".join(str(exc).split())) from None
        time.sleep(0.1)


def _stop(started: "subprocess.Popen[bytes]", *, seconds: float = 60) -> None:
    """Fast shutdown, with its checkpoint, so that pg_checksums finds a clean cluster."""
    if started.poll() is None:
        started.send_signal(signal.SIGINT)
        try:
            started.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
    process.end(started, first=signal.SIGQUIT)


def last_words(log: Path) -> str:
    """Why a server died, from the end of its log."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 65536))
        lines = file.read().decode("utf-8", "replace").splitlines()
    serious = [line for line in lines if re.search(r"\b(?:FATAL|PANIC)\b", line)] or [
        line for line in lines if "ERROR" in line or "error" in line
    ]
    said = serious[-1] if serious else (lines[-1] if lines else "it said nothing")
    details = [line for line in lines[lines.index(said) + 1 :][:3] if "DETAIL" in line] if serious else []
    return " | ".join(re.sub(r"^[\d-]+ [\d:.]+ \S+ \[\d+\] ", "", line).strip() for line in [said, *details])
