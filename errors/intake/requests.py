"""What a request says, and its body: read within bounds, whatever its sender does."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from errors.intake import answers
from errors.protocol import auth, encodings, limits

Message = MutableMapping[str, object]
Scope = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PATH = re.compile(r"/api/([0-9]{1,18})/([a-z-]{1,40})/?")
WANTED = frozenset(
    {b"x-sentry-auth", b"authorization", b"content-encoding", b"content-length", b"content-type", b"origin"}
)
LONGEST_FIELD = 8 * 1024
IDLE_SECONDS = 15.0  # a sender may be slow, not silent
WHOLE_SECONDS = 120.0
MOST_HELD = 256 * 1024 * 1024  # bodies of all requests together
DRAIN_SECONDS = 1.0
DRAIN_BYTES = 32 * 1024 * 1024
SMALL = 64 * 1024  # a body up to this costs no book-keeping


@dataclass(slots=True)
class Request:
    """One request to the intake. Names of headers are in lower case, and only those that are looked at are here."""

    method: str
    project: int
    endpoint: str
    headers: dict[str, str] = field(repr=False)
    query: dict[str, str] = field(repr=False)
    remote: str
    held: int = 0  # bytes of its body that are counted in Bodies
    ended: bool = False  # there is nothing more to be read
    known: bool = False  # it has a key of its project's, so what becomes of it is counted there

    @property
    def origin(self) -> str:
        return self.headers.get("origin", "")

    def key(self) -> str | None:
        return auth.public_key(self.headers, self.query)

    def encoding(self) -> str:
        """Raises Refusal for a packing that is not known."""
        given = self.headers.get("content-encoding")
        if not given:
            return "identity"
        try:
            return encodings.name(given)
        except encodings.BadBody as exc:
            raise answers.invalid(exc.reason, reason="encoding") from exc

    def length(self) -> int | None:
        """The length that the sender announced, if any."""
        given = self.headers.get("content-length", "")
        return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else None


def parse(scope: Scope) -> Request | None:
    """The request, or None when its path is none of the intake's."""
    path = PATH.fullmatch(str(scope["path"]))
    if path is None:
        return None
    query = scope["query_string"]
    client = scope.get("client")
    return Request(
        method=str(scope["method"]),
        project=int(path[1]),
        endpoint=path[2],
        headers=_headers(scope["headers"]),
        query=_query(query) if isinstance(query, bytes) and query else {},
        remote=str(client[0])[:45] if isinstance(client, tuple | list) and client else "",
    )


def _headers(given: object) -> dict[str, str]:
    assert isinstance(given, Iterable)
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in given
        if name in WANTED and len(value) <= LONGEST_FIELD
    }


def _query(given: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(given[:LONGEST_FIELD].decode("utf-8", "replace"), max_num_fields=100))
    except ValueError:  # more fields than that
        return {}


class Bodies:
    """Reads bodies, and keeps count of what all of them hold in memory."""

    def __init__(self) -> None:
        self.held = 0

    async def read(self, request: Request, receive: Receive) -> bytes:
        """The whole body as it came; `release` it when the request is done. Raises Refusal (4xx, 503)."""
        length = request.length()
        if length is not None and length > limits.PACKED_BYTES:
            request.ended = True  # not a byte of it is read
            raise answers.too_large(f"A body has at most {limits.PACKED_BYTES:,} bytes. Send less at a time.")
        message = await self._next(request, receive)
        body = message.get("body") or b""
        assert isinstance(body, bytes)
        # Its announced length is reached: no need to ask for the end.
        if message.get("more_body") and len(body) != length:
            body = await self._rest(request, body, receive)
        request.ended = True
        if length is not None and len(body) != length:
            raise answers.invalid("The body is shorter or longer than its Content-Length.", reason="length")
        return body

    async def drain(self, request: Request, receive: Receive) -> None:
        """Read for a moment what nobody wants, so that the sender comes to read the answer."""
        size = 0
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while not request.ended and size < DRAIN_BYTES:
                    message = await receive()
                    body = message.get("body")
                    size += len(body) if isinstance(body, bytes) else 0
                    request.ended = not message.get("more_body")
        except TimeoutError:
            return

    async def _next(self, request: Request, receive: Receive) -> Message:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                message = await receive()
        except TimeoutError:
            raise _silent() from None
        if message["type"] == "http.disconnect":
            # Left, or framed its body in a way no server understands; if it is still there it is told.
            request.ended = True
            raise answers.Refusal(400, "The body did not arrive whole", causes=["It broke off, or its chunks are bad."])
        return message

    def release(self, request: Request) -> None:
        """The request's body is no longer in memory."""
        self.held -= request.held
        request.held = 0

    async def _rest(self, request: Request, begun: bytes, receive: Receive) -> bytes:
        """The body from its beginning on. A list of pieces: growing one `bytes` would copy it each time."""
        pieces, size = [begun], len(begun)
        deadline = asyncio.get_running_loop().time() + WHOLE_SECONDS
        while True:
            message = await self._next(request, receive)
            piece = message.get("body") or b""
            assert isinstance(piece, bytes)
            pieces.append(piece)
            size += len(piece)
            if size > SMALL:
                self._hold(request, size)
            if not message.get("more_body"):
                return b"".join(pieces)
            if asyncio.get_running_loop().time() > deadline:
                raise _silent()

    def _hold(self, request: Request, size: int) -> None:
        if size > limits.PACKED_BYTES:
            raise answers.too_large(f"A body has at most {limits.PACKED_BYTES:,} bytes. Send less at a time.")
        self.held, request.held = self.held + size - request.held, size
        if self.held > MOST_HELD:
            raise answers.away("Too many large reports at once")


def _silent() -> answers.Refusal:
    return answers.Refusal(408, "The report did not come in time", causes=["Send the whole body without a pause."])
