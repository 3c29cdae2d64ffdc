"""Bytes that arrive in pieces, read by line and by length without holding more than is asked for."""

from collections.abc import Iterable


class Source:
    """What is left of a stream. No method holds more than its `keep` (or `limit`) and one piece."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._buffer = b""
        self._at = 0

    def empty(self) -> bool:
        return self._left() == 0 and not self._more()

    def line(self, *, limit: int) -> bytes | None:
        """The bytes up to the next newline or the end; None when they are more than `limit`."""
        size, line = self.until_newline(keep=limit)
        return line if size <= limit else None

    def until_newline(self, *, keep: int) -> tuple[int, bytes]:
        """How many bytes there are up to the next newline or the end, and these, if they are at most `keep`."""
        size, kept = 0, bytearray()
        while not self.empty():
            end = self._buffer.find(b"\n", self._at)
            stop = len(self._buffer) if end < 0 else end
            size += stop - self._at
            if size <= keep:
                kept += self._buffer[self._at : stop]
            self._at = stop
            if end >= 0:
                self._at += 1
                break
        return size, bytes(kept) if size <= keep else b""

    def exactly(self, length: int, *, keep: int) -> bytes | None:
        """The next `length` bytes, or none of them when they are more than `keep`; None: the stream ends before."""
        missing, kept = length, bytearray()
        while missing:
            if self.empty():
                return None
            taken = self._buffer[self._at : self._at + missing]
            if length <= keep:
                kept += taken
            self._at += len(taken)
            missing -= len(taken)
        return bytes(kept)

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end, without moving on."""
        while self._left() < count and self._more():
            pass
        return self._buffer[self._at : self._at + count]

    def skip(self, count: int) -> None:
        """Move on over bytes that were peeked at."""
        self._at += count

    def _left(self) -> int:
        return len(self._buffer) - self._at

    def _more(self) -> bool:
        """Take in the next piece that is not empty; False at the end."""
        for chunk in self._chunks:
            if chunk:
                self._buffer = self._buffer[self._at :] + chunk
                self._at = 0
                return True
        return False
