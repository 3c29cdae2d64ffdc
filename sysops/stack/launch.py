"""Starts a program that dies with its parent: `python -I -S launch.py DELAY SIGNAL UID GID PROGRAM [ARGUMENT …]`.

Runs by itself, without Sysops on the path: it must start in milliseconds and also where the virtual
environment is out of reach. The kernel forgets the death signal when a process changes its user, so the
order matters: first the user, then the signal, then the program.
"""

import ctypes
import os
import resource
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
MOST_FILES = 65_536


def die_with_parent(number: int, *, parent: int) -> None:
    """Have the kernel send us signal `number` when our parent ends (Linux; elsewhere the next start cleans up)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os.kill(os.getpid(), signal.SIGKILL)


def open_more_files() -> None:
    """Raise the soft limit to what we may have: the usual 1024 are gone with as many connections to the web server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS names no limit and has one all the same
        return


def main(arguments: list[str]) -> None:
    """Wait DELAY seconds, then become PROGRAM as UID and GID (our own when they are `-`)."""
    delay, death, uid, gid, *command = arguments
    parent = os.getppid()
    die_with_parent(signal.SIGKILL, parent=parent)
    open_more_files()
    time.sleep(float(delay))
    if uid != "-" and int(uid) != os.geteuid():
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    die_with_parent(int(getattr(signal, death)), parent=parent)
    os.execvp(command[0], command)  # noqa: S606 (becoming it is the point)


if __name__ == "__main__":
    main(sys.argv[1:])
