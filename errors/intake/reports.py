"""From a request's body to the rows that are kept of it. Pure."""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qs
from uuid import UUID, uuid4

import orjson

from errors.intake import answers
from errors.protocol import auth, encodings, envelope, event_id, headers, limits
from errors.rules import Kind

SECURITY_REPORTS = 100  # in one request; browsers gather a few
# What the id of an answer stands for: when one of these is not kept, nothing of its envelope is.
ANSWERED_FOR = frozenset({"event", "feedback"})
EVENT_TOO_LARGE = (
    f"An event has at most {limits.EVENT_BYTES:,} bytes, and an envelope at most {limits.ITEMS_OF_TYPE} events and "
    f"{limits.KEPT_BYTES:,} bytes that are kept. Nothing of this one was."
)
HEAD_ROOM = limits.HEADER_BYTES + encodings.PIECE_OUT


@dataclass(frozen=True, slots=True)
class Piece:
    """What becomes one row."""

    kind: str
    encoding: str
    body: bytes = field(repr=False)
    event_id: UUID | None


@dataclass(frozen=True, slots=True)
class Taken:
    """What a request held, and the id it is answered with."""

    event_id: UUID | None
    pieces: list[Piece]


def from_envelope(body: bytes, encoding: str) -> Taken | None:
    """An envelope of ordinary size; None when it is bigger than that. Raises Refusal."""
    try:
        raw = encodings.unpack(body, encoding, limit=limits.FAST_BYTES)
        return _taken(envelope.read(raw), body, encoding)
    except encodings.TooLarge:
        return None
    except encodings.BadBody as exc:
        raise answers.invalid(exc.reason, reason="encoding") from exc
    except envelope.BadEnvelope as exc:
        raise answers.invalid(exc.reason, reason="envelope") from exc


def from_big_envelope(body: bytes, encoding: str) -> Taken:
    """An envelope of any size, read in the memory of what is kept of it; takes a while. Raises Refusal."""
    try:
        pieces = encodings.chunks(body, encoding, limit=limits.RAW_BYTES)
        return _taken(envelope.read_stream(pieces), body, encoding)
    except encodings.TooLarge as exc:
        raise answers.too_large(str(exc)) from exc
    except encodings.BadBody as exc:
        raise answers.invalid(exc.reason, reason="encoding") from exc
    except envelope.BadEnvelope as exc:
        raise answers.invalid(exc.reason, reason="envelope") from exc


def key_in_envelope(body: bytes, encoding: str) -> str | None:
    """The key of the DSN in an envelope's first line; None when there is none to be read."""
    line = bytearray()
    try:
        for piece in encodings.chunks(body, encoding, limit=HEAD_ROOM):
            line += piece
            if b"\n" in piece or len(line) > limits.HEADER_BYTES:
                break
        return auth.key_of_dsn(envelope.head(bytes(line)).get("dsn"))
    except (encodings.TooLarge, encodings.BadBody, envelope.BadEnvelope):
        return None


def from_store(body: bytes, encoding: str, content_type: str) -> Taken:
    """One event as JSON, also in the wrappings of old SDKs. Raises Refusal."""
    raw = _unpacked(body, encoding)
    plain = _unwrapped(raw, content_type)
    event = headers.parse(plain)
    if event is None:
        raise answers.invalid("The body is not a JSON object.", reason="json")
    found = event_id.parse(event.get("event_id")) or uuid4()
    if plain is raw:
        return Taken(found, [Piece(Kind.STORE.value, encoding, body, found)])
    return Taken(found, [Piece(Kind.STORE.value, "zstd", encodings.pack(plain), found)])


def from_security(body: bytes, encoding: str) -> Taken:
    """What a browser reports of a broken policy, one or a list of them. Raises Refusal."""
    raw = _unpacked(body, encoding)
    single = headers.parse(raw)
    if single is not None:
        made = uuid4()
        return Taken(made, [Piece(Kind.SECURITY.value, encoding, body, made)])
    try:
        listed = orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise answers.invalid("The body is neither a JSON object nor a list of them.", reason="json") from exc
    reports = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    if not reports or len(reports) > SECURITY_REPORTS:
        raise answers.invalid(f"The list must have 1 to {SECURITY_REPORTS} reports, each a JSON object.", reason="json")
    try:
        pieces = [Piece(Kind.SECURITY.value, "identity", orjson.dumps(one), uuid4()) for one in reports]
    except orjson.JSONEncodeError as exc:  # what it reads it need not be able to write
        raise answers.invalid("A report is nested too deeply.", reason="json") from exc
    return Taken(pieces[0].event_id, pieces)


def _taken(found: envelope.Envelope, body: bytes, encoding: str) -> Taken:
    if any(item.dropped and item.type in ANSWERED_FOR for item in found.items):
        raise answers.too_large(EVENT_TOO_LARGE)
    known = event_id.parse(found.headers.get("event_id"))
    if known is None:
        known = _id_of_event(found.items)
    if not found.items:
        return Taken(known, [])
    reduced = envelope.reduce(found)
    if reduced is None:
        return Taken(known, [Piece(Kind.ENVELOPE.value, encoding, body, known)])
    return Taken(known, [Piece(Kind.ENVELOPE.value, "zstd", encodings.pack(reduced), known)])


def _id_of_event(items: Iterable[envelope.Item]) -> UUID | None:
    """The id inside the first event; a new one when it has none, so that the answer can name it."""
    payload = next((item.payload for item in items if item.type == "event" and not item.dropped), None)
    if payload is None:
        return None
    event = headers.parse(payload)
    return (event_id.parse(event.get("event_id")) if event else None) or uuid4()


def _unpacked(body: bytes, encoding: str) -> bytes:
    try:
        return encodings.unpack(body, encoding, limit=limits.STORE_BYTES)
    except encodings.TooLarge as exc:
        raise answers.too_large(str(exc)) from exc
    except encodings.BadBody as exc:
        raise answers.invalid(exc.reason, reason="encoding") from exc


def _unwrapped(raw: bytes, content_type: str) -> bytes:
    """The JSON inside a form's field, base64, or base64 of zlib; the body itself when it is none of these."""
    data = raw
    if content_type.startswith("application/x-www-form-urlencoded") and raw.startswith(b"sentry_data="):
        try:
            fields = parse_qs(raw.decode("utf-8", "replace"), max_num_fields=100)
        except ValueError as exc:
            raise answers.invalid("The form has too many fields.", reason="form") from exc
        data = fields.get("sentry_data", [""])[0].encode()
    if data.lstrip()[:1] == b"{":
        return data
    try:
        decoded = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return data
    try:
        return encodings.unpack(decoded, "deflate", limit=limits.STORE_BYTES)
    except encodings.TooLarge as exc:
        raise answers.too_large(str(exc)) from exc
    except encodings.BadBody:
        return decoded
