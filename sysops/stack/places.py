"""Folders that the PostgreSQL server's OS user can reach, and sockets short enough for the kernel."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sysops.kernel.osuser import OsUser, can_reach
from sysops.stack.errors import StackError

# sun_path holds 108 bytes on Linux and 104 on macOS; ".s.PGSQL.65535.lock" has to fit behind the folder.
LONGEST_SOCKET_DIR = 80
TEMPORARY = (tempfile.gettempdir(), "/tmp", "/var/tmp")  # noqa: S108 (mkdtemp makes the folder inside)


def private_dir(path: Path, user: OsUser) -> Path:
    """`path` as a folder only `user` can enter, made when missing."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.stat().st_uid != user.uid:
        os.chown(path, user.uid, user.gid)
    path.chmod(0o700)
    return path


def passable_temp_dir(prefix: str, user: OsUser) -> Path:
    """A fresh temporary folder that `user` can pass through and only we can list."""
    for base in dict.fromkeys(TEMPORARY):
        if not os.access(base, os.W_OK) or len(base) > LONGEST_SOCKET_DIR - 30:
            continue
        made = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
        made.chmod(0o711 if user.spawn_as() else 0o700)
        if reaches(made, user):
            return made
        made.rmdir()
    raise StackError(f"No temporary folder that the OS user {user.name!r} can reach; set TMPDIR to one")


def reaches(folder: Path, user: OsUser) -> bool:
    """Whether `user` can come to things inside `folder`. We pass our own folders whenever we could make them."""
    if not user.spawn_as():
        return True
    probe = folder / f".reach-{os.getpid()}"
    probe.mkdir(mode=0o755)
    probe.chmod(0o755)
    try:
        return can_reach(probe, user)
    finally:
        probe.rmdir()


def copy_readable(parts: Mapping[Path, str], target: Path) -> Path:
    """Copies of folders, by their name below `target`, that every OS user can read.

    One winner when several copy at once; an earlier copy is kept as it is.
    """
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for origin, name in parts.items():
            shutil.copytree(
                origin,
                fresh / name,
                ignore=shutil.ignore_patterns("include", "*.a", "doc"),
            )
        for path in [fresh, *fresh.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        fresh.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target
