"""Envelopes as the protocol allows them, as SDKs write them, and as accidents and hostile hands make them."""

import json
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors.protocol import limits
from errors.protocol.encodings import chunks, pack
from errors.protocol.envelope import KEPT_TYPES, BadEnvelope, Envelope, category, head, read, read_stream, reduce

ID = "9ec79c33ec9942ab8353589fcb2e04dc"
HEAD = b'{"event_id":"%s"}\n' % ID.encode()


def in_pieces(raw: bytes, size: int) -> Iterator[bytes]:
    return (raw[start : start + size] for start in range(0, len(raw), size))


def parse(raw: bytes) -> Envelope:
    """The envelope, read in one piece and in pieces of several sizes, which must agree."""
    found = read(raw)
    for size in (1, 2, 7, 64, 10_000):
        assert read_stream(in_pieces(raw, size)) == found
    return found


def refused(raw: bytes) -> str:
    """The reason for which both ways of reading refuse the bytes."""
    with pytest.raises(BadEnvelope) as whole:
        read(raw)
    for size in (1, 7, 10_000):
        with pytest.raises(BadEnvelope) as streamed:
            read_stream(in_pieces(raw, size))
        assert streamed.value.reason == whole.value.reason
    return whole.value.reason


def shown(envelope: Envelope) -> list[tuple[str, bytes]]:
    return [(item.type, item.payload) for item in envelope.items]


def item(kind: str, payload: bytes, **headers: object) -> bytes:
    return json.dumps({"type": kind, "length": len(payload), **headers}).encode() + b"\n" + payload + b"\n"


EVENT = b'{"message":"hello world","level":"error"}'
TWO_ITEMS = (
    HEAD
    + b'{"type":"attachment","length":10,"content_type":"text/plain","filename":"hello.txt"}\n'
    + b"\xef\xbb\xbfHello\r\n\n"
    + b'{"type":"event","length":41,"content_type":"application/json"}\n'
    + EVENT
    + b"\n"
)


@pytest.mark.parametrize("raw", [TWO_ITEMS, TWO_ITEMS[:-1]], ids=["last newline", "no last newline"])
def test_two_items_of_known_length_one_with_newlines_inside(raw: bytes) -> None:
    found = parse(raw)
    assert found.headers == {"event_id": ID}
    assert shown(found) == [("attachment", b"\xef\xbb\xbfHello\r\n"), ("event", EVENT)]
    assert found.items[0].headers["filename"] == "hello.txt"
    assert [one.size for one in found.items] == [10, 41]


@pytest.mark.parametrize("end", [b"\n\n", b"\n"], ids=["last newline", "no last newline"])
def test_two_empty_attachments(end: bytes) -> None:
    raw = HEAD + b'{"type":"attachment","length":0}\n\n{"type":"attachment","length":0}' + end
    assert shown(parse(raw)) == [("attachment", b""), ("attachment", b"")]


@pytest.mark.parametrize("end", [b"\n", b""], ids=["newline", "end"])
def test_an_item_without_a_length_goes_to_the_next_newline_or_the_end(end: bytes) -> None:
    assert shown(parse(b'{}\n{"type":"session"}\n{"init":true}' + end)) == [("session", b'{"init":true}')]
    assert shown(parse(b'{}\n{"type":"session","length":null}\n{}' + end)) == [("session", b"{}")]


@pytest.mark.parametrize("raw", [HEAD, HEAD[:-1], HEAD + b"\n", HEAD + b"\r\n\n"])
def test_an_envelope_may_be_empty(raw: bytes) -> None:
    assert parse(raw) == Envelope({"event_id": ID}, [])


def test_lines_that_end_the_way_of_windows_are_read() -> None:
    raw = HEAD[:-1] + b'\r\n{"type":"event","length":41}\r\n' + EVENT + b'\r\n{"type":"session"}\r\n{"init":true}\r\n'
    assert shown(parse(raw)) == [("event", EVENT), ("session", b'{"init":true}\r')]


def test_empty_lines_between_items_are_passed_over() -> None:
    raw = HEAD + b"\n" + item("event", EVENT) + b"\n\r\n\n" + item("session", b"{}") + b"\n\n"
    assert shown(parse(raw)) == [("event", EVENT), ("session", b"{}")]


