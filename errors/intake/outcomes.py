"""Counts what was refused, in memory, and adds it to the projects' outcomes every few seconds."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime

import psycopg

from errors.rules import Outcome
from sysops.kernel.clock import Clock

logger = logging.getLogger(__name__)

EVERY_SECONDS = 10.0
# The database is away, or the machine has no open files or threads left. It must not end the counting for good.
CANNOT = (psycopg.Error, OSError, RuntimeError)
MOST_KINDS = 10_000  # different lines; more are not counted until the next time

# A project that was deleted meanwhile has no outcomes.
ADD = """
INSERT INTO errors_outcomecount AS o (project_id, hour, category, outcome, reason, quantity)
SELECT n.project_id, n.hour, n.category, n.outcome, n.reason, n.quantity
FROM unnest(%s::bigint[], %s::timestamptz[], %s::varchar[], %s::varchar[], %s::varchar[], %s::bigint[])
     AS n (project_id, hour, category, outcome, reason, quantity)
JOIN errors_project p ON p.id = n.project_id
ORDER BY 1, 2, 3, 4, 5
ON CONFLICT ON CONSTRAINT errors_outcome_once DO UPDATE SET quantity = o.quantity + excluded.quantity
"""

_Line = tuple[int, datetime, str, str, str]


class Refused:
    """The counts of this process since they were last stored."""

    def __init__(self, parameters: Callable[[], Mapping[str, object]], *, clock: Clock) -> None:
        self._parameters = parameters
        self._clock = clock
        self._counts: Counter[_Line] = Counter()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="intake outcomes")

    def add(self, *, project: int, category: str, outcome: Outcome, reason: str) -> None:
        hour = self._clock().replace(minute=0, second=0, microsecond=0)
        line = (project, hour, category, outcome.value, reason)
        if line in self._counts or len(self._counts) < MOST_KINDS:
            self._counts[line] += 1

    async def close(self) -> None:
        self._task.cancel()
        await self.store()

    async def store(self) -> None:
        """Add the counts to what is stored; when that fails they are kept for the next time."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            # With a connection of its own: the digest may hold these rows, and nobody's answer must wait for it.
            await asyncio.to_thread(self._store, counts)
        except CANNOT as exc:
            logger.warning("Counts of refused reports could not be stored yet: %s", type(exc).__name__)
            self._counts.update(counts)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            await self.store()

    def _store(self, counts: Counter[_Line]) -> None:
        columns = [list(column) for column in zip(*((*line, quantity) for line, quantity in counts.items()))]
        given: dict[str, object] = {**self._parameters(), "connect_timeout": 2}
        with psycopg.connect(**given, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute("SET statement_timeout = '5s'")
            connection.execute(ADD, columns)
