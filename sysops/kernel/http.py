"""HTTP to addresses that people typed: the address that was checked is the one connected to.

Checking a name and connecting to it are two look-ups, and a name server may answer them differently. Here the name is
looked up once, every answer is checked, and the connection goes to a checked answer; TLS still verifies the name.
"""

import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache

import httpcore
import httpx

from sysops.kernel import targets
from sysops.kernel.targets import Refused

__all__ = ["Refused", "TooMuch", "client", "is_final", "retry_after"]

LARGEST_ANSWER = 1024 * 1024
LONGEST_WAIT = timedelta(days=1)

Resolver = Callable[[str, int], Sequence[str]]


class TooMuch(httpx.TransportError):
    """The answer is larger than anything that is of use."""


def client(
    *,
    allow_private: bool,
    timeout: float,
    largest_answer: int = LARGEST_ANSWER,
    tls: ssl.SSLContext | None = None,
    resolve: Resolver | None = None,
) -> httpx.Client:
    """An HTTP client for other people's addresses; raises Refused for those that are not public.

    A request may take `timeout` seconds from the look-up of the name to the last byte of the answer. Redirects are not
    followed, proxies of the environment not used, and answers not unpacked: a small one could become a large one.
    """
    return httpx.Client(
        transport=_Transport(allow_private, timeout, largest_answer, tls or _tls(), resolve or look_up),
        timeout=timeout,
        trust_env=False,
        follow_redirects=False,
        headers={"User-Agent": "Sysops", "Accept-Encoding": "identity"},
    )


def look_up(host: str, port: int) -> list[str]:
    """Every address the system's resolver knows for the name, in the order of its preference. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def is_final(status: int) -> bool:
    """Whether the same request gets the same answer tomorrow: moved, forbidden, gone; not too busy or too early."""
    return 300 <= status < 500 and status not in (408, 425, 429)


def retry_after(value: str | None, *, now: datetime) -> timedelta | None:
    """How long the other side wants to be left alone (the header Retry-After), at most a day; None when it does not
    say it in a form that can be read."""
    if not value:
        return None
    if value.strip().isdecimal():
        return min(timedelta(seconds=min(int(value), 10**9)), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    wait = (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
    return min(max(wait, timedelta()), LONGEST_WAIT)


@cache
def _tls() -> ssl.SSLContext:
    # One for all clients: reading the certificates takes longer than a request. SSL_CERT_FILE names one's own.
    return httpx.create_ssl_context()


class _Clock:
    """The end of the request that this thread works on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._here = threading.local()

    def start(self) -> None:
        self._here.end = time.monotonic() + self._seconds

    def left(self, late: type[httpcore.TimeoutException]) -> float:
        """Seconds that are left. Raises `late` when there are none."""
        left: float = getattr(self._here, "end", math.inf) - time.monotonic()
        if left <= 0:
            raise late(f"It took longer than {self._seconds:g} s")
        return min(left, self._seconds)


class _Transport(httpx.BaseTransport):
    def __init__(
        self, allow_private: bool, timeout: float, largest: int, tls: ssl.SSLContext, resolve: Resolver
    ) -> None:
        self._clock = _Clock(timeout)
        self._largest = largest
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls,
            network_backend=_CheckedBackend(allow_private=allow_private, clock=self._clock, resolve=resolve),
            keepalive_expiry=5,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol("Only http:// and https:// addresses can be called", request=request)
        assert isinstance(request.stream, httpx.SyncByteStream)
        url = request.url
        self._clock.start()
        with _as_httpx():
            answer = self._pool.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        # We asked for it as it is. What comes packed all the same stays packed.
        headers = [(name, value) for name, value in answer.headers if name.lower() != b"content-encoding"]
        assert isinstance(answer.stream, Iterable)
        stream = _Bounded(answer.stream, self._largest)
        return httpx.Response(answer.status, headers=headers, stream=stream, extensions=answer.extensions)

    def close(self) -> None:
        self._pool.close()


class _Bounded(httpx.SyncByteStream):
    """The body of an answer, up to a size."""

    def __init__(self, parts: Iterable[bytes], largest: int) -> None:
        self._parts = parts
        self._largest = largest

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        with _as_httpx():
            for part in self._parts:
                size += len(part)
                if size > self._largest:
                    raise TooMuch(f"The answer is larger than {self._largest} bytes")
                yield part

    def close(self) -> None:
        close = getattr(self._parts, "close", None)
        if close:
            close()


@contextmanager
def _as_httpx() -> Iterator[None]:
    """httpcore's errors as httpx', which have the same names."""
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as exc:
        raise getattr(httpx, type(exc).__name__)(str(exc)) from exc


class _CheckedBackend(httpcore.SyncBackend):
    """Connects to addresses that were checked, and to nothing else."""

    def __init__(self, *, allow_private: bool, clock: _Clock, resolve: Resolver) -> None:
        self._allow_private = allow_private
        self._clock = clock
        self._resolve = resolve

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = self._looked_up(host, port)
        for address in addresses:  # all of them first: one answer that is not public spoils the name
            targets.check(host, address, allow_private=self._allow_private)
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                left = self._clock.left(httpcore.ConnectTimeout)
                return _Timed(super().connect_tcp(address, port, left, local_address, socket_options), self._clock)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failure = exc
        raise failure

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.NetworkStream:
        raise Refused(path, path, "it is a socket of this machine.")

    def _looked_up(self, host: str, port: int) -> Sequence[str]:
        """The name's addresses. The system's resolver knows no time limit, so it is waited for, not joined."""
        answer: list[Sequence[str] | OSError | UnicodeError] = []

        def ask() -> None:
            try:
                answer.append(self._resolve(host, port))
            except (OSError, UnicodeError) as exc:
                answer.append(exc)

        asking = threading.Thread(target=ask, name="look-up", daemon=True)
        asking.start()
        asking.join(self._clock.left(httpcore.ConnectTimeout))
        if not answer:
            raise httpcore.ConnectTimeout(f"{host} could not be looked up in time")
        if isinstance(answer[0], OSError | UnicodeError):
            raise httpcore.ConnectError(f"{host} could not be looked up: {answer[0]}")
        return answer[0]


class _Timed(httpcore.NetworkStream):
    """A connection on which a request as a whole has its time, however slowly the bytes drip."""

    def __init__(self, inner: httpcore.NetworkStream, clock: _Clock) -> None:
        self._inner = inner
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._clock.left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._clock.left(httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._clock.left(httpcore.ConnectTimeout)
        return _Timed(self._inner.start_tls(ssl_context, server_hostname, left), self._clock)

    def get_extra_info(self, info: str) -> object:
        return self._inner.get_extra_info(info)
