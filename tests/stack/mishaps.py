"""A supervisor meets with a mishap: `python -m tests.stack.mishaps NAME` prints as JSON what came of it.

In a process of its own: a supervisor that stops ends everything below its process, the tests' own servers among it.
"""

import asyncio
import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from sysops.stack import supervisor as supervisor_module
from sysops.stack.programs import Program
from sysops.stack.supervisor import Supervisor

SLEEPER = Program("sleeper", (sys.executable, "-c", "import time; time.sleep(600)"), order=10)


def failure(supervisor: Supervisor) -> None:
    """Looking after the programs fails once, while one is dead."""
    real = supervisor._arbiter.manage_watchers

    def once() -> object:
        supervisor._arbiter.manage_watchers = real
        raise ValueError("fd 9 added twice")

    supervisor._arbiter.manage_watchers = once
    os.kill(supervisor.pids()["sleeper"], signal.SIGKILL)


def dropped(supervisor: Supervisor) -> None:
    """A process is forgotten, as circus does with one that dies between its looks for the dead and the missing."""
    supervisor._arbiter.get_watcher("sleeper").processes.pop(supervisor.pids()["sleeper"])


def refused(supervisor: Supervisor) -> None:
    """The system lets no process be started for a while, and then again."""

    def no_more(*_: object) -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    real = getattr(subprocess, "_fork_exec")  # noqa: B009 - it has no type
    setattr(subprocess, "_fork_exec", no_more)  # noqa: B010
    asyncio.get_running_loop().call_later(2.0, setattr, subprocess, "_fork_exec", real)
    os.kill(supervisor.pids()["sleeper"], signal.SIGKILL)


def no_files(supervisor: Supervisor) -> None:
    """Nothing can be opened for a while, and then again."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    asyncio.get_running_loop().call_later(2.0, resource.setrlimit, resource.RLIMIT_NOFILE, before)
    os.kill(supervisor.pids()["sleeper"], signal.SIGKILL)


MISHAPS = {each.__name__: each for each in (failure, dropped, refused, no_files)}


async def came_of(mishap: Callable[[Supervisor], None]) -> dict[str, object]:
    """What was said, the sleeper's process before and after, and whose output is listened to in the end."""
    said: list[str] = []
    supervisor = Supervisor([SLEEPER], say=lambda _, words: said.append(words))
    await supervisor.start()
    await supervisor.keep()
    before = supervisor.pids()["sleeper"]
    mishap(supervisor)
    try:
        await _until(lambda: supervisor.pids().get("sleeper", before) != before)
        after = supervisor.pids()["sleeper"]
        pipes = supervisor._arbiter.get_watcher("sleeper").stream_redirector.pipes
        heard = sorted({process.pid for _, process, _ in pipes.values()})
    finally:
        await supervisor.stop()
    return {"said": said, "before": before, "after": after, "heard": heard}


async def _until(found: Callable[[], object], *, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.05)


async def slow() -> dict[str, object]:
    """What is said while a server takes longer than expected to be ready; sooner here than in earnest."""
    supervisor_module.SAY_AFTER_SECONDS = 0.2
    said: list[str] = []
    looks = iter(range(20))  # at 0.05 s
    program = replace(SLEEPER, name="slow", ready=lambda: next(looks, None) is None)
    supervisor = Supervisor([program], say=lambda _, words: said.append(words))
    try:
        await supervisor.start()
    finally:
        await supervisor.stop()
    return {"said": said}


if __name__ == "__main__":
    work = slow() if sys.argv[1] == "slow" else came_of(MISHAPS[sys.argv[1]])
    print(json.dumps(asyncio.run(work)))