def test_several_events_in_one_envelope_are_all_kept() -> None:
    raw = HEAD + item("event", b'{"message":"one"}') + item("event", b'{"message":"two"}')
    assert shown(parse(raw)) == [("event", b'{"message":"one"}'), ("event", b'{"message":"two"}')]


def test_the_head_is_the_first_line_only() -> None:
    assert head(b'{"dsn":"https://a@b/1"}\nanything at all') == {"dsn": "https://a@b/1"}
    assert head(b"{}") == {}


@pytest.mark.parametrize(
    "first", [b"", b"\n", b"[]", b"null", b'"text"', b"{", b"\x00", b"\xff\xfe", b"hello", b"{}{}"]
)
def test_a_first_line_that_is_no_object_is_refused(first: bytes) -> None:
    assert refused(first + b"\n" + item("event", EVENT)) == "The envelope's first line is not a JSON object."
    with pytest.raises(BadEnvelope):
        head(first)


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        (b'{"type":"event","length":42}\n' + EVENT, "Item 1 ends before the 42 bytes of its length."),
        (b'{"type":"event","length":1}', "Item 1 ends before the 1 bytes of its length."),
        (item("session", b"{}") + b'{"type":"event","length":9}\n' + EVENT, "Item 2 goes on after the 9 bytes of its"),
        (b'{"type":"event","length":-1}\n' + EVENT, "The length of item 1 is not a whole number from 0."),
        (b'{"type":"event","length":"41"}\n' + EVENT, "The length of item 1 is not a whole number from 0."),
        (b'{"type":"event","length":true}\n' + EVENT, "The length of item 1 is not a whole number from 0."),
        (b'{"type":"event","length":41.0}\n' + EVENT, "The length of item 1 is not a whole number from 0."),
        (b'{"type":"event","length":%s}\n' % (b"9" * 30) + EVENT, "The length of item 1 is not a whole number from 0."),
        (b"not json\n" + EVENT, "The header of item 1 is not a JSON object."),
        (item("event", EVENT) + b"[1]\n", "The header of item 2 is not a JSON object."),
        (b"[" * 10_000 + b"\n", "The header of item 1 is not a JSON object."),
        (b'{"a":' * 2_000 + b"1" + b"}" * 2_000 + b"\n", "The header of item 1 is not a JSON object."),
        (b'{"a":' * 500 + b"1" + b"}" * 500 + b"\n", "The header of item 1 is not a JSON object."),
        (b'{"type":"' + b"x" * limits.ITEM_HEADER_BYTES + b'"}\n', "The header of item 1 is longer than 16,384 bytes."),
    ],
)
def test_a_broken_item_is_refused_and_named(items: bytes, reason: str) -> None:
    assert refused(HEAD + items).startswith(reason)


def test_a_giant_first_line_is_refused_without_holding_it() -> None:
    raw = b'{"a":"' + b"x" * limits.HEADER_BYTES + b'"}\n'
    assert refused(raw) == "The envelope's first line is longer than 65,536 bytes."
    with pytest.raises(BadEnvelope, match="longer than"):
        head(raw)


def test_a_reason_never_quotes_what_was_sent() -> None:
    assert "secret" not in refused(HEAD + b'{"type":"event","length":"secret"}\n')
    assert "secret" not in refused(b'{"dsn": secret}\n')


@pytest.mark.parametrize(
    ("value", "read_as"),
    [
        (rb'"\ud83d"', "?"),
        (b"NaN", None),
        (b"-1e400", None),
        (b"9" * 5_000, None),
        (b'"\xff"', "�"),
        (rb'"\u0000"', "\x00"),
    ],
)
def test_an_odd_value_in_a_header_costs_the_value_not_the_envelope(value: bytes, read_as: object) -> None:
    raw = b'{"trace":{"transaction":' + value + b"}}\n" + item("event", EVENT)
    found = parse(raw)
    assert found.headers == {"trace": {"transaction": read_as}}
    assert shown(found) == [("event", EVENT)]


