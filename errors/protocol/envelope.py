"""Envelopes: a line of headers, then items, each with its own line of headers and a payload.

What Sysops does not keep is dropped while reading, so that a big envelope costs no more memory than its kept part.
A dropped item stays in the envelope with the outcome and an empty payload: the digest counts it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson

from errors.protocol import headers, limits
from errors.protocol.limits import KEPT_TYPES
from errors.protocol.source import Source
from errors.rules import Outcome

__all__ = ["KEPT_TYPES", "BadEnvelope", "Envelope", "Item", "category", "head", "read", "read_stream", "reduce"]

MARK = "sysops_dropped"
TYPE_CHARACTERS = 64


class BadEnvelope(Exception):
    """The bytes are no envelope; the reason is in plain words and quotes nothing of them."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Item:
    """One part of an envelope. `size` is that of the payload as it was sent; a dropped one's payload is empty."""

    type: str
    headers: dict[str, object]
    payload: bytes = field(repr=False)
    size: int
    dropped: str = ""  # the Outcome; "" when it is kept


@dataclass(slots=True)
class Envelope:
    """An envelope that was read: its own headers, and its items in their order."""

    headers: dict[str, object]
    items: list[Item]


def category(item_type: str) -> str:
    """Under which name items of a type are counted and limited."""
    return limits.CATEGORIES.get(item_type, "unknown")


def head(raw: bytes) -> dict[str, object]:
    """The headers of the envelope itself: its first line. Raises BadEnvelope."""
    end = raw.find(b"\n", 0, limits.HEADER_BYTES + 1)
    return _own_headers(raw[: limits.HEADER_BYTES + 1] if end < 0 else raw[:end])


def read(raw: bytes) -> Envelope:
    """The envelope in these bytes. Raises BadEnvelope."""
    found = Envelope(head(raw), [])
    keeper = _Keeper(found.items)
    total = len(raw)
    at = _line_end(raw, 0) + 1
    while at < total:
        end = _line_end(raw, at)
        line, at = raw[at:end], end + 1
        if not line or line == b"\r":
            continue
        keeper.begin(line)
        start = min(at, total)
        if keeper.length is None:
            end = _line_end(raw, start)
            at = end + 1
        else:
            end = start + keeper.length
            if end > total:
                raise keeper.cut_short()
            at = end + keeper.newline(raw[end : end + 2])
        size = end - start
        keeper.end(size, raw[start:end] if size <= keeper.room else b"")
    return found


def read_stream(chunks: Iterable[bytes]) -> Envelope:
    """The same envelope from pieces of any size, in the memory of what is kept of it. Raises BadEnvelope."""
    source = Source(chunks)
    found = Envelope(_own_headers(source.line(limit=limits.HEADER_BYTES)), [])
    keeper = _Keeper(found.items)
    while not source.empty():
        line = source.line(limit=limits.ITEM_HEADER_BYTES)
        if line is not None and (not line or line == b"\r"):
            continue
        keeper.begin(line)
        if keeper.length is None:
            size, payload = source.until_newline(keep=keeper.room)
        else:
            size = keeper.length
            whole = source.exactly(size, keep=keeper.room)
            if whole is None:
                raise keeper.cut_short()
            payload = whole
            source.skip(keeper.newline(source.peek(2)))
        keeper.end(size, payload)
    return found


def reduce(envelope: Envelope) -> bytes | None:
    """The envelope without what was dropped of it; None when nothing was: the original is as good."""
    if not any(item.dropped for item in envelope.items):
        return None
    lines = [orjson.dumps(envelope.headers)]
    for item in envelope.items:
        if item.dropped:
            lines += [orjson.dumps({"type": item.type, "length": 0, MARK: item.dropped}), b""]
        else:
            lines += [orjson.dumps(item.headers), item.payload]
    return b"\n".join([*lines, b""])


def _line_end(raw: bytes, start: int) -> int:
    end = raw.find(b"\n", start)
    return len(raw) if end < 0 else end


def _own_headers(line: bytes | None) -> dict[str, object]:
    if line is None or len(line) > limits.HEADER_BYTES:
        raise BadEnvelope(f"The envelope's first line is longer than {limits.HEADER_BYTES:,} bytes.")
    found = headers.parse(line)
    if found is None:
        raise BadEnvelope("The envelope's first line is not a JSON object.")
    return found


class _Keeper:
    """Takes items as they are read and decides what is kept of them."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.kept: dict[str, int] = {}
        self.room_left = limits.KEPT_BYTES
        self.count = 0

    def begin(self, line: bytes | None) -> None:
        """Read an item's line of headers: `length` of its payload, and how much of that there is `room` for."""
        self.count += 1
        if self.count > limits.ITEMS:
            raise BadEnvelope(f"The envelope has more than {limits.ITEMS:,} items. Send fewer at a time.")
        if line is None or len(line) > limits.ITEM_HEADER_BYTES:
            raise BadEnvelope(f"The header of item {self.count} is longer than {limits.ITEM_HEADER_BYTES:,} bytes.")
        found = headers.parse(line)
        if found is None:
            raise BadEnvelope(f"The header of item {self.count} is not a JSON object.")
        self.headers = found
        kind = found.get("type")
        self.type = kind[:TYPE_CHARACTERS] if isinstance(kind, str) else ""
        self.length = self._length(found.get("length"))
        self.room = self._room()

    def end(self, size: int, payload: bytes) -> None:
        """Take the item in, with its payload if that fits in the room."""
        dropped = self._dropped(size)
        if dropped:
            self.items.append(Item(self.type, {}, b"", size, dropped))
            return
        self.kept[self.type] = self.kept.get(self.type, 0) + 1
        self.room_left -= size
        self.items.append(Item(self.type, self.headers, payload, size))

    def newline(self, following: bytes) -> int:
        """How many bytes of what follows a payload of known length are the end of its line."""
        if not following:
            return 0
        if following[0] == 0x0A:
            return 1
        if following == b"\r\n":
            return 2
        raise BadEnvelope(f"Item {self.count} goes on after the {self.length} bytes of its length.")

    def cut_short(self) -> BadEnvelope:
        return BadEnvelope(f"Item {self.count} ends before the {self.length} bytes of its length.")

    def _length(self, value: object) -> int | None:
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise BadEnvelope(f"The length of item {self.count} is not a whole number from 0.")
        return value

    def _room(self) -> int:
        """The most bytes a payload of this type may have now; -1: not even an empty one is kept."""
        most = limits.ATTACHMENTS if self.type == "attachment" else limits.ITEMS_OF_TYPE
        if self.type not in KEPT_TYPES or self.kept.get(self.type, 0) >= most:
            return -1
        return min(limits.ITEM_BYTES[self.type], self.room_left)

    def _dropped(self, size: int) -> str:
        marked = self.headers.get(MARK)
        if size == 0 and isinstance(marked, str) and marked in limits.DROPPED:
            return marked
        if size <= self.room:
            return ""
        if self.type in limits.NOT_KEPT_TYPES:
            return Outcome.SAMPLED_OUT.value
        return (Outcome.TOO_LARGE if self.type in KEPT_TYPES else Outcome.UNKNOWN_ITEM).value
