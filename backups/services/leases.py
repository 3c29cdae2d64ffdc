"""Holding a row while working on it: the lease is renewed, progress written, cancellation heard."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar

from django.db import InterfaceError, OperationalError, close_old_connections, connection

from backups.engines.base import Cancelled, Control, EngineError, Progress
from backups.models.moves import Leased
from backups.rules import HEARTBEAT, LEASE, smoothed_rate

logger = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_BEAT_SECONDS = 0.5
DATABASE_AWAY = (OperationalError, InterfaceError)


class Held:
    """A claimed row, kept ours by a thread of its own until the block ends.

    `control` goes to the engine. `cancelled` turns true when a person cancels or the lease is lost; then
    `lost` tells which. The database being away does not end the work: the lease decides when it is back.
    """

    def __init__(self, row: Leased, *, now: Callable[[], datetime], time_limit_seconds: int) -> None:
        self.row = row
        self.lost = False
        self.cancelled_by = ""
        self.control = Control(
            progress=self._note, cancelled=lambda: self.cancelled, time_limit_seconds=time_limit_seconds
        )
        self._deadline = time.monotonic() + time_limit_seconds
        self._limit = time_limit_seconds
        self._now = now
        self._progress = Progress(phase="")
        self._rate: float | None = None
        self._measured: tuple[float, int] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{row.pk}", daemon=True)

    @property
    def cancelled(self) -> bool:
        return self.lost or bool(self.cancelled_by)

    def check(self) -> None:
        """Raises Cancelled when the work is to stop, EngineError `timed_out` when its time is over."""
        if self.cancelled:
            raise Cancelled
        if time.monotonic() > self._deadline:
            raise EngineError(f"It took longer than the {self._limit} s the policy allows", code="timed_out")

    def watch(self, phase: str) -> Callable[[int, int], None]:
        """For work that counts bytes: tells its progress under this name, and stops it when `check` says so."""

        def watched(done: int, total: int) -> None:
            self._note(Progress(phase, done, total))
            self.check()

        return watched

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _note(self, progress: Progress) -> None:
        self._progress = progress

    def _beat(self) -> None:
        try:
            pause = FIRST_BEAT_SECONDS
            while not self._stop.wait(pause) and not self.cancelled:
                self._renew()
                pause = HEARTBEAT.total_seconds()
        finally:
            connection.close()

    def _renew(self) -> None:
        progress = self._progress
        self._measure(progress)
        try:
            row = type(self.row).renew(
                pk=self.row.pk,
                attempt=self.row.attempt,
                until=self._now() + LEASE,
                phase=progress.phase[:40],
                done_bytes=progress.done_bytes,
                total_bytes=progress.total_bytes,
                rate_bytes_per_second=self._rate,
            )
        except DATABASE_AWAY:
            logger.warning("%s: the database is away; the work goes on", self.row)
            connection.close()
            return
        if row is None:
            logger.info("%s is not ours any more", self.row)  # lost, or its outcome was recorded this moment
            self.lost = True
        elif row.cancel_requested_by:
            self.cancelled_by = row.cancel_requested_by

    def _measure(self, progress: Progress) -> None:
        if progress.done_bytes is None:
            self._rate, self._measured = None, None
            return
        at = time.monotonic()
        if self._measured:
            then, before = self._measured
            self._rate = smoothed_rate(
                previous=self._rate, done_bytes=progress.done_bytes, before_bytes=before, seconds=at - then
            )
        self._measured = (at, progress.done_bytes)


def persist(write: Callable[[], T]) -> T:
    """What `write` gives, tried again while the database is away, for as long as a lease lasts.

    Results of hours of work are not thrown away because the database restarted at the wrong second.
    `write` is one transaction, so trying again does not double it.
    """
    deadline = time.monotonic() + LEASE.total_seconds()
    while True:
        try:
            return write()
        except DATABASE_AWAY:
            if time.monotonic() > deadline:
                raise
            connection.close()
            close_old_connections()
            time.sleep(1)