def test_what_is_not_kept_is_dropped_with_its_outcome() -> None:
    raw = HEAD + b"".join(
        [
            item("event", EVENT),
            item("transaction", b'{"spans":[]}'),
            item("replay_recording", b"\n\x00\xff\n"),
            item("from_the_future", b"{}"),
            b'{"length":2}\n{}\n',
            b'{"type":7}\nanything\n',
            item("client_report", b"x" * (limits.ITEM_BYTES["client_report"] + 1)),
            item("session", b"{}"),
        ]
    )
    found = parse(raw)
    assert [(one.type, one.dropped) for one in found.items] == [
        ("event", ""),
        ("transaction", "sampled_out"),
        ("replay_recording", "sampled_out"),
        ("from_the_future", "unknown_item"),
        ("", "unknown_item"),
        ("", "unknown_item"),
        ("client_report", "too_large"),
        ("session", ""),
    ]
    assert [one.size for one in found.items] == [41, 12, 4, 2, 2, 8, 4097, 2]
    assert all(one.payload == b"" for one in found.items if one.dropped)


@pytest.mark.parametrize("kind", sorted(KEPT_TYPES))
def test_an_item_may_be_as_large_as_its_limit_and_no_larger(kind: str) -> None:
    most = limits.ITEM_BYTES[kind]
    found = read(HEAD + item(kind, b"x" * most) + item(kind, b"x" * (most + 1)))
    assert [one.dropped for one in found.items] == ["", "too_large"]
    unmeasured = HEAD + b'{"type":"%s"}\n' % kind.encode()
    assert read(unmeasured + b"x" * most).items[0].dropped == ""
    assert read(unmeasured + b"x" * (most + 1)).items[0].dropped == "too_large"
    assert read_stream(in_pieces(unmeasured + b"x" * (most + 1), 1 << 16)).items[0].dropped == "too_large"


def test_eleven_attachments_are_ten_and_one_that_is_counted() -> None:
    found = parse(HEAD + item("attachment", b"file") * 11 + item("event", EVENT))
    assert [one.dropped for one in found.items] == [""] * 10 + ["too_large", ""]


def test_more_than_a_hundred_of_a_kind_are_counted_but_not_kept_and_hide_no_event() -> None:
    found = parse(HEAD + item("session", b"{}") * 150 + item("event", EVENT))
    assert [one.dropped for one in found.items].count("too_large") == 50
    assert shown(found)[-1] == ("event", EVENT)


def test_payloads_together_are_bounded() -> None:
    big = item("event", b"x" * limits.EVENT_BYTES)
    found = read(HEAD + big * 20)
    assert [one.dropped for one in found.items] == [""] * 16 + ["too_large"] * 4
    assert read_stream([HEAD, *[big] * 20]) == found


def test_an_envelope_of_a_thousand_and_one_items_is_refused() -> None:
    assert len(read(HEAD + b"{}\n\n" * limits.ITEMS).items) == limits.ITEMS
    assert "more than 1,000 items" in refused(HEAD + b"{}\n{}\n" * (limits.ITEMS + 1))


def test_nothing_dropped_is_nothing_to_reduce() -> None:
    assert reduce(read(TWO_ITEMS)) is None
    assert reduce(read(HEAD)) is None


def test_a_reduced_envelope_says_what_was_dropped_and_keeps_the_rest_to_the_byte() -> None:
    found = read(
        HEAD
        + b'{"type":"transaction"}\n{"spans":[]}\n'
        + b'{"type":"attachment","filename":"a.bin","length":5}\na\nb\r\n\n'
        + b'{"type":"event","extra":"kept"}\n{"message":"\xff"}\r\n'
        + item("x" * 100, b"?")
    )
    reduced = reduce(found)
    assert reduced is not None
    again = parse(reduced)
    assert again.headers == found.headers
    assert [(one.type, one.payload, one.dropped) for one in again.items] == [
        ("transaction", b"", "sampled_out"),
        ("attachment", b"a\nb\r\n", ""),
        ("event", b'{"message":"\xff"}\r', ""),
        ("x" * 64, b"", "unknown_item"),
    ]
    assert again.items[1].headers["filename"] == "a.bin"
    assert again.items[2].headers["extra"] == "kept"
    assert reduce(again) == reduced


