"""Whether there is room for more: on the disk, and before the digest."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from errors.intake import answers
from errors.intake.database import Away, Connection, Database

MOST_WAITING = 500_000  # rows
FREE_BYTES = 512 * 1024 * 1024  # PostgreSQL dies of a full disk; this much is left to it and to backups
FREE_SHARE = 0.05  # on a small disk rather this share of it
DATABASE = "postgres"  # in the data folder; below a private one it is a link, maybe to another disk
EVERY_SECONDS = 5.0
RETRY_SECONDS = 60

# Ids without gaps to speak of, read from both ends of the index: counting half a million rows would take too long.
WAITING = "SELECT coalesce(max(id) - min(id) + 1, 0) FROM errors_spool"


def nearly_full(folder: Path) -> bool:
    """Whether the disk below the folder has less room than is left to others."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False  # no such folder here: the database says itself when it is full
    free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    return free < min(FREE_BYTES, size * FREE_SHARE)


def no_room(data_dir: Path) -> bool:
    """Whether the disk of the data folder, or that of the database in it, is nearly full."""
    return nearly_full(data_dir) or nearly_full(data_dir / DATABASE)


class Room:
    """Looked at every few seconds, and only while reports come."""

    def __init__(self, database: Database, *, folder: Path, clock: Callable[[], float]) -> None:
        self._database = database
        self._folder = folder
        self._clock = clock
        self._looked_at = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._waiting = 0
        self._full = False

    def check(self) -> None:
        """Raises Refusal while there is no room."""
        now = self._clock()
        if now - self._looked_at >= EVERY_SECONDS:
            self._looked_at = now
            self._full = no_room(self._folder)
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(self._count(), name="intake room")
        if self._full:
            raise answers.away("The disk is nearly full; reports are not taken", seconds=RETRY_SECONDS)
        if self._waiting > MOST_WAITING:
            raise answers.rate_limited(
                "Too many reports wait to be digested", seconds=RETRY_SECONDS, scope="organization", reason="backlog"
            )

    async def _count(self) -> None:
        async def count(connection: Connection) -> int:
            row = await (await connection.execute(WAITING, prepare=True)).fetchone()
            return row[0] if row and isinstance(row[0], int) else 0

        try:
            self._waiting = await self._database.run(count)
        except Away:
            return  # whoever writes is told so
