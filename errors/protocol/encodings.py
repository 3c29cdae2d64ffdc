"""Bodies as they are packed: unpacked in bounded memory, or refused."""

import threading
import zlib
from collections.abc import Generator, Iterator

import brotli
import zstandard

ENCODINGS = ("identity", "gzip", "deflate", "br", "zstd")
ALIASES = {"": "identity", "x-gzip": "gzip"}

PIECE_OUT = 256 * 1024
PIECE_IN = 64 * 1024
ZSTD_PIECE_IN = 256  # a block of 4 bytes unpacks to 128 KiB and its output cannot be bounded: at most 8 MiB at a time
ZSTD_WINDOW = 8 * 1024 * 1024  # what every decoder must offer (RFC 8878); a sender who asks for more is refused
PARTS = 1_000  # members or frames one after another; a million empty ones would cost seconds
RAW_DEFLATE, GZIP = -15, 31
MANY_PARTS = f"The body is packed in more than {PARTS:,} parts. Pack it in one."


class TooLarge(Exception):
    """The body unpacks to more than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is larger than {limit:,} bytes when unpacked. Send less at a time.")
        self.limit = limit


class BadBody(Exception):
    """The body is not what its Content-Encoding says, or is packed in a way nobody here can unpack."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def name(header: str) -> str:
    """The one of ENCODINGS that a Content-Encoding header names. Raises BadBody for others and for several."""
    wanted = header.strip().lower()
    wanted = ALIASES.get(wanted, wanted)
    if wanted in ENCODINGS:
        return wanted
    if "," in wanted:
        raise BadBody("Content-Encoding names several encodings. Pack the body once: gzip, deflate, br or zstd.")
    raise BadBody("Content-Encoding is not known. Use gzip, deflate, br, zstd or none.")


def unpack(body: bytes, encoding: str, *, limit: int) -> bytes:
    """The body unpacked, at most `limit` bytes. Raises TooLarge, or BadBody with the reason."""
    encoding = name(encoding)
    if encoding == "identity":
        if len(body) > limit:
            raise TooLarge(limit)
        return body
    if encoding == "zstd":
        whole = _zstd_whole(body, limit=limit)
        if whole is not None:
            return whole
    return b"".join(chunks(body, encoding, limit=limit))


def chunks(body: bytes, encoding: str, *, limit: int) -> Iterator[bytes]:
    """The body unpacked piece by piece, in constant memory. Raises TooLarge or BadBody on the way.

    Pieces that came before a failure are sound only if nothing fails until the end: keep no part of a failed body.
    """
    total = 0
    for piece in _pieces(body, name(encoding)):
        total += len(piece)
        if total > limit:
            raise TooLarge(limit)
        yield piece


def _pieces(body: bytes, encoding: str) -> Iterator[bytes]:
    if encoding == "identity":
        view = memoryview(body)
        return (bytes(view[start : start + PIECE_OUT]) for start in range(0, len(body), PIECE_OUT))
    if encoding == "gzip":
        return _gzip(body)
    if encoding == "deflate":
        return _deflate(body)
    return _brotli(body) if encoding == "br" else _zstd(body)


def _inflate(body: bytes, start: int, *, wbits: int, what: str) -> Generator[bytes, None, int]:
    """One stream of zlib's that begins at `start`; returns where it ends."""
    inflater = zlib.decompressobj(wbits)
    data = b""
    while not inflater.eof:
        if not data:  # in pieces, since zlib copies what it has not yet used each time
            data, start = body[start : start + PIECE_IN], start + PIECE_IN
        at_end = not data
        try:
            piece = inflater.decompress(data, PIECE_OUT)
        except zlib.error as exc:
            raise BadBody(f"The body is not {what}, as its Content-Encoding says.") from exc
        data = inflater.unconsumed_tail
        if piece:
            yield piece
        elif at_end and not inflater.eof:
            raise BadBody(f"The body ends in the middle of its {what} data.")
    return min(start, len(body)) - len(inflater.unused_data)


def _gzip(body: bytes) -> Iterator[bytes]:
    """One member after another, as the format allows."""
    end = 0
    for _ in range(PARTS):
        end = yield from _inflate(body, end, wbits=GZIP, what="gzip")
        if end >= len(body):
            return
    raise BadBody(MANY_PARTS)


def _deflate(body: bytes) -> Iterator[bytes]:
    """With zlib's frame as the standard wants it, or without, as many send it."""
    framed = len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    began = False
    if framed:
        try:
            for piece in _whole(body, wbits=zlib.MAX_WBITS):
                began = True
                yield piece
            return
        except BadBody:
            if began:  # else the two bytes that look like a frame were data
                raise
    yield from _whole(body, wbits=RAW_DEFLATE)


def _whole(body: bytes, *, wbits: int) -> Iterator[bytes]:
    end = yield from _inflate(body, 0, wbits=wbits, what="deflate")
    if end < len(body):
        raise BadBody("Bytes follow the end of the body's deflate data.")


def _brotli(body: bytes) -> Iterator[bytes]:
    decoder = brotli.Decompressor()
    start = 0
    while not decoder.is_finished():
        data = b""
        if decoder.can_accept_more_data():
            data, start = body[start : start + PIECE_IN], start + PIECE_IN
        at_end = start - PIECE_IN >= len(body)
        try:
            piece = decoder.process(data, output_buffer_limit=PIECE_OUT)
        except brotli.error as exc:
            raise BadBody("The body is not brotli, as its Content-Encoding says.") from exc
        if piece:
            yield piece
        elif at_end and not decoder.is_finished():  # it may hold back output after it took the last byte
            raise BadBody("The body ends in the middle of its brotli data.")
    if start < len(body):
        raise BadBody("Bytes follow the end of the body's brotli data.")


def _zstd(body: bytes) -> Iterator[bytes]:
    """One frame after another, as the format allows."""
    end = 0
    for _ in range(PARTS):
        end = yield from _zstd_frame(body, end)
        if end >= len(body):
            return
    raise BadBody(MANY_PARTS)


def _zstd_frame(body: bytes, start: int) -> Generator[bytes, None, int]:
    decoder = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj()
    while not decoder.eof:
        if start >= len(body):
            raise BadBody("The body ends in the middle of its zstd data.")
        data = body[start : start + ZSTD_PIECE_IN]
        start += len(data)
        try:
            piece = decoder.decompress(data)
        except zstandard.ZstdError as exc:
            raise BadBody("The body is not zstd that can be unpacked here (window up to 8 MiB).") from exc
        if piece:
            yield piece
    return start - len(decoder.unused_data)


class _Own(threading.local):
    """One compressor and one decompressor per thread: neither may be used by two at once, and making one is slow."""

    def __init__(self) -> None:
        self.packer = zstandard.ZstdCompressor(level=3)
        self.unpacker = zstandard.ZstdDecompressor()


_own = _Own()


def pack(raw: bytes) -> bytes:
    """The bytes packed with zstd, as the spool and the events keep them."""
    return _own.packer.compress(raw)


def _zstd_whole(body: bytes, *, limit: int) -> bytes | None:
    """The content of a single frame that says its size, the common case and ours; None: read it piece by piece."""
    try:
        size = zstandard.frame_content_size(body)
    except zstandard.ZstdError as exc:
        raise BadBody("The body is not zstd, as its Content-Encoding says.") from exc
    if size < 0:
        return None
    if size > limit:
        raise TooLarge(limit)
    if size == 0:
        return None
    try:
        return _own.unpacker.decompress(body, allow_extra_data=False)
    except zstandard.ZstdError:
        return None  # several frames, or broken: the long way tells which
