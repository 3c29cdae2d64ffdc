"""Tells a worker that reports wait: at most once a second, and never in anybody's way."""

import asyncio
from collections.abc import Callable

EVERY_SECONDS = 1.0


class Waker:
    """`wake` may take seconds and runs in a thread; rows that come meanwhile are told of after it."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._next = float("-inf")
        self._asked = False
        self._task: asyncio.Task[None] | None = None

    def ask(self) -> None:
        """There is something to digest."""
        self._asked = True
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._run(), name="intake waker")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while self._asked:
            await asyncio.sleep(max(0.0, self._next - self._loop.time()))
            self._asked = False
            self._next = self._loop.time() + EVERY_SECONDS
            await asyncio.to_thread(self._wake)
