"""The OS user that servers run as when we are root: PostgreSQL's own programs refuse root."""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

FALLBACK = "sysops"
CANDIDATES = ("postgres", FALLBACK)


class NoOsUser(Exception):
    """There is no unprivileged OS user to run servers as; the message says how to get one."""


class SpawnAs(TypedDict, total=False):
    """Arguments for `subprocess` that make a child run as somebody else."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class OsUser:
    """An account of this machine."""

    name: str
    uid: int
    gid: int
    home: Path

    def spawn_as(self) -> SpawnAs:
        """What `subprocess` needs to run a child as this user; nothing when we are this user already."""
        if os.geteuid() == self.uid:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def by_name(name: str) -> OsUser:
    """The account called `name`. Raises NoOsUser."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise NoOsUser(f"There is no OS user {name!r} on this machine; create it or set SYSOPS_PG_OS_USER") from None
    return OsUser(entry.pw_name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))


def ourselves() -> OsUser:
    """The account this process runs as. A uid without a name (some containers) is refused: initdb needs one."""
    try:
        entry = pwd.getpwuid(os.geteuid())
    except KeyError:
        raise NoOsUser(f"The uid {os.geteuid()} has no name on this machine; PostgreSQL's initdb needs one") from None
    return OsUser(entry.pw_name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))


def server_user(preferred: str | None = None) -> OsUser:
    """The account for PostgreSQL servers: ourselves, or, when we are root, an unprivileged one.

    As root that is `preferred`, else an existing `postgres` or `sysops`, else a system user made now.
    Raises NoOsUser.
    """
    if os.geteuid() != 0:
        return ourselves()
    if preferred:
        chosen = by_name(preferred)
        if chosen.uid == 0:
            raise NoOsUser("SYSOPS_PG_OS_USER is root, and PostgreSQL refuses root; name an unprivileged user")
        return chosen
    for name in CANDIDATES:
        try:
            return by_name(name)
        except NoOsUser:
            continue
    return _create(FALLBACK)


def can_reach(path: Path, user: OsUser) -> bool:
    """Whether `user` may read and enter (or execute) `path`: tried as that user, not guessed from modes."""
    tried = subprocess.run(
        ["/bin/sh", "-c", 'test -r "$1" && test -x "$1"', "sh", str(path)],
        **user.spawn_as(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )
    return tried.returncode == 0


def _create(name: str) -> OsUser:
    search = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    shell = shutil.which("nologin", path=search) or "/bin/false"
    commands = {
        "useradd": [
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            shell,
            name,
        ],
        "adduser": [
            "-S",
            "-D",
            "-H",
            "-s",
            shell,
            name,
        ],  # BusyBox; Debian always has useradd
    }
    for tool, arguments in commands.items():
        if program := shutil.which(tool, path=search):
            made = subprocess.run(
                [program, *arguments],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            if made.returncode != 0 and not _exists(name):
                raise NoOsUser(f"Could not create the OS user {name!r}: {made.stderr.strip() or tool}")
            return by_name(name)
    raise NoOsUser(
        f"Sysops runs as root and PostgreSQL refuses root: create an OS user {name!r} (neither useradd nor adduser "
        "is here) or set SYSOPS_PG_OS_USER"
    )


def _exists(name: str) -> bool:
    """Two starts at once may both try to create the user; the second one finds it made."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
