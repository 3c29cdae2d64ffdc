"""The data folder: may we use it, who else does, and where PostgreSQL's part of it lies."""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from sysops.kernel.osuser import OsUser
from sysops.stack.errors import StackError
from sysops.stack.places import LONGEST_SOCKET_DIR, private_dir, reaches

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
PROBE_BYTES = 64 * 1024  # less would not even hold what a start writes down about itself
OUTSIDE = Path("/var/lib/sysops")  # for root, where the servers' OS user cannot reach the data folder


def prepare(data_dir: Path) -> None:
    """Make the data folder and its fixed parts. Raises StackError when we may not write there, or there is no room."""
    try:
        # Others may pass through to the parts that are theirs; each part has its own mode.
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
        for part in ("run", "secrets", "valkey"):
            (data_dir / part).mkdir(exist_ok=True, mode=0o700)
            (data_dir / part).chmod(0o700)
        probe = data_dir / "run" / f".probe-{os.getpid()}"
        try:
            probe.write_bytes(bytes(PROBE_BYTES))
        finally:
            probe.unlink(missing_ok=True)
    except OSError as exc:
        remedy = "make room there" if exc.errno in NO_ROOM else "give this user the right to"
        raise StackError(
            f"Cannot write to the data folder {data_dir}: {exc.strerror}; "
            f"{remedy}, or set SYSOPS_DATA_DIR to another folder"
        ) from None


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the data folder for one supervisor; the kernel lets go of it when we die, however we die.

    Raises StackError when another one holds it.
    """
    path = data_dir / "run" / "lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise StackError(
                f"Another `sysops up` (pid {lock.read().strip() or 'unknown'}) runs on the data folder {data_dir}; "
                "stop it first, or set SYSOPS_DATA_DIR and SYSOPS_PORT to begin a second instance"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def instance_id(data_dir: Path) -> str:
    """The name of this data folder in places outside it; kept in the folder, made on first use."""
    return kept_secret(data_dir, "instance-id", lambda: secrets.token_hex(6), folder="")


def kept_secret(data_dir: Path, name: str, make: object, *, folder: str = "secrets") -> str:
    """What the file `name` holds; written with what `make` returns when it is not there. Mode 0600."""
    path = data_dir / folder / name
    if not path.exists():
        fresh = path.with_name(f".{name}.{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(str(make()) if callable(make) else str(make))
        fresh.rename(path)
    return path.read_text().strip()


@dataclass(frozen=True)
class Places:
    """Where the parts lie that PostgreSQL's OS user must reach, and where sockets are short enough."""

    postgres: Path
    scratch: Path
    restores: Path  # ours, passable: a restored database is started in here as that user
    sockets: Path  # ours; the database's socket has a folder of its own inside
    copies: Path  # installations copied to where the OS user reaches them


def places(data_dir: Path, user: OsUser) -> Places:
    """Inside the data folder when `user` gets there, else below /var/lib/sysops with links from the data folder."""
    inside = reaches(data_dir, user)
    home = data_dir if inside else _outside(data_dir)
    database = data_dir / "postgres"
    if not inside:
        _link(database, home / "postgres")
        for part in ("scratch", "restores"):
            _link(data_dir / part, home / part)
    elif database.is_symlink():
        database = database.resolve()
    return Places(
        postgres=database.resolve(),
        scratch=private_dir(home / "scratch", user),
        restores=_passable(home / "restores"),
        sockets=_socket_dir(data_dir, user),
        copies=OUTSIDE / "pginstall",
    )


def free_port(host: str, port: int) -> None:
    """Return when the web server could listen there. Raises StackError naming who does."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            who = _listener(port)
            raise StackError(
                f"Port {port} on {host} cannot be used{who}: {exc.strerror}; set SYSOPS_PORT to a free one"
            ) from None


def _listener(port: int) -> str:
    with contextlib.suppress(psutil.Error, PermissionError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f" (process {connection.pid}, {psutil.Process(connection.pid).name()}, listens there)"
    return ""


def _outside(data_dir: Path) -> Path:
    home = OUTSIDE / instance_id(data_dir)
    try:
        for folder in (OUTSIDE, home):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o711)
    except OSError as exc:
        raise StackError(
            f"PostgreSQL's OS user cannot reach the data folder {data_dir}, and {home} cannot be made "
            f"({exc.strerror}); set SYSOPS_DATA_DIR to a folder outside private homes"
        ) from None
    return home


def _link(link: Path, target: Path) -> None:
    if link.is_symlink():
        found = link.readlink()
        if found != target:
            raise StackError(
                f"{link} leads to {found} instead of {target}; was the data folder copied? Remove the link"
            )
        return
    if link.exists():
        raise StackError(
            f"PostgreSQL's OS user cannot reach {link} any more (a private folder lies above it); move the data "
            "folder back to where it was, or set SYSOPS_DATA_DIR to a folder it can reach"
        )
    link.symlink_to(target)


def _passable(folder: Path) -> Path:
    folder.mkdir(exist_ok=True, mode=0o711)
    return folder


def _socket_dir(data_dir: Path, user: OsUser) -> Path:
    """A folder of ours with a path short enough for sockets, which `user` can pass through."""
    inside = data_dir / "run" / "s"
    run_is_passable = not user.spawn_as()
    if len(str(inside)) <= LONGEST_SOCKET_DIR and run_is_passable:
        inside.mkdir(exist_ok=True, mode=0o700)
        return inside
    name = f"sysops-{hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]}"
    for base in (Path("/run"), Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 (the folder inside is checked to be ours)
        if os.access(base, os.W_OK) and len(str(base / name)) <= LONGEST_SOCKET_DIR:
            return _ours(base / name, mode=0o711 if user.spawn_as() else 0o700)
    raise StackError(
        f"No folder with a path short enough for sockets; set TMPDIR to one below {LONGEST_SOCKET_DIR} bytes"
    )


def _ours(folder: Path, *, mode: int) -> Path:
    """`folder`, made by us: in a shared place somebody else could have made it first."""
    folder.mkdir(exist_ok=True, mode=mode)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise StackError(f"{folder} belongs to somebody else; remove it or set TMPDIR to a folder of your own")
    folder.chmod(mode)
    return folder
