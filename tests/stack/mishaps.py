"""A supervisor meets with a mishap: `python -m tests.stack.mishaps NAME` prints as JSON what came of it.

In a process of its own: a supervisor that stops ends everything below its process, the tests' own servers among it.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable

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


if __name__ == "__main__":
    print(json.dumps(asyncio.run(came_of({"failure": failure, "dropped": dropped}[sys.argv[1]]))))
