"""How long API requests take and how many fail, counted in this process and shared once a minute."""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable

import psycopg
from django.http import HttpRequest, HttpResponse

from monitoring import services
from monitoring.rules import Tally
from sysops.env import current
from sysops.kernel.clock import Clock, utc_now

logger = logging.getLogger(__name__)

MEASURED = "/api/"
NOT_MEASURED = "/api/system/health"  # its 503 is an answer about others, not a failure of the API
AN_ANSWER = "Sysops-Mode"  # maintenance mode says 503 for a service, and is no failure of ours
KEPT_MINUTES = 60


class Counter:
    """The tallies of this process: the running minute, and finished ones that are not stored yet."""

    def __init__(self, *, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running: Tally | None = None
        self._finished: list[Tally] = []

    def add(self, *, seconds: float, failed: bool) -> bool:
        """Count one request. True when finished minutes wait to be stored and nobody was told of them yet."""
        minute = self._clock().replace(second=0, microsecond=0)
        with self._lock:
            rolled = self._running is not None and self._running.minute != minute
            if rolled and self._running:
                self._finished = [*self._finished, self._running][-KEPT_MINUTES:]
                self._running = None
            if self._running is None:
                self._running = Tally(minute=minute, process=f"{current().host_name}:{os.getpid()}")
            self._running.add(seconds=seconds, failed=failed)
            return rolled

    def waiting(self) -> list[Tally]:
        """Everything counted here that is not stored yet."""
        with self._lock:
            return [*self._finished, *([self._running] if self._running else [])]

    def store(self) -> None:
        """Write the finished minutes where other processes find them; what cannot be written is kept."""
        with self._lock:
            tallies = list(self._finished)
        if not tallies:
            return
        try:
            services.keep_request_minutes(tallies)
        except psycopg.Error as exc:
            logger.warning("The request times of %d minutes could not be stored yet: %s", len(tallies), exc)
            return
        with self._lock:
            self._finished = [tally for tally in self._finished if tally not in tallies]


counter = Counter()


class RequestTimes:
    """Middleware that counts every API request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.monotonic()
        response = self.get_response(request)
        path = request.path_info
        if path.startswith(MEASURED) and not path.startswith(NOT_MEASURED):
            took = time.monotonic() - began
            failed = response.status_code >= 500 and AN_ANSWER not in response.headers
            if counter.add(seconds=took, failed=failed):
                # Beside the request, which must not wait for this; once a minute.
                with contextlib.suppress(RuntimeError):  # no thread to be had: they are stored with the next minute's
                    threading.Thread(target=counter.store, name="store request times", daemon=True).start()
        return response
