"""Bodies, packed in every way SDKs pack them, cut, mixed up and made to burst."""

import gzip
import os
import resource
import time
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from errors.protocol import encodings, limits
from errors.protocol.encodings import BadBody, TooLarge, chunks, pack, unpack

RAW = b'{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc"}\n' * 400 + os.urandom(3_000)
MIB = 1024 * 1024


def raw_deflate(raw: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(raw) + packer.flush()


def fast_brotli(raw: bytes) -> bytes:
    return bytes(brotli.compress(raw, quality=0, lgwin=18))


def zstd_of_unknown_size(raw: bytes) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(raw) + packer.flush()


PACKED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "identity": ("identity", bytes),
    "none named": ("", bytes),
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "GZIP": (" GZIP ", gzip.compress),
    "gzip of two members": ("gzip", lambda raw: gzip.compress(raw[:500]) + gzip.compress(raw[500:])),
    "deflate": ("deflate", zlib.compress),
    "deflate without its frame": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstandard.ZstdCompressor().compress),
    "zstd of unknown size": ("zstd", zstd_of_unknown_size),
    "zstd of two frames": ("zstd", lambda raw: pack(raw[:500]) + zstd_of_unknown_size(raw[500:])),
    "zstd after a frame to skip": ("zstd", lambda raw: b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + pack(raw)),
}
FAST: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": fast_brotli,
    "zstd": zstd_of_unknown_size,
}
STREAMED = {name: way for name, way in PACKED.items() if way[0].strip().lower() not in ("", "identity")}


@pytest.mark.parametrize("way", PACKED)
@pytest.mark.parametrize("raw", [RAW, b"", b"x", RAW * 100], ids=["small", "empty", "one byte", "big"])
def test_what_was_packed_comes_out_the_same_in_one_piece_and_in_many(way: str, raw: bytes) -> None:
    encoding, packed = PACKED[way]
    body = packed(raw)

    assert unpack(body, encoding, limit=4 * MIB) == raw
    pieces = list(chunks(body, encoding, limit=4 * MIB))
    assert b"".join(pieces) == raw
    assert all(pieces)


@pytest.mark.parametrize("way", PACKED)
def test_a_body_may_be_as_large_as_the_limit_and_no_larger(way: str) -> None:
    encoding, packed = PACKED[way]
    body = packed(RAW)

    assert unpack(body, encoding, limit=len(RAW)) == RAW
    with pytest.raises(TooLarge) as caught:
        unpack(body, encoding, limit=len(RAW) - 1)
    assert caught.value.limit == len(RAW) - 1
    with pytest.raises(TooLarge):
        list(chunks(body, encoding, limit=len(RAW) - 1))


@pytest.mark.parametrize("way", STREAMED)
@pytest.mark.parametrize("cut", [1, 5, 200])
def test_a_body_that_was_cut_off_is_refused_not_shortened(way: str, cut: int) -> None:
    encoding, packed = STREAMED[way]

    with pytest.raises(BadBody, match="ends in the middle"):
        unpack(packed(RAW)[:-cut], encoding, limit=MIB)


@pytest.mark.parametrize("way", STREAMED)
def test_bytes_after_the_end_are_refused(way: str) -> None:
    encoding, packed = STREAMED[way]

    with pytest.raises(BadBody):
        unpack(packed(RAW) + b"and more", encoding, limit=MIB)


def test_bytes_after_the_end_are_refused_where_a_piece_ends_with_the_data_as_well() -> None:
    raw = os.urandom(encodings.PIECE_IN)
    body = next(b for b in (fast_brotli(raw[:-cut]) for cut in range(1, 40)) if len(b) == encodings.PIECE_IN)

    with pytest.raises(BadBody, match="follow the end"):
        unpack(body + b"and more", "br", limit=MIB)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("body", [b"", b"\n", RAW, b"\x00" * 50, b"\xff" * 50])
def test_what_is_not_packed_as_it_says_is_refused(encoding: str, body: bytes) -> None:
    with pytest.raises(BadBody):
        unpack(body, encoding, limit=MIB)


@pytest.mark.parametrize("encoding", ["gzip, br", "gzip,gzip", "identity, gzip", ", "])
def test_several_encodings_are_refused_in_words_that_say_what_to_do(encoding: str) -> None:
    with pytest.raises(BadBody, match=r"several encodings. Pack the body once"):
        unpack(RAW, encoding, limit=MIB)


@pytest.mark.parametrize("encoding", ["compress", "lzma", "aws-chunked", "gzip;q=1", "x" * 1_000])
def test_an_unknown_encoding_is_refused_without_being_repeated(encoding: str) -> None:
    with pytest.raises(BadBody, match="not known") as caught:
        unpack(RAW, encoding, limit=MIB)
    assert encoding not in caught.value.reason


