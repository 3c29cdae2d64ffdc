"""The supervisor's own mishaps: what it runs is restarted all the same."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable

import pytest

from sysops.stack.programs import Program
from sysops.stack.supervisor import Supervisor

SLEEPER = Program("sleeper", (sys.executable, "-c", "import time; time.sleep(600)"), order=10)


async def _until(found: Callable[[], object], *, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.05)


async def _supervised(
    mishap: Callable[[Supervisor], object], *, after: Callable[[Supervisor], object] = id
) -> tuple[list[str], list[int]]:
    """What was said, and the process ids the sleeper had: before the mishap and after it."""
    said: list[str] = []
    supervisor = Supervisor([SLEEPER], say=lambda _, words: said.append(words))
    await supervisor.start()
    await supervisor.keep()
    pids = [supervisor.pids()["sleeper"]]
    mishap(supervisor)
    try:
        await _until(lambda: supervisor.pids().get("sleeper", pids[0]) != pids[0])
        pids.append(supervisor.pids()["sleeper"])
        after(supervisor)
    finally:
        await supervisor.stop()
    return said, pids


def test_a_failure_of_the_supervision_itself_is_said_and_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_once(supervisor: Supervisor) -> None:
        real = supervisor._arbiter.manage_watchers

        def once() -> object:
            monkeypatch.setattr(supervisor._arbiter, "manage_watchers", real)
            raise ValueError("fd 9 added twice")

        monkeypatch.setattr(supervisor._arbiter, "manage_watchers", once)
        os.kill(supervisor.pids()["sleeper"], signal.SIGKILL)

    said, pids = asyncio.run(_supervised(fails_once))

    assert len(set(pids)) == 2
    assert any("fd 9 added twice" in words for words in said)


def test_a_process_that_was_dropped_without_being_reaped_leaves_no_pipe_behind() -> None:
    listened: list[set[int]] = []

    def dropped(supervisor: Supervisor) -> None:
        """As circus does with one that dies between its look for the dead and its look for missing ones."""
        watcher = supervisor._arbiter.get_watcher("sleeper")
        watcher.processes.pop(supervisor.pids()["sleeper"])

    def listening(supervisor: Supervisor) -> None:
        pipes = supervisor._arbiter.get_watcher("sleeper").stream_redirector.pipes
        listened.append({process.pid for _, process, _ in pipes.values()})

    _, pids = asyncio.run(_supervised(dropped, after=listening))

    assert listened == [{pids[1]}]
