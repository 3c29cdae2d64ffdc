"""Django's WSGI application beneath the ASGI front: the same requests as it had from a WSGI server."""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast
from urllib.parse import quote_from_bytes
from wsgiref.types import WSGIApplication

from a2wsgi import WSGIMiddleware

Message = MutableMapping[str, object]
Scope = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

GATHERED_BYTES = 1024 * 1024
IDLE_SECONDS = 30.0
_NOT_ASCII = re.compile(rb"[\x80-\xff]+")

Headers = list[tuple[bytes, bytes]]


class BodyIncomplete(Exception):
    """The body will not come: its sender left, framed it wrongly (400) or fell silent (408)."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def bridge(application: WSGIApplication, *, threads: int) -> Application:
    """An ASGI application that has `application` answer in one of so many threads.

    A thread is taken once the body is there (up to GATHERED_BYTES of it), so that slow senders hold none up.
    """
    beneath = cast(Any, WSGIMiddleware(cast(Any, application), workers=threads))

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        headers = cast(Headers, scope["headers"])
        if any(name in (b"content-length", b"transfer-encoding") for name, _ in headers):
            try:
                first = await _gather(receive)
            except BodyIncomplete as exc:
                await send({"type": "http.response.start", "status": exc.status, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
            headers = _with_length(headers, first)
            receive = _resumed(first, receive)
        given = {**scope, "headers": _one_cookie(headers), "query_string": _ascii(scope["query_string"])}
        await beneath(given, receive, send)

    return answer


async def _gather(receive: Receive) -> Message:
    """The body's beginning, or all of it, as one message. Raises BodyIncomplete."""
    pieces: list[bytes] = []
    size = 0
    while True:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                message = await receive()
        except TimeoutError:
            raise BodyIncomplete(408) from None
        if message["type"] == "http.disconnect":
            raise BodyIncomplete(400)
        pieces.append(cast(bytes, message.get("body") or b""))
        size += len(pieces[-1])
        if size >= GATHERED_BYTES or not message.get("more_body"):
            return {"type": "http.request", "body": b"".join(pieces), "more_body": bool(message.get("more_body"))}


def _resumed(first: Message, receive: Receive) -> Receive:
    """`receive`, but `first` comes first."""
    waiting = [first]

    async def resumed() -> Message:
        return waiting.pop() if waiting else await receive()

    return resumed


def _with_length(headers: Headers, first: Message) -> Headers:
    """A chunked body says no length, and without one Django takes it for empty."""
    if first["more_body"] or any(name == b"content-length" for name, _ in headers):
        return headers
    return [*headers, (b"content-length", b"%d" % len(cast(bytes, first["body"])))]


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