def test_the_name_in_a_header_is_one_the_spool_knows() -> None:
    assert [encodings.name(header) for header in ("", " Identity", "X-GZIP", "deflate", "BR", "zstd ")] == [
        "identity",
        "identity",
        "gzip",
        "deflate",
        "br",
        "zstd",
    ]


def test_data_that_looks_like_the_frame_of_zlib_is_taken_for_data() -> None:
    stored_block, end = b"\x78\x01\x00\xfe\xffA", b"\x03\x00"  # 0x7801 is also how zlib's own frames begin
    assert unpack(stored_block + end, "deflate", limit=MIB) == b"A"


def bomb(encoding: str, *, size: int) -> bytes:
    zeros, times = bytes(MIB), size // MIB
    if encoding == "br":
        brotli_packer = brotli.Compressor(quality=1)
        return b"".join([*(brotli_packer.process(zeros) for _ in range(times)), brotli_packer.finish()])
    if encoding == "zstd":
        zstd_packer = zstandard.ZstdCompressor(level=3).compressobj()
        return b"".join([*(zstd_packer.compress(zeros) for _ in range(times)), zstd_packer.flush()])
    packer = zlib.compressobj(9, wbits=31 if encoding == "gzip" else -15)
    return b"".join([*(packer.compress(zeros) for _ in range(times)), packer.flush()])


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_ends_at_its_limit_in_constant_memory(encoding: str) -> None:
    body = bomb(encoding, size=400 * MIB)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    sizes: list[int] = []

    with pytest.raises(TooLarge):
        sizes.extend(len(piece) for piece in chunks(body, encoding, limit=limits.RAW_BYTES))

    assert time.process_time() - begun < 5
    assert max(sizes) <= 8 * MIB
    assert sum(sizes) <= limits.RAW_BYTES
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024  # KiB


def test_the_densest_zstd_there_is_stays_in_bounded_memory() -> None:
    """A frame of blocks of one repeated byte, four bytes each: no packer writes it, a hostile hand does."""
    blocks = 200_000
    one = (131_072 << 3 | 1 << 1).to_bytes(3, "little") + b"A"
    body = b"\x28\xb5\x2f\xfd\x00\x58" + one * blocks + (131_072 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"A"
    begun = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            sum(len(piece) for piece in chunks(body, "zstd", limit=limits.RAW_BYTES))
        assert tracemalloc.get_traced_memory()[1] < 32 * MIB
    finally:
        tracemalloc.stop()
    assert time.process_time() - begun < 1


def test_a_size_that_zstd_declares_is_checked_before_memory_is_taken_for_it() -> None:
    body = pack(bytes(50 * MIB))
    with pytest.raises(TooLarge):
        unpack(body, "zstd", limit=MIB)


def test_a_zstd_window_that_wants_much_memory_is_refused() -> None:
    params = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    packer = zstandard.ZstdCompressor(compression_params=params).compressobj()
    body = packer.compress(RAW) + packer.flush()

    with pytest.raises(BadBody, match="window"):
        unpack(body, "zstd", limit=MIB)


@pytest.mark.parametrize(("encoding", "part"), [("gzip", gzip.compress(b"")), ("zstd", zstd_of_unknown_size(b""))])
def test_a_million_empty_parts_are_refused_before_they_cost_seconds(encoding: str, part: bytes) -> None:
    body = part * (limits.PACKED_BYTES // len(part))
    begun = time.process_time()

    with pytest.raises(BadBody, match="parts"):
        unpack(body, encoding, limit=MIB)

    assert time.process_time() - begun < 1


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_twenty_megabytes_that_do_not_pack_are_unpacked_in_seconds(encoding: str) -> None:
    raw = os.urandom(MIB) * 19
    packed = FAST[encoding](raw)
    begun = time.process_time()

    assert sum(len(piece) for piece in chunks(packed, encoding, limit=limits.RAW_BYTES)) == len(raw)

    assert time.process_time() - begun < 5


@given(st.sampled_from(["gzip", "deflate", "br", "zstd"]), st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_refusal(encoding: str, body: bytes) -> None:
    try:
        unpack(body, encoding, limit=MIB)
    except (BadBody, TooLarge):
        pass


@given(st.sampled_from(sorted(STREAMED)), st.data())
def test_a_flipped_byte_raises_nothing_but_a_refusal(way: str, data: st.DataObject) -> None:
    encoding, packed = STREAMED[way]
    body = bytearray(packed(RAW[:2_000]))
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        unpack(bytes(body), encoding, limit=MIB)
    except (BadBody, TooLarge):
        pass


def test_pack_is_what_unpack_takes() -> None:
    assert unpack(pack(RAW), "zstd", limit=MIB) == RAW
    assert unpack(pack(b""), "zstd", limit=MIB) == b""