@pytest.mark.parametrize("mark", ["too_large", "accepted", "", 5, None, ["too_large"]])
def test_a_sender_cannot_mark_an_event_as_dropped(mark: object) -> None:
    found = parse(HEAD + item("event", EVENT, sysops_dropped=mark))
    assert [(one.payload, one.dropped) for one in found.items] == [(EVENT, "")]
    marked_empty = parse(HEAD + item("event", b"", sysops_dropped=mark))
    assert marked_empty.items[0].dropped == ("too_large" if mark == "too_large" else "")


def test_categories_are_those_that_sdks_name_in_rate_limits() -> None:
    named = {kind: category(kind) for kind in ("event", "transaction", "session", "check_in", "log", "never_heard_of")}
    assert named == {
        "event": "error",
        "transaction": "transaction",
        "session": "session",
        "check_in": "monitor",
        "log": "log_item",
        "never_heard_of": "unknown",
    }


def test_a_hundred_megabytes_are_read_in_the_memory_of_what_is_kept() -> None:
    parts = [HEAD, item("event", EVENT), b'{"type":"attachment","length":%d}\n' % (99 << 20)]
    body = pack(b"".join(parts) + bytes(99 << 20) + b"\n" + item("session", b"{}"))
    begun = time.process_time()
    tracemalloc.start()
    try:
        found = read_stream(chunks(body, "zstd", limit=limits.RAW_BYTES))
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert [(one.type, one.size, one.dropped) for one in found.items] == [
        ("event", 41, ""),
        ("attachment", 99 << 20, "too_large"),
        ("session", 2, ""),
    ]
    assert time.process_time() - begun < 2


def test_an_endless_item_without_a_length_is_passed_over_in_constant_memory() -> None:
    pieces = [HEAD, b'{"type":"event"}\n', *[b"x" * (1 << 18)] * 200, b"\n", item("session", b"{}")]
    tracemalloc.start()
    try:
        found = read_stream(pieces)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert [(one.type, one.size, one.dropped) for one in found.items] == [
        ("event", 200 << 18, "too_large"),
        ("session", 2, ""),
    ]


def test_a_report_of_usual_size_is_read_for_much_less_than_its_event_would_be() -> None:
    event = json.dumps({"frames": [{"line": number} for number in range(1_500)]}).encode()
    raw = HEAD + item("event", event)
    assert 20_000 < len(raw) < 25_000

    def quickest(work: Callable[[], object]) -> float:
        def once() -> float:
            begun = time.thread_time()
            for _ in range(50):
                work()
            return time.thread_time() - begun

        return min(once() for _ in range(10))

    assert quickest(lambda: read(raw)) < quickest(lambda: json.loads(event)) / 5


def outcome_of(reading: Callable[[], Envelope]) -> Envelope | str:
    """What was read, or the reason why not."""
    try:
        return reading()
    except BadEnvelope as exc:
        return exc.reason


LINES = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [
            b"",
            b"\r",
            b"{}",
            b'{"type":"event"}',
            b'{"type":"event","length":2}',
            b'{"type":"event","length":3}',
            b'{"type":"attachment","length":0}',
            b'{"type":"transaction","length":5}',
            b'{"length":1}',
            b"[]",
            EVENT,
        ]
    ),
)


@given(st.lists(LINES, max_size=12), st.booleans(), st.integers(1, 50))
def test_any_lines_read_the_same_whole_and_in_pieces_or_are_refused_alike(
    lines: list[bytes], headed: bool, size: int
) -> None:
    raw = (HEAD if headed else b"") + b"\n".join(lines)
    found = outcome_of(lambda: read(raw))
    assert outcome_of(lambda: read_stream(in_pieces(raw, size))) == found
    reduced = reduce(found) if isinstance(found, Envelope) else None
    if isinstance(found, Envelope) and reduced is not None:
        kept = [(one.type, one.payload, one.dropped) for one in found.items]
        assert [(one.type, one.payload, one.dropped) for one in read(reduced).items] == kept


@given(st.data())
def test_a_flipped_byte_in_an_envelope_raises_nothing_but_a_refusal(data: st.DataObject) -> None:
    raw = bytearray(TWO_ITEMS)
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    assert outcome_of(lambda: read(bytes(raw))) == outcome_of(lambda: read_stream(in_pieces(bytes(raw), 9)))
