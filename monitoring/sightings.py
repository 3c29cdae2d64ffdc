"""How a worker makes itself known: its main loop notes that it turns, a thread of its own writes that down.

The loop itself must not touch the database: a frozen one would stop the worker. And the thread writes only
while the loop turns, so that a stuck worker falls silent although its process lives.
"""

import atexit
import logging
import os
import threading
import time
from typing import TYPE_CHECKING

import psutil
from celery import signals
from django.db import DatabaseError, connections

from monitoring import services
from sysops.env import current
from sysops.kernel.clock import utc_now

if TYPE_CHECKING:
    from celery.worker.consumer import Consumer

logger = logging.getLogger(__name__)

EVERY_SECONDS = 10.0
# Celery's loop beats every two seconds; one that missed five of them is stuck.
LOOP_TURNS_WITHIN_SECONDS = 10.0
GOOD_BYE_SECONDS = 3.0


def connect() -> None:
    """Listen for the life of a worker; in any other process none of these ever happens."""
    signals.heartbeat_sent.connect(_on_heartbeat, dispatch_uid="monitoring.heartbeat")
    signals.worker_ready.connect(_on_ready, dispatch_uid="monitoring.ready")
    # A cold or soft shutdown sends this one only; worker_shutdown is for warm ones.
    signals.worker_shutting_down.connect(_on_shutting_down, dispatch_uid="monitoring.shutting_down")


class Announcer(threading.Thread):
    """Writes the sighting of one worker every ten seconds until told to stop; then its good-bye."""

    def __init__(self, *, name: str, queues: list[str]) -> None:
        super().__init__(name="announcer", daemon=True)
        self.worker_name = name
        self.queues = queues
        self.host = current().host_name
        self.started_at = utc_now()
        self.loop_turned = time.monotonic()
        self._stop_asked = threading.Event()
        psutil.cpu_percent()  # the first call only sets the mark the next one counts from

    def run(self) -> None:
        while True:
            stopping = self._stop_asked.is_set()
            if stopping or time.monotonic() - self.loop_turned < LOOP_TURNS_WITHIN_SECONDS:
                self._write(stopping=stopping)
            if stopping:
                return
            self._stop_asked.wait(EVERY_SECONDS)

    def say_good_bye(self) -> None:
        """Have the good-bye written; returns at once, for a signal handler."""
        self._stop_asked.set()

    def finish(self) -> None:
        """Wait until the good-bye is written, but let no database hold up the end of the worker."""
        if self._stop_asked.is_set():
            self.join(GOOD_BYE_SECONDS)

    def _write(self, *, stopping: bool) -> None:
        from celery.worker import state as worker_state  # other processes need not load the worker's code

        now = utc_now()
        try:
            services.sight_worker(
                name=self.worker_name,
                host=self.host,
                pid=os.getpid(),
                queues=self.queues,
                active_count=len(worker_state.active_requests),
                started_at=self.started_at,
                stopped_at=now if stopping else None,
                at=now,
            )
            services.sample_resources(host=self.host, data_dir=current().data_dir, at=now)
        except DatabaseError as exc:
            logger.warning("Worker %s could not make itself known: %s", self.worker_name, exc)
        finally:
            connections.close_all()  # children forked later must not inherit an open connection


_announcer: Announcer | None = None


def _on_ready(sender: "Consumer", **_: object) -> None:
    global _announcer
    _announcer = Announcer(name=sender.hostname, queues=sorted(sender.app.amqp.queues.consume_from))
    _announcer.start()
    atexit.register(_announcer.finish)


def _on_heartbeat(**_: object) -> None:
    if _announcer:
        _announcer.loop_turned = time.monotonic()


def _on_shutting_down(**_: object) -> None:
    if _announcer:
        _announcer.say_good_bye()
