"""The new place of a restore: empty before, whole afterwards, empty again when it failed."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from backups.engines import scratch
from backups.engines.base import EngineError, RestoreJob
from backups.engines.postgres import server
from backups.engines.postgres.server import PrivateServer
from backups.engines.postgres.tools import Toolset
from backups.engines.work import Work
from sysops.kernel import process

UNFINISHED = ".sysops-unfinished"
_CONFIGURATION = ("postgresql.conf", "pg_hba.conf", "pg_ident.conf", "postgresql.auto.conf")
_HEAD = """\
# Written by Sysops when it restored this cluster. The source's own file, where it had one in its data folder,
# lies beside this one and ends in .source. Nothing here reaches out: no network, no archive, no libraries, no
# subscriptions. Take over from the .source files what you want before you put the server to use.
"""
_HBA = """\
# Written by Sysops. The folder of the socket is open to the server's OS user only; before you listen on a
# network, say here who may come in.
local all all trust
"""


@contextmanager
def new(job: RestoreJob) -> Iterator[Path]:
    """The target, made, private and locked; what was written in it is removed again when the body raises.

    What a restore left there whose worker was killed is removed first. Raises EngineError `target_not_empty`.
    """
    if job.paths:
        raise EngineError("This engine restores the whole only, no single paths", code="unsupported", permanent=True)
    target = job.target
    if not target.is_absolute():
        raise EngineError(f"The target must be an absolute path, not {target}", code="bad_target", permanent=True)
    existed = target.is_dir()
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_taken(target, job.tools.os_user))
            scratch.require_reach(target, job.tools.os_user)
            yield target
        except BaseException as exc:
            if not isinstance(exc, _NotOurs):
                clear(target)
                if not existed:
                    with contextlib.suppress(OSError):
                        target.rmdir()
            raise
        (target / UNFINISHED).unlink()


class _NotOurs(EngineError):
    """The target holds something that we did not write."""


@contextmanager
def _taken(target: Path, os_user: str | None) -> Iterator[None]:
    try:
        target.mkdir(parents=True, exist_ok=True)
        if target.is_symlink():
            raise _NotOurs(f"{target} is a symbolic link", code="bad_target", permanent=True)
        if any(target.iterdir()) and not _abandoned(target):
            raise _NotOurs(
                f"{target} is not empty; a restore never writes over anything. Name a new folder",
                code="target_not_empty",
                permanent=True,
            )
        clear(target)
        lock = os.open(target / UNFINISHED, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        target.chmod(0o700)
        scratch.give(target, os_user)
    except OSError as exc:
        raise _NotOurs(f"Cannot write to {target}: {exc.strerror}", code="bad_target", permanent=True) from None
    try:
        yield
    finally:
        os.close(lock)


def _abandoned(target: Path) -> bool:
    """Whether a restore began here and its worker is dead."""
    try:
        lock = os.open(target / UNFINISHED, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def clear(target: Path) -> None:
    """Remove everything in the target, a server that runs there included."""
    for data in [target / "data", *target.glob("*/data")]:
        scratch.end_server(data)
    scratch.forget_socket_folder(target)
    for entry in list(target.iterdir()) if target.is_dir() else []:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """The folder is gone afterwards."""
    scratch.forget_socket_folder(path)
    shutil.rmtree(path, ignore_errors=True)


def free_bytes(path: Path) -> int:
    """Room left where the path lies."""
    return shutil.disk_usage(path).free


def keep_source_configuration(data: Path) -> None:
    """The source's own configuration stays to be read, under names that no server reads."""
    for name in _CONFIGURATION:
        with contextlib.suppress(FileNotFoundError):
            (data / name).rename(data / f"{name}.source")


def write_configuration(target: Path, *, settings: Mapping[str, str], os_user: str | None) -> Path:
    """Give the restored cluster a configuration of its own, so that it starts like any other.

    Answers the folder of its socket.
    """
    data = target / "data"
    sockets = scratch.socket_folder(target, os_user)
    chosen = {**settings, **server.QUIET, "unix_socket_directories": str(sockets)}
    for name in ("max_wal_senders", "hot_standby"):
        chosen.pop(name)
    files = {
        "postgresql.conf": _HEAD + server.configuration(chosen),
        "pg_hba.conf": _HBA,
        "pg_ident.conf": "",
        "postgresql.auto.conf": "",
    }
    for name, text in files.items():
        path = data / name
        path.write_text(text)
        path.chmod(0o600)
        scratch.give(path, os_user)
    return sockets


def make_durable(data: Path, *, work: Work, toolset: Toolset) -> None:
    """Everything restored is on the disk afterwards."""
    work.say("writing to disk")
    argv: list[str | Path] = [toolset["initdb"], "--sync-only", "-D", data]
    work.run(
        argv, as_server_user=True, explain=lambda r: EngineError(f"The restored files could not be synced: {r.words}")
    )


def start(target: Path, sockets: Path, *, superuser: str, dbname: str, work: Work, toolset: Toolset) -> tuple[str, int]:
    """Leave the restored server running; answers its connection string and pid."""
    work.say("starting the server")
    data = target / "data"
    argv: list[str | Path] = [toolset["pg_ctl"], "-D", data, "-l", target / "server.log", "-w", "-t", "120", "start"]
    work.run(argv, as_server_user=True, explain=lambda r: EngineError(f"The restored server did not start: {r.words}"))
    found = scratch.server_of(data)
    if found is None:
        raise EngineError(f"The restored server started and was gone again: {server.last_words(target / 'server.log')}")
    return PrivateServer(data, sockets, superuser, toolset.major).plain_conninfo(dbname), found.pid


def stop(target: Path, toolset: Toolset, *, os_user: str | None, seconds: float = 120) -> None:
    """Stop the server of a restored cluster in order; nothing running is no error."""
    data = target / "data"
    if scratch.server_of(data) is None:
        return
    argv: list[str | Path] = [toolset["pg_ctl"], "-D", data, "-m", "fast", "-w", "-t", str(int(seconds)), "stop"]
    try:
        process.run(argv, time_limit=seconds + 10, run_as=os_user)
    except process.ProcessError as exc:
        if scratch.server_of(data) is not None:
            raise EngineError(f"The restored server in {target} did not stop: {exc}") from None
