"""The load: envelopes over four keep-alive connections, from a process of its own, as fast as they are answered.

python -m benchmarks.intake.load URL KEY COUNT ISSUES     prints {"seconds": …, "answers": {...}, "p50": …, "p99": …}
"""

import json
import socket
import statistics
import sys
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

from benchmarks.intake.event import envelopes

CONNECTIONS = 4


def requests(url: str, key: str, *, count: int, issues: int) -> list[bytes]:
    """The requests, byte for byte, made before the clock runs."""
    parts = urlsplit(url)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/x-sentry-envelope\r\n"
        f"Content-Encoding: gzip\r\nX-Sentry-Auth: Sentry sentry_key={key}, sentry_version=7, "
        f"sentry_client=sentry.python/2.75.0\r\nContent-Length: "
    ).encode()
    packed = envelopes(count, issues=issues)
    return [head + str(len(body)).encode() + b"\r\n\r\n" + body for _, body in packed]


class Connection:
    """A keep-alive connection that reads answers whole and does nothing else, so that the client costs little."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def ask(self, request: bytes) -> int:
        """The status of the answer."""
        self._socket.sendall(request)
        while b"\r\n\r\n" not in self._rest:
            self._more()
        head, self._rest = self._rest.split(b"\r\n\r\n", 1)
        lower = head.lower()
        if b"content-length:" in lower:
            length = int(lower.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            while len(self._rest) < length:
                self._more()
            self._rest = self._rest[length:]
        else:  # chunked
            while not self._rest.endswith(b"0\r\n\r\n"):
                self._more()
            self._rest = b""
        return int(head.split(b" ", 2)[1])

    def _more(self) -> None:
        got = self._socket.recv(65536)
        if not got:
            raise ConnectionError("The server closed the connection")
        self._rest += got


def run(url: str, key: str, *, count: int, issues: int) -> dict[str, object]:
    """Send them all; the time it took, the answers, and the times of single answers in milliseconds."""
    parts, waiting = urlsplit(url), requests(url, key, count=count, issues=issues)
    answers: Counter[int] = Counter()
    times: list[float] = []
    lock = threading.Lock()

    def work(mine: list[bytes]) -> None:
        connection, took, got = Connection(parts.hostname or "", parts.port or 80), [], []
        for request in mine:
            began = time.perf_counter()
            got.append(connection.ask(request))
            took.append(time.perf_counter() - began)
        with lock:
            answers.update(got)
            times.extend(took)

    threads = [threading.Thread(target=work, args=(waiting[n::CONNECTIONS],)) for n in range(CONNECTIONS)]
    began_at, began = time.time(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    cuts = statistics.quantiles(times, n=100)
    return {
        "began_at": began_at,
        "seconds": seconds,
        "answers": dict(answers),
        "p50_ms": cuts[49] * 1000,
        "p99_ms": cuts[98] * 1000,
    }


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], sys.argv[2], count=int(sys.argv[3]), issues=int(sys.argv[4]))))
