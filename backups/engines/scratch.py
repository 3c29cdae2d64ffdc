"""Private folders for scratch restores: locked while in use, removed afterwards, swept when their owner died."""

import contextlib
import fcntl
import os
import pwd
import secrets
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from backups.engines.base import EngineError, Tools
from sysops.kernel import process

PREFIX = "sysops-prove-"
SOCKET_PREFIX = "sysops-s-"
LOCK = ".lock"
SOCKET_NOTE = ".socket"
LONGEST_SOCKET_PATH = 100  # bytes; the kernel's limit is 107 with the file's name


@contextmanager
def folder(tools: Tools, run_id: str) -> Iterator[Path]:
    """A new folder below the scratch folder, of the servers' OS user and locked by us; gone afterwards.

    Its name carries `run_id`, so that the sweeper can tell whose it was.
    """
    path = tools.scratch_dir / f"{PREFIX}{run_id}-{secrets.token_hex(4)}"
    try:
        tools.scratch_dir.mkdir(parents=True, exist_ok=True)
        make_private(path, tools.os_user)
        lock = os.open(path / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise EngineError(
            f"The scratch folder {tools.scratch_dir} cannot be used: {exc.strerror}", code="scratch_unusable"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        require_reach(path, tools.os_user)
        yield path
    finally:
        _clear(path)
        os.close(lock)


def sweep_scratch(tools: Tools, alive_ids: Collection[str]) -> list[str]:
    """Remove the scratch folders that dead workers left, and stop their servers. Answers the names removed.

    A folder stays while its worker lives (it holds the lock) or while its run id is among `alive_ids`.
    """
    removed = []
    for path in sorted(tools.scratch_dir.glob(f"{PREFIX}*")):
        run_id = path.name.removeprefix(PREFIX).rpartition("-")[0]
        if run_id not in alive_ids and path.is_dir() and not path.is_symlink() and not _locked(path):
            _clear(path)
            removed.append(path.name)
    return removed


def make_private(path: Path, os_user: str | None) -> None:
    """A new folder that only the servers' OS user (and root) may enter."""
    owner = _owner(os_user)
    path.mkdir(mode=0o700)
    if owner:
        os.chown(path, *owner)


def give(path: Path, os_user: str | None) -> None:
    """Make the servers' OS user the owner, where we may and must."""
    if owner := _owner(os_user):
        os.chown(path, *owner)


def _owner(os_user: str | None) -> tuple[int, int] | None:
    if os_user is None or os.geteuid() != 0:
        return None
    try:
        found = pwd.getpwnam(os_user)
    except KeyError:
        raise EngineError(
            f"There is no OS user {os_user!r} for servers; set SYSOPS_PG_OS_USER", code="tool_missing", permanent=True
        ) from None
    return found.pw_uid, found.pw_gid


def require_reach(path: Path, os_user: str | None) -> None:
    """Raises EngineError when the servers' OS user cannot work in the folder."""
    try:
        tried = process.run(
            ["sh", "-c", 'cd "$1" && test -w .', "sh", path], time_limit=15, run_as=os_user, check=False
        )
    except process.ToolMissing as exc:
        raise EngineError(str(exc), code="tool_missing", permanent=True) from None
    if tried.returncode != 0:
        raise EngineError(
            f"The OS user {os_user or 'we run as'} cannot work in {path}: one of the folders above it is closed to it. "
            "Open it (chmod o+x) or choose another folder",
            code="scratch_unusable",
            permanent=True,
        )


def socket_folder(beside: Path, os_user: str | None, *, moves_to: Path | None = None) -> Path:
    """A private folder for a server's socket: below `beside` where the path is short enough, else a temporary one.

    A temporary one is noted in `beside`, so that whoever clears up finds it. Where `beside` is about to be moved,
    the answer is where the folder will be.
    """
    path, later = beside / "s", (moves_to or beside) / "s"
    if len(os.fsencode(later)) <= LONGEST_SOCKET_PATH - len("/.s.PGSQL.65535"):
        if not path.is_dir():
            make_private(path, os_user)
        return later
    note = beside / SOCKET_NOTE
    if note.exists() and Path(note.read_text()).is_dir():
        return Path(note.read_text())
    made = Path(tempfile.mkdtemp(prefix=SOCKET_PREFIX, dir=_short_temp()))
    give(made, os_user)
    note.write_text(str(made))
    return made


def forget_socket_folder(beside: Path) -> None:
    """Remove the temporary socket folder noted in `beside`, if there is one."""
    with contextlib.suppress(OSError):
        noted = Path((beside / SOCKET_NOTE).read_text())
        if noted.name.startswith(SOCKET_PREFIX):
            shutil.rmtree(noted, ignore_errors=True)


def server_of(data_dir: Path) -> psutil.Process | None:
    """The server that runs on a data folder, judged by its pid file and by what that process really is."""
    try:
        pid = int((data_dir / "postmaster.pid").read_text().splitlines()[0])
        found = psutil.Process(pid)
        if "postgres" in Path(found.exe()).name or "postgres" in " ".join(found.cmdline()):
            here = Path(found.cwd()).resolve() == data_dir.resolve()
            return found if here else None
    except (OSError, ValueError, IndexError, psutil.Error):
        return None
    return None


def require_gone(data_dir: Path) -> None:
    """Raises EngineError `out_of_sight` unless it is certain that no server runs on the data folder.

    For when `server_of` sees none: another container's processes cannot be seen, but its sockets can be asked.
    """
    lines: list[str] = []
    try:
        lines = (data_dir / "postmaster.pid").read_text().splitlines()
        address = f"{lines[4]}/.s.PGSQL.{int(lines[3])}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
            asked.settimeout(5)
            asked.connect(address)
    except (FileNotFoundError, NotADirectoryError) as exc:
        if not (data_dir / "postmaster.pid").exists():
            return  # a server that ends in order takes it away
        if _from_before_boot(lines):
            return
        said = f"its socket is not to be seen from here ({exc.strerror})"
    except ConnectionRefusedError:
        return  # the file of a server that was killed: nobody listens
    except (OSError, ValueError, IndexError) as exc:
        said = f"its socket cannot be asked: {exc}"
    else:
        said = "it answers on its socket"
    raise EngineError(
        f"A server may run on {data_dir} where its processes cannot be seen (another container or user): {said}. "
        "Stop it there; if it is certain that none runs, remove postmaster.pid",
        code="out_of_sight",
    )


def _from_before_boot(pid_file: Sequence[str]) -> bool:
    """Whether the server began before this machine did: a folder of sockets in /tmp may be gone since then, too."""
    try:
        return int(pid_file[2]) < psutil.boot_time()
    except (ValueError, IndexError):
        return False


def end_server(data_dir: Path, *, seconds: float = 10) -> None:
    """No server runs on the data folder afterwards: asked to stop at once, killed when deaf."""
    server = server_of(data_dir)
    if server is None:
        return
    children = server.children(recursive=True)
    for number in (signal.SIGQUIT, signal.SIGKILL):
        with contextlib.suppress(psutil.Error):
            server.send_signal(number)
            server.wait(seconds)
    psutil.wait_procs(children, timeout=seconds)


def _clear(path: Path) -> None:
    for data_dir in [path / "data", *path.glob("*/data")]:
        end_server(data_dir)
    forget_socket_folder(path)
    deadline = time.monotonic() + 10
    while path.exists() and time.monotonic() < deadline:
        shutil.rmtree(path, ignore_errors=True)  # a dying server may still have removed a file under our hands


def _locked(path: Path) -> bool:
    try:
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return time.time() - path.stat().st_mtime < 60  # perhaps just being made
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _short_temp() -> str:
    usual = tempfile.gettempdir()
    return usual if len(usual) < 60 else "/tmp"  # noqa: S108 - mkdtemp makes a private folder in it
