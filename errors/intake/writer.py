"""Rows committed together: whatever arrived while the last commit ran goes into the next one."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from errors.intake import bulk
from errors.intake.bulk import Cells, Row
from errors.intake.database import PATIENCE_SECONDS, REST_SECONDS, Away, Database

logger = logging.getLogger(__name__)

MOST_ROWS = 5_000  # waiting
MOST_BYTES = 64 * 1024 * 1024
BATCH_ROWS = 500
BATCH_BYTES = 8 * 1024 * 1024
HOLD_SECONDS = 3.5  # how long a row waits for a database that restarts
ANSWER_SECONDS = 4.5


class Busy(Exception):
    """More waits to be written than is held in memory."""


@dataclass(slots=True)
class _Waiting:
    rows: list[Cells] = field(repr=False)
    size: int
    done: "asyncio.Future[None]"
    since: float


class Writer:
    """Writes rows in the order of their arrival. `committed` is called after each commit and must not block."""

    def __init__(self, database: Database, *, committed: Callable[[], None]) -> None:
        self._database = database
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Waiting] = deque()
        self._in_hand: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._rows = 0
        self._bytes = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self._task = self._begin()

    def put(self, rows: list[Row]) -> "asyncio.Future[None]":
        """Done once these rows are on disk; fails with Away when they may not be. Raises Busy."""
        packed = [bulk.cells(row) for row in rows]  # here, so that what is no row fails nobody else
        size = sum(len(row[-1]) for row in rows)
        if self._rows + len(rows) > MOST_ROWS or (self._bytes and self._bytes + size > MOST_BYTES):
            raise Busy
        done: asyncio.Future[None] = self._loop.create_future()
        self._rows += len(rows)
        self._bytes += size
        self._queue.append(_Waiting(packed, size, done, self._loop.time()))
        self._arrived.set()
        return done

    async def close(self) -> None:
        """Write what waits, then end. What cannot be written within the patience fails."""
        try:
            async with asyncio.timeout(HOLD_SECONDS):
                while self._rows:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            self._fail(list(self._queue), Away("Sysops is stopping", lost=True))
            self._queue.clear()
        self._task.cancel()
        if self._sweeper:
            self._sweeper.cancel()

    def _begin(self) -> "asyncio.Task[None]":
        task = self._loop.create_task(self._run(), name="intake writer")
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """A mistake of ours must not leave everybody waiting: those concerned are told, and it goes on."""
        if not task.cancelled():
            logger.error("The writer of reports failed and is begun again", exc_info=task.exception())
            self._fail([*self._in_hand, *self._queue], Away("The writer failed"))
            self._queue.clear()
            self._task = self._begin()

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._queue:
                if not await self._database.ready():
                    await self._hold([])
                elif self._queue:  # it may have been swept meanwhile
                    self._in_hand = self._take()
                    await self._write(self._in_hand)
                    self._in_hand = []

    def _take(self) -> list[_Waiting]:
        batch = [self._queue.popleft()]
        rows, size = len(batch[0].rows), batch[0].size
        while self._queue and rows < BATCH_ROWS and size + self._queue[0].size <= BATCH_BYTES:
            batch.append(self._queue.popleft())
            rows, size = rows + len(batch[-1].rows), size + batch[-1].size
        return batch

    async def _write(self, batch: list[_Waiting]) -> None:
        rows = [row for waiting in batch for row in waiting.rows]
        left = batch[0].since + ANSWER_SECONDS - self._loop.time()
        try:
            await self._database.run(partial(bulk.insert, rows=rows), patience=max(1.0, min(PATIENCE_SECONDS, left)))
        except Away as exc:
            if exc.lost:
                await self._hold(batch)
            elif exc.stuck:  # whoever came meanwhile would only wait as long in vain
                self._fail([*batch, *self._queue], exc)
                self._queue.clear()
            elif len(batch) > 1:  # one that PostgreSQL refuses must not take its neighbours along
                for waiting in batch:
                    await self._write([waiting])
            else:
                self._fail(batch, exc)
            return
        for waiting in batch:
            self._release(waiting)
            if not waiting.done.done():
                waiting.done.set_result(None)
        self._committed()

    async def _hold(self, batch: list[_Waiting]) -> None:
        """Try again with a new connection. What did get committed is a duplicate then, and the digest drops it."""
        self._queue.extendleft(reversed(batch))
        self._in_hand = []
        if self._sweeper is None:
            self._sweep()
        await asyncio.sleep(REST_SECONDS)

    def _sweep(self) -> None:
        """Let go of what has waited too long, however long an attempt to connect takes."""
        self._sweeper = None
        late = self._loop.time() - HOLD_SECONDS
        while self._queue and self._queue[0].since <= late:
            self._fail([self._queue.popleft()], Away("The database is away", lost=True))
        if self._queue:
            self._sweeper = self._loop.call_later(REST_SECONDS, self._sweep)

    def _fail(self, batch: list[_Waiting], why: Away) -> None:
        for waiting in batch:
            self._release(waiting)
            if not waiting.done.done():
                waiting.done.set_exception(Away(str(why), lost=why.lost, stuck=why.stuck))

    def _release(self, waiting: _Waiting) -> None:
        self._rows -= len(waiting.rows)
        self._bytes -= waiting.size
        waiting.rows, waiting.size = [], 0  # so that nothing is given back twice
