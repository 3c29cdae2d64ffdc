"""Connections of other people's code held to the rule of `targets`, whatever library makes them.

A library with its own HTTP client looks names up by itself; checking a name before it is called checks nothing. Python
tells an audit hook of every connection before it is made, with the address it goes to: what is not allowed ends there,
and there is no second look-up. Other programs, which the hook cannot see, are not started while a block is guarded.
"""

import contextvars
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from socket import AF_INET, AF_INET6, socket

from sysops.kernel import targets
from sysops.kernel.targets import Refused

__all__ = ["Guard", "Refused", "checked_connections"]


@dataclass
class Guard:
    """What was refused while the block ran. Libraries like to swallow errors: look here afterwards."""

    allow_private: bool = False
    refused: list[Refused] = field(default_factory=list)
    on: bool = True
    looked_up: str = ""


_LOOKS_UP = "socket.getaddrinfo"
_CONNECTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_ESCAPES = frozenset(
    {"subprocess.Popen", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system"}
)
_WATCHED = _CONNECTS | _ESCAPES | {_LOOKS_UP}
_guard: contextvars.ContextVar[Guard | None] = contextvars.ContextVar("guard", default=None)
_installing = threading.Lock()
_installed = False


@contextmanager
def checked_connections(*, allow_private: bool = False) -> Iterator[Guard]:
    """While the block runs, it and the threads it starts connect to public addresses only.

    With `allow_private` to all but those that are never a target. Refused is raised where a connection would go
    elsewhere.
    """
    _install()
    guard = Guard(allow_private)
    token = _guard.set(guard)
    try:
        yield guard
    finally:
        guard.on = False  # threads that outlive the block belong to somebody else (an error reporter's, say)
        _guard.reset(token)


def _install() -> None:
    """Once per process, when it is first needed: a hook cannot be taken back, and costs 0.2 µs per audited event."""
    global _installed
    with _installing:
        if not _installed:
            sys.addaudithook(_audit)
            _guard_threads()
            _installed = True


def _audit(event: str, args: tuple[object, ...]) -> None:
    if event not in _WATCHED:
        return
    guard = _guard.get()
    if guard is None or not guard.on:
        return
    if event == _LOOKS_UP:
        guard.looked_up = _text(args[0])
        return
    refusal = _escape(event, guard) if event in _ESCAPES else _connection(args[0], args[1], guard)
    if refusal:
        guard.refused.append(refusal)
        raise refusal


def _connection(sock: object, address: object, guard: Guard) -> Refused | None:
    if address is None:
        return None  # of a socket that was connected, and checked, before
    looked_up, guard.looked_up = guard.looked_up, ""
    where = _text(address[0]) if isinstance(address, tuple) and address else repr(address)
    if guard.allow_private and isinstance(sock, socket) and sock.family not in (AF_INET, AF_INET6):
        return None
    why = targets.problem(where, allow_private=guard.allow_private)
    if why is None:
        return None
    if isinstance(sock, socket):
        sock.close()  # whoever made it expects an OSError, and would leave it open
    return Refused(looked_up or where, where, why)


def _escape(event: str, guard: Guard) -> Refused | None:
    if guard.allow_private:
        return None
    return Refused(event, event, f"what another program connects to cannot be checked. {targets.REMEDY}")


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _guard_threads() -> None:
    """From now on, a thread starts under the guard of the block that starts it."""
    start = threading.Thread.start  # as it is now: error reporters wrap it too

    def start_guarded(self: threading.Thread) -> None:
        guard = _guard.get()
        if guard is not None and guard.on:
            run, context = self.run, contextvars.copy_context()
            self.run = lambda: context.run(run)  # type: ignore[method-assign]
        start(self)

    threading.Thread.start = start_guarded  # type: ignore[method-assign]
