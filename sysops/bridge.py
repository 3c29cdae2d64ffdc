"""Django's WSGI application beneath the ASGI front: the same requests as it had from a WSGI server."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import quote_from_bytes
from wsgiref.types import WSGIApplication

from a2wsgi import WSGIMiddleware

Message = MutableMapping[str, object]
Scope = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# More than Django takes of any body (DATA_UPLOAD_MAX_MEMORY_SIZE): of a longer one it gets this much, and refuses it.
GATHERED_BYTES = 4 * 1024 * 1024
MOST_HELD = 128 * 1024 * 1024  # bodies of all requests together
SMALL_BYTES = 64 * 1024  # taken however much the others hold: nobody is to keep people from signing in
IDLE_SECONDS = 30.0
WHOLE_SECONDS = 120.0
_NOT_ASCII = re.compile(rb"[\x80-\xff]+")

Headers = list[tuple[bytes, bytes]]


class BodyIncomplete(Exception):
    """The body will not come: its sender left, framed it wrongly (400) or is too slow (408), or others hold too much
    at present (503)."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def bridge(application: WSGIApplication, *, threads: int) -> Application:
    """An ASGI application that has `application` answer in one of so many threads.

    A thread is taken once the body is there, so that slow senders hold none up.
    """
    beneath = cast(Any, WSGIMiddleware(cast(Any, application), workers=threads))
    bodies = _Bodies()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        headers = cast(Headers, scope["headers"])
        with bodies.of_one() as body:
            if any(name in (b"content-length", b"transfer-encoding") for name, _ in headers):
                try:
                    await body.gather(receive)
                except BodyIncomplete as exc:
                    await send({"type": "http.response.start", "status": exc.status, "headers": []})
                    await send({"type": "http.response.body", "body": b""})
                    return
                headers = _with_length(headers, body.size)
                receive = body.replayed(receive)
            given = {**scope, "headers": _one_cookie(headers), "query_string": _ascii(scope["query_string"])}
            await beneath(given, receive, send)

    return answer


class _Bodies:
    """How much the bodies of all requests hold in memory."""

    def __init__(self) -> None:
        self.held = 0

    @contextmanager
    def of_one(self) -> "Iterator[_Body]":
        """The body of one request, held until the end of the block."""
        body = _Body(self)
        try:
            yield body
        finally:
            self.held -= body.size


class _Body:
    """A request's body, or as much of its beginning as anybody reads."""

    def __init__(self, bodies: _Bodies) -> None:
        self.size = 0
        self._bodies = bodies
        self._pieces: list[bytes] = []

    async def gather(self, receive: Receive) -> None:
        """Wait for all of it. Raises BodyIncomplete."""
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                while self.size < GATHERED_BYTES and await self._next(receive):
                    pass
        except TimeoutError:
            raise BodyIncomplete(408) from None

    async def _next(self, receive: Receive) -> bool:
        """Whether there is more of it."""
        async with asyncio.timeout(IDLE_SECONDS):
            message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyIncomplete(400)
        piece = cast(bytes, message.get("body") or b"")
        self._pieces.append(piece)
        self.size += len(piece)
        self._bodies.held += len(piece)
        if self._bodies.held > MOST_HELD and self.size > SMALL_BYTES:
            raise BodyIncomplete(503)
        return bool(message.get("more_body"))

    def replayed(self, receive: Receive) -> Receive:
        """`receive`, but the whole body comes first, in one message."""
        waiting = [b"".join(self._pieces)]
        self._pieces.clear()

        async def replay() -> Message:
            if waiting:
                return {"type": "http.request", "body": waiting.pop(), "more_body": False}
            return await receive()

        return replay


def _with_length(headers: Headers, size: int) -> Headers:
    """A chunked body says no length, and without one Django takes it for empty."""
    if any(name == b"content-length" for name, _ in headers):
        return headers
    return [*headers, (b"content-length", b"%d" % size)]


def _one_cookie(headers: Headers) -> Headers:
    """HTTP/2 sends each cookie as a header of its own; a2wsgi would join them with commas, which is wrong."""
    cookies = [value for name, value in headers if name == b"cookie"]
    if len(cookies) < 2:
        return headers
    return [*(pair for pair in headers if pair[0] != b"cookie"), (b"cookie", b"; ".join(cookies))]


def _ascii(query: object) -> bytes:
    """Raw UTF-8 in a query is against the rules and sent all the same; a2wsgi fails on it."""
    assert isinstance(query, bytes)
    return _NOT_ASCII.sub(lambda found: quote_from_bytes(found[0]).encode(), query)
