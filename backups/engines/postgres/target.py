"""The folder a restore fills: new before, whole afterwards, gone again when it failed."""

import contextlib
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
from sysops.stack.leftovers import STAYS

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
    """The folder of the attempt, made and private; it is gone again when the body raises.

    Raises EngineError `target_not_empty` when it holds anything.
    """
    if job.paths:
        raise EngineError("This engine restores the whole only, no single paths", code="unsupported", permanent=True)
    folder = job.folder
    if not folder.is_absolute():
        raise EngineError(f"The folder must be an absolute path, not {folder}", code="bad_target", permanent=True)
    _make(folder, job.tools.os_user)
    try:
        scratch.require_reach(folder, job.tools.os_user)
        yield folder
    except BaseException:
        clear(folder)
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise


def _make(folder: Path, os_user: str | None) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.is_symlink():
            raise EngineError(f"{folder} is a symbolic link", code="bad_target", permanent=True)
        if any(folder.iterdir()):
            raise EngineError(
                f"{folder} is not empty; a restore never writes over anything. Name a new folder",
                code="target_not_empty",
                permanent=True,
            )
        folder.chmod(0o700)
        scratch.give(folder, os_user)
    except OSError as exc:
        raise EngineError(f"Cannot write to {folder}: {exc.strerror}", code="bad_target", permanent=True) from None


def clear(folder: Path) -> None:
    """Remove everything in the folder of an attempt, a server that runs there included."""
    for data in [folder / "data", *folder.glob("*/data")]:
        scratch.end_server(data)
    scratch.forget_socket_folder(folder)
    for entry in list(folder.iterdir()) if folder.is_dir() else []:
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


def write_configuration(folder: Path, *, target: Path, settings: Mapping[str, str], os_user: str | None) -> None:
    """Give the restored cluster a configuration of its own, so that it starts like any other once it is at `target`."""
    data = folder / "data"
    sockets = scratch.socket_folder(folder, os_user, moves_to=target)
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


def point_tablespaces(folder: Path, target: Path) -> None:
    """Let the links to the tablespaces lead to where these will be, once the folder is at `target`."""
    for link in sorted((folder / "data" / "pg_tblspc").glob("*")):
        if link.is_symlink():
            space = target / Path(os.readlink(link)).relative_to(folder)
            link.unlink()
            link.symlink_to(space)


def make_durable(data: Path, *, work: Work, toolset: Toolset) -> None:
    """Everything restored is on the disk afterwards."""
    work.say("writing to disk")
    argv: list[str | Path] = [toolset["initdb"], "--sync-only", "-D", data]
    work.run(
        argv, as_server_user=True, explain=lambda r: EngineError(f"The restored files could not be synced: {r.words}")
    )


def start(target: Path, *, superuser: str, dbname: str, work: Work, toolset: Toolset) -> str:
    """Leave the restored server running, also when `sysops up` stops; answers its connection string."""
    work.say("starting the server")
    data, sockets = target / "data", scratch.socket_folder(target, work.tools.os_user)
    argv: list[str | Path] = [toolset["pg_ctl"], "-D", data, "-l", target / "server.log", "-w", "-t", "120", "start"]
    work.run(
        argv,
        as_server_user=True,
        env={STAYS: "1"},
        explain=lambda r: EngineError(f"The restored server did not start: {r.words}"),
    )
    if scratch.server_of(data) is None:
        raise EngineError(f"The restored server started and was gone again: {server.last_words(target / 'server.log')}")
    return PrivateServer(data, sockets, superuser, toolset.major).plain_conninfo(dbname)


def stop(target: Path, toolset: Toolset, *, os_user: str | None, seconds: float = 120) -> None:
    """Stop the running server of a restored cluster in order. Raises EngineError when it runs on."""
    data = target / "data"
    argv: list[str | Path] = [toolset["pg_ctl"], "-D", data, "-m", "fast", "-w", "-t", str(int(seconds)), "stop"]
    said = "it was told to, and runs on"
    try:
        process.run(argv, time_limit=seconds + 10, run_as=os_user)
    except process.ProcessError as exc:
        said = str(exc)
    if scratch.server_of(data) is not None:
        raise EngineError(f"The restored server in {target} did not stop: {said}")
    scratch.require_gone(data)
