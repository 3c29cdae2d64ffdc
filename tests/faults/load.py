"""Steady error reports over a few keep-alive connections, and what was answered to each."""

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from tests.errors.support import sdk_envelopes

CONNECTIONS = 4
PAUSE_SECONDS = 0.02  # between two reports of a connection: a steady stream, not all that the machine can do
PATIENCE_SECONDS = 30.0


@dataclass
class Load:
    """Reports until told to stop. Half of the connections send a report again until it is taken, as a queue would."""

    port: int
    project: str
    key: str
    answered: set[UUID] = field(default_factory=set)
    sent: set[UUID] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)  # 0: no answer
    without_retry_after: list[str] = field(default_factory=list)
    slowest_refusal: float = 0.0

    def __enter__(self) -> "Load":
        self._bases = [*sdk_envelopes(20, kinds=4)]
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._report, args=(number % 2 == 0,), daemon=True) for number in range(CONNECTIONS)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS + 5)
            assert not thread.is_alive()

    def _report(self, again: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        number = 0
        while not self._stop.wait(PAUSE_SECONDS):
            number += 1
            event_id = uuid4()
            base = self._bases[number % len(self._bases)]
            old = str(json.loads(base.split(b"\n", 1)[0])["event_id"]).encode()
            body = base.replace(old, event_id.hex.encode())
            self.sent.add(event_id)
            while not self._once(connection, event_id, body) and again and not self._stop.wait(PAUSE_SECONDS * 5):
                pass
        connection.close()

    def _once(self, connection: http.client.HTTPConnection, event_id: UUID, body: bytes) -> bool:
        """Whether the report was taken."""
        begun = time.monotonic()
        try:
            connection.request(
                "POST",
                f"/api/{self.project}/envelope/",
                body,
                {"X-Sentry-Auth": f"Sentry sentry_version=7, sentry_key={self.key}", "Connection": "keep-alive"},
            )
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()  # the next request connects again
            with self._lock:
                self.statuses[0] += 1
            return False
        with self._lock:
            self.statuses[answer.status] += 1
            if answer.status == 200:
                self.answered.add(UUID(json.loads(text)["id"]))
            else:
                self.slowest_refusal = max(self.slowest_refusal, time.monotonic() - begun)
                if not answer.headers.get("Retry-After"):
                    self.without_retry_after.append(f"{answer.status} {text[:200]!r}")
        return answer.status == 200
