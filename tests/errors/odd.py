"""Odd reports: one of each kind that has taken its neighbours down somewhere. Pure; `KINDS` names them all.

Each is an envelope as bytes, with what must become of it: its events are stored (mended, with a note), or it is kept
as undigestible with a reason, or it is refused before it is taken.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID, uuid4, uuid5

Event = dict[str, object]


@dataclass(frozen=True)
class OddReport:
    """`stored`: the ids its events must be found under. None of them and not refused: undigestible, with a reason."""

    kind: str
    event_id: UUID  # as answered
    body: bytes = field(repr=False)
    stored: tuple[UUID, ...] = ()
    refused: bool = False

    @property
    def undigestible(self) -> bool:
        return not self.stored and not self.refused


def good(event_id: UUID, /, **more: object) -> Event:
    """An ordinary event."""
    frames = [
        {"filename": "shop/views.py", "module": "shop.views", "function": "checkout", "lineno": 10, "in_app": True},
        {"filename": "shop/payment.py", "module": "shop.payment", "function": "pay", "lineno": 42, "in_app": True},
    ]
    thrown = {"type": "PaymentError", "value": "card was refused", "stacktrace": {"frames": frames}}
    return {
        "event_id": event_id.hex,
        "timestamp": "2027-01-13T12:30:00Z",
        "platform": "python",
        "level": "error",
        "release": "shop@2.4.1",
        "tags": {"area": "payment"},
        "exception": {"values": [thrown]},
        **more,
    }


def rich(event_id: UUID) -> Event:
    """An event with every part that the digest looks at."""
    return good(
        event_id,
        environment="production",
        server_name="web-1",
        transaction="/checkout",
        logger="shop",
        message="plain",
        logentry={"message": "order %s of %(name)s", "params": ["7"], "formatted": "order 7"},
        fingerprint=["{{ default }}", "checkout"],
        user={"id": "7", "email": "ada@shop.example", "ip_address": "192.0.2.7", "data": {"plan": "free"}},
        request={
            "url": "https://shop.example/pay?card=4111111111111111",
            "headers": [["Authorization", "Bearer abc"]],
            "cookies": {"session": "x"},
            "query_string": "a=1&token=2",
            "data": {"password": "p"},
            "env": {"REMOTE_ADDR": "192.0.2.7"},
        },
        breadcrumbs={"values": [{"timestamp": 1.8e9, "category": "query", "message": "SELECT 1", "data": {"n": 1}}]},
        contexts={"runtime": {"name": "CPython", "version": "3.11"}, "trace": {"trace_id": "a" * 32}},
        extra={"order": {"lines": [1, 2, {"sku": "A-1"}]}},
        sdk={"name": "sentry.python", "version": "2.0.0", "integrations": ["django"]},
        modules={"django": "5.2"},
        threads={"values": [{"id": 1, "crashed": True, "stacktrace": {"frames": [{"function": "run"}]}}]},
        debug_meta={"images": []},
        dist="7",
    )


def item(payload: bytes, *, kind: str = "event") -> bytes:
    return json.dumps({"type": kind, "length": len(payload)}).encode() + b"\n" + payload + b"\n"


def envelope(event_id: UUID, *payloads: bytes) -> bytes:
    """An envelope of event items with these payloads."""
    return b'{"event_id":"%s"}\n' % event_id.hex.encode() + b"".join(item(payload) for payload in payloads)


def good_envelope(event_id: UUID, **more: object) -> bytes:
    return envelope(event_id, dumped(good(event_id, **more)))


def dumped(event: object) -> bytes:
    return json.dumps(event).encode()


def _nested(depth: int) -> object:
    made: object = "deep"
    for _ in range(depth):
        made = {"a": [made]}
    return made


def _everywhere(value: object, addition: str) -> object:
    """The value with the addition to every text in it."""
    if isinstance(value, dict):
        return {key: _everywhere(found, addition) for key, found in value.items()}
    if isinstance(value, list):
        return [_everywhere(found, addition) for found in value]
    return value + addition if isinstance(value, str) else value


def _with_in_every_text(addition: str) -> Callable[[UUID], bytes]:
    return lambda event_id: dumped(_everywhere(rich(event_id), addition))


_THROWN: Event = {"type": "PaymentError", "value": "card was refused"}


def _with(**more: object) -> Callable[[UUID], bytes]:
    return lambda event_id: dumped(good(event_id, **more))


def _replaced(old: bytes, new: bytes) -> Callable[[UUID], bytes]:
    """The JSON of an ordinary event with some bytes replaced by what json.dumps would not write."""

    def made(event_id: UUID) -> bytes:
        plain = dumped(good(event_id))
        assert old in plain
        return plain.replace(old, new)

    return made


# Events that must be stored whatever is odd about them: the payload of each.
MENDED: dict[str, Callable[[UUID], bytes]] = {
    "a NUL in a tag": _with(tags={"area": "pay\x00ment", "na\x00me": "x"}),
    "a NUL in the message": _with(message="broken\x00here", exception={"values": [{**_THROWN, "value": "a\x00b"}]}),
    "a NUL in every text": _with(
        release="1\x00", environment="pro\x00d", platform="py\x00", transaction="\x00", server_name="\x00h", dist="\x00"
    ),
    "a release of 300 characters": _with(release="shop@" + "1" * 300),
    "an environment of 300 characters": _with(environment="production" * 30),
    "parameters that do not fit their message": _with(
        logentry={"message": "%s and %s and %(name)d %", "params": ["one"]}, exception=None
    ),
    "parameters for a message without places": _with(logentry={"message": "plain", "params": {"a": 1}}, exception=None),
    "half a surrogate pair": _with(message="cut \ud83d", tags={"area": "\udc00"}, user={"id": "\ud83d"}),
    "half a surrogate pair in every text": _with_in_every_text("\ud800"),
    "half a surrogate pair in keys": _with(
        **{
            name: {"\ud83d": "x", "a": {"\udfff": 1}}
            for name in ("extra", "tags", "modules", "contexts", "user", "sdk")
        }
    ),
    "a NUL in every text and control characters": _with_in_every_text("\x00\x1b[31m\x7f"),
    "bytes that are not UTF-8": _replaced(b"card was refused", b"card \xff\xfe was refused"),
    "NaN and infinity": _replaced(b'"level"', b'"extra": {"a": NaN, "b": Infinity, "c": -Infinity}, "level"'),
    "a number too large for a float": _replaced(b'"level"', b'"extra": {"a": 1e400, "b": -1e999}, "level"'),
    "a number of five thousand digits": _replaced(b'"level"', b'"extra": {"a": %s}, "level"' % (b"9" * 5_000)),
    "numbers beyond 64 bits": _with(extra={"a": 2**64, "b": -(2**70)}, timestamp=2**70),
    "nesting of a hundred": _with(extra={"a": _nested(50)}, contexts={"a": _nested(50)}),
    "the same key twice": _replaced(b'"level"', b'"level": ["x"], "level"'),
    "five thousand tags": _with(tags={f"key{n}": f"value {n}" for n in range(5_000)}),
    "tags as pairs": _with(tags=[["area", "payment"], ["odd"], None, "x", [1, 2], ["a", None]]),
    "tags as rubbish": _with(tags="area=payment"),
    "tags with values of every type": _with(tags={"a": 1, "b": None, "c": [1], "d": {"e": 1}, "f": True, "": "x"}),
    "a tag of ten thousand characters": _with(tags={"area": "x" * 10_000, "k" * 10_000: "y"}),
    "a time of rubbish": _with(timestamp="yesterday, about noon"),
    "a time in the year 9999": _with(timestamp="9999-12-31T23:59:59Z"),
    "a time before there were computers": _with(timestamp=-1e10),
    "a time of the wrong type": _with(timestamp={"at": 1}),
    "an exception that is a text": _with(exception="ValueError: x"),
    "an exception that is a list": _with(exception=[_THROWN, None, "x", 7, [_THROWN]]),
    "an exception that is an object": _with(exception=_THROWN),
    "an exception of nothing": _with(exception={"values": [None, {}, {"type": None, "value": None}]}),
    "an exception whose value is an object": _with(exception={"values": [{"type": {"a": 1}, "value": {"code": 7}}]}),
    "frames of rubbish": _with(
        exception={"values": [{**_THROWN, "stacktrace": {"frames": [None, "x", 1, [], {"function": {}}]}}]}
    ),
    "frames that are an object": _with(exception={"values": [{**_THROWN, "stacktrace": {"frames": {"0": {}}}}]}),
    "a stack trace that is a text": _with(exception={"values": [{**_THROWN, "stacktrace": "at line 1"}]}),
    "two thousand frames": _with(
        exception={"values": [{**_THROWN, "stacktrace": {"frames": [{"function": "again", "lineno": 1}] * 2_000}}]}
    ),
    "line numbers of rubbish": _with(
        exception={
            "values": [
                {**_THROWN, "stacktrace": {"frames": [{"function": "f", "lineno": line} for line in ("x", -1, 2**70)]}}
            ]
        }
    ),
    "a fingerprint of rubbish": _with(fingerprint={"a": [1]}),
    "a fingerprint of many types": _with(fingerprint=["{{ default }}", 1, None, ["x"], {"a": 1}, "\x00", "\ud83d"]),
    "an empty fingerprint": _with(fingerprint=[]),
    "a user of rubbish": _with(user=["ada"]),
    "a user whose fields are objects": _with(user={"id": {"a": 1}, "email": ["x"], "ip_address": 7, "data": None}),
    "a request of rubbish": _with(request="GET /"),
    "a request whose fields are of other types": _with(
        request={"url": 1, "headers": "x", "cookies": [["a"]], "env": None, "query_string": {"a": [1]}, "data": 7}
    ),
    "breadcrumbs of rubbish": _with(breadcrumbs={"values": [None, "x", 1, {"data": "x", "timestamp": []}]}),
    "a level nobody knows": _with(level="catastrophe"),
    "a level of another type": _with(level=["error"]),
    "a platform of another type": _with(platform=["python"]),
    "a release of another type": _with(release=241),
    "contexts, extra and sdk of other types": _with(contexts=[1], extra="x", sdk="python", modules=[1]),
    "threads of rubbish": _with(threads={"values": [None, {"stacktrace": []}]}, debug_meta=7, spans="x"),
    "nothing but an id": lambda event_id: dumped({"event_id": event_id.hex}),
    "an object without anything": lambda event_id: b"{}",
    "an id inside that is not that of the envelope": lambda event_id: dumped(good(uuid5(event_id, "another"))),
    "an id inside that is no id": lambda event_id: dumped(good(event_id, event_id="not an id")),
    "text that would be a script": _with(message="<script>alert(1)</script>", tags={"a": "javascript:alert(1)"}),
    "text that would be SQL": _with(message="'; DROP TABLE errors_event; --\\", release="\\N"),
}

# Payloads nobody can make an event of.
HOPELESS: dict[str, Callable[[UUID], bytes]] = {
    "JSON that was cut off": lambda event_id: dumped(good(event_id))[:-20],
    "a list as payload": lambda event_id: dumped([good(event_id)]),
    "a text as payload": lambda event_id: dumped("event"),
    "a number as payload": lambda event_id: b"7",
    "null as payload": lambda event_id: b"null",
    "an empty payload": lambda event_id: b"",
    "bytes of rubbish": lambda event_id: bytes(range(256)),
    "nesting of fifty thousand": lambda event_id: b'{"extra":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "two objects one after another": lambda event_id: dumped(good(event_id)) * 2,
}


def _two_events(event_id: UUID) -> bytes:
    return envelope(event_id, dumped(good(event_id)), dumped(good(uuid5(event_id, "second"))))


def _without_length(event_id: UUID) -> bytes:
    return b'{"event_id":"%s"}\n{"type":"event"}\n' % event_id.hex.encode() + dumped(good(event_id))


def _lines_of_windows(event_id: UUID) -> bytes:
    return good_envelope(event_id).replace(b"\n", b"\r\n")


# Envelopes whose first event is stored under the id of the envelope.
ENVELOPES: dict[str, Callable[[UUID], bytes]] = {
    "two events in one envelope": _two_events,
    "two events of which one is a list": lambda event_id: envelope(event_id, dumped(good(event_id)), b"[]"),
    "an event without a length and a last newline": _without_length,
    "lines that end the way of Windows": _lines_of_windows,
}

# Bytes that are no envelope: refused, so that the sender hears of it.
REFUSED: dict[str, Callable[[UUID], bytes]] = {
    "a length beyond the end": lambda event_id: good_envelope(event_id).replace(b'"length": ', b'"length": 9'),
    "a length short of the end": lambda event_id: good_envelope(event_id).rstrip(b"\n") + b" and more",
    "a first line that is no object": lambda event_id: b"hello\n" + good_envelope(event_id),
    "nothing at all": lambda event_id: b"",
}

KINDS = (*MENDED, *HOPELESS, *ENVELOPES, *REFUSED)


def report(kind: str) -> OddReport:
    """The odd report of this kind, with a new id."""
    event_id = uuid4()
    if kind in MENDED:
        return OddReport(kind, event_id, envelope(event_id, MENDED[kind](event_id)), (event_id,))
    if kind in HOPELESS:
        return OddReport(kind, event_id, envelope(event_id, HOPELESS[kind](event_id)))
    if kind in REFUSED:
        return OddReport(kind, event_id, REFUSED[kind](event_id), refused=True)
    stored = (event_id, uuid5(event_id, "second")) if kind == "two events in one envelope" else (event_id,)
    return OddReport(kind, event_id, ENVELOPES[kind](event_id), stored)


def reports() -> list[OddReport]:
    """One odd report of every kind."""
    return [report(kind) for kind in KINDS]
