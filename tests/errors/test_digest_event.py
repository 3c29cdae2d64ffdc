"""What becomes of events as SDKs, old SDKs and broken SDKs write them."""

import math
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors.digest import bounds
from errors.digest.event import Odd, Settings, all_from_security, digest, from_plain, from_security, load
from errors.growth import DigestedEvent

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PROJECT = Settings(project_id=1, scrub_fields=frozenset(), scrub_personal_data=True, account_salt=b"salt")


def digested(tree: object, **changes: object) -> DigestedEvent:
    body = tree if isinstance(tree, bytes) else orjson.dumps(tree)
    return digest(body, event_id=None, received_at=AT, remote=str(changes.get("remote", "192.0.2.1")), project=PROJECT)


def stored(tree: object) -> dict[str, object]:
    return load(digested(tree).payload)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [
    "event_id", "timestamp", "level", "platform", "logger", "transaction", "server_name", "release", "dist",
    "environment", "message", "logentry", "exception", "stacktrace", "threads", "breadcrumbs", "user", "request",
    "contexts", "tags", "extra", "modules", "sdk", "debug_meta", "fingerprint", "culprit",
    "sentry.interfaces.Exception", "security", "stack_trace",
]  # fmt: skip
frames = st.dictionaries(
    st.sampled_from(["function", "module", "filename", "lineno", "in_app", "vars", "pre_context", "context_line"]),
    anything,
)
exceptions = st.fixed_dictionaries(
    {},
    optional={
        "type": anything,
        "value": anything,
        "mechanism": anything,
        "stacktrace": anything | st.fixed_dictionaries({"frames": st.lists(frames | anything, max_size=3)}),
    },
)
events = st.dictionaries(st.sampled_from(FIELDS), anything, max_size=8) | st.fixed_dictionaries(
    {"exception": st.fixed_dictionaries({"values": st.lists(exceptions | anything, max_size=3)}) | st.lists(exceptions)}
)


@given(events)
@settings(max_examples=600, deadline=None)
def test_any_object_becomes_an_event_within_bounds_and_the_same_one_twice(tree: dict[str, object]) -> None:
    event, again = digested(tree), digested(tree)

    assert event == again
    assert len(event.grouping_hash) == 16
    for text, longest in [
        (event.error_type, bounds.ERROR_TYPE), (event.error_message, bounds.ERROR_MESSAGE),
        (event.culprit, bounds.CULPRIT), (event.grouping_label, bounds.LABEL), (event.release, bounds.RELEASE),
        (event.environment, bounds.ENVIRONMENT), (event.platform, bounds.PLATFORM), (event.level, bounds.LEVEL),
    ]:  # fmt: skip
        assert len(text) <= longest
        assert "\0" not in text
    assert event.error_type
    assert len(event.tags) <= bounds.TAGS
    assert all(0 < len(key) <= bounds.TAG_KEY and 0 < len(value) <= bounds.TAG_VALUE for key, value in event.tags)
    assert all("\0" not in key + value for key, value in event.tags)
    assert event.account is None or -(2**63) <= event.account < 2**63
    assert isinstance(load(event.payload), dict)


@given(st.binary(max_size=200) | anything.map(orjson.dumps))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_are_an_event_or_odd_for_a_reason(body: bytes) -> None:
    for make in (digest, from_security, from_plain):
        try:
            make(body, event_id=None, received_at=AT, remote="", project=PROJECT)
        except Odd:
            continue


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"{", "not JSON"),
        (b"[1]", "a list"),
        (b'"x"', "a text"),
        (b"12", "a number"),
        (b"null", "null"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_event_is_odd_in_plain_words(body: bytes, reason: str) -> None:
    with pytest.raises(Odd, match=reason):
        digested(body)


def test_what_json_does_not_know_is_taken_all_the_same() -> None:
    body = (
        b'{"message": "half \\ud800 a \x01 character \xff", "extra": {"nan": NaN,'
        b' "big": 123456789012345678901234567890, "huge": 1e999, "nul\\u0000": "a\\u0000b"},'
        b' "tags": {"a\\u0000": "b\\u0000"}}'
    )

    event = digested(body)

    assert "\0" not in str(load(event.payload))
    assert event.tags == (("a�", "b�"),)
    assert load(event.payload)["extra"] == {
        "nan": "NaN",
        "big": "123456789012345678901234567890",
        "huge": "1e999",
        "nul�": "a�b",
    }


def test_nul_in_otherwise_good_json_is_replaced() -> None:
    assert digested({"message": "a\0b", "release": "1\0"}).error_message == "a�b"
    assert stored({"extra": {"a\0": ["\0"]}})["extra"] == {"a�": ["�"]}


@pytest.mark.parametrize(
    "written",
    [
        {"values": [{"type": "ValueError", "value": "bad"}]},
        [{"type": "ValueError", "value": "bad"}],
        {"type": "ValueError", "value": "bad"},
        [None, {}, {"value": "ValueError: bad"}],
        "ValueError: bad",
    ],
)
def test_exceptions_are_read_in_every_form(written: object) -> None:
    event = digested({"exception": written})

    assert (event.error_type, event.error_message) == ("ValueError", "bad")


def test_the_outermost_exception_gives_the_title_and_the_innermost_frame_of_the_application_the_place() -> None:
    frames = [
        {"module": "shop.views", "function": "pay", "filename": "shop/views.py", "in_app": True},
        {"module": "shop.cards", "function": "charge", "filename": "shop/cards.py", "in_app": True},
        {"module": "http.client", "function": "read", "filename": "http/client.py", "in_app": False},
    ]
    event = digested(
        {
            "exception": {
                "values": [
                    {"type": "OSError", "value": "cause"},
                    {"type": "PayError", "value": "outer", "stacktrace": {"frames": frames}},
                ]
            }
        }
    )

    assert (event.error_type, event.error_message) == ("PayError", "outer")
    assert event.culprit == "shop.cards in charge"
    assert event.paths == ("shop/cards.py", "shop/views.py")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"message": "x is %s", "params": ["7"]}, "x is 7"),
        ({"message": "x is %(name)s", "params": {"name": 7}}, "x is 7"),
        ({"message": "%s and %s", "params": ["7"]}, "7 and %s"),
        ({"message": "%9999999999d", "params": [1]}, "%9999999999d"),
        ({"message": "x", "params": "rubbish"}, "x"),
        ({"formatted": "ready"}, "ready"),
        ("plain", "plain"),
        ({"message": {"a": 1}}, '{"a":1}'),
    ],
)
def test_messages_are_filled_in_and_parameters_that_do_not_fit_do_no_harm(written: object, said: str) -> None:
    assert digested({"logentry": written}).error_message == said
    assert digested({"message": written}).error_message == said


@pytest.mark.parametrize(
    "written", [{"a": "1", "b": 2}, [["a", "1"], ["b", 2]], [{"key": "a", "value": 1}, {"key": "b", "value": "2"}]]
)
def test_tags_are_read_in_every_form(written: object) -> None:
    assert digested({"tags": written}).tags == (("a", "1"), ("b", "2"))


def test_rubbish_for_tags_is_no_tag_and_a_flood_is_cut_with_a_note() -> None:
    assert digested({"tags": [1, ["a"], {"x": 1}, None, ["", "x"], ["k" * 65, "v"]]}).tags == ()
    flood = digested({"tags": {f"k{n}": "v" * 300 for n in range(1_000)}})
    assert len(flood.tags) == bounds.TAGS
    assert {len(value) for _, value in flood.tags} == {bounds.TAG_VALUE}
    assert "only the first 50 tags were kept" in str(load(flood.payload)["notes"])


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ((AT - timedelta(hours=1)).timestamp(), AT - timedelta(hours=1)),
        ((AT - timedelta(hours=1)).timestamp() * 1_000, AT - timedelta(hours=1)),
        ("2026-11-21T11:00:00Z", AT - timedelta(hours=1)),
        ("2026-11-21T12:00:00+01:00", AT - timedelta(hours=1)),
        ("2026-11-21T11:00:00", AT - timedelta(hours=1)),
        (str((AT - timedelta(hours=1)).timestamp()), AT - timedelta(hours=1)),
        ("yesterday", AT), (-1, AT), (1e300, AT), (True, AT), ({"a": 1}, AT), (None, AT),
        ((AT + timedelta(minutes=2)).timestamp(), AT),  # nothing happens after it was reported: that clock is fast
        ("2099-01-01T00:00:00Z", AT), ("1999-01-01T00:00:00Z", AT), ("nan", AT), ("9999-12-31T23:59:59-14:00", AT),
    ],
)  # fmt: skip
def test_the_time_is_the_event_s_own_unless_it_cannot_be(written: object, expected: datetime) -> None:
    assert digested({"timestamp": written}).occurred_at == expected


def test_the_id_is_the_answered_one_else_the_event_s_own_else_made_of_its_bytes() -> None:
    own, answered = UUID(int=7), UUID(int=8)
    body = orjson.dumps({"event_id": own.hex})

    assert digest(body, event_id=answered, received_at=AT, remote="", project=PROJECT).event_id == answered
    assert digested({"event_id": own.hex}).event_id == own
    assert digested({"event_id": "rubbish"}).event_id == digested({"event_id": "rubbish"}).event_id
    assert digested({"message": "a"}).event_id != digested({"message": "b"}).event_id


@pytest.mark.parametrize(
    ("written", "level"),
    [("fatal", "fatal"), ("WARN", "warning"), (40, "error"), ("log", "info"), ({}, "error"), ("x", "error")],
)
def test_levels_are_one_of_five(written: object, level: str) -> None:
    assert digested({"level": written}).level == level


def test_deep_nesting_floods_and_long_texts_are_cut_with_notes() -> None:
    deep: object = "bottom"
    for _ in range(200):
        deep = {"a": deep}
    tree = {
        "extra": {
            "deep": deep,
            "wide": {str(n): n for n in range(5_000)},
            "list": list(range(5_000)),
            "text": "x" * 100_000,
        },
        "breadcrumbs": [{"message": str(n)} for n in range(500)],
        "exception": [{"type": "E", "stacktrace": {"frames": [{"function": f"f{n}"} for n in range(2_000)]}}],
        "contexts": {"n" * 500: 1},
    }

    event = load(digested(tree).payload)

    notes = str(event["notes"])
    for said in (
        "nested deeper",
        "objects with more",
        "lists with more",
        "texts longer",
        "breadcrumbs",
        "frames",
        "names",
    ):
        assert said in notes
    assert "bottom" not in str(event)
    assert len(orjson.dumps(event)) < 100_000
    assert '{"message":"499"}' in orjson.dumps(event).decode()
    assert '"function":"f1999"' in orjson.dumps(event).decode()
    assert '"function":"f0"' in orjson.dumps(event).decode()


def test_a_flood_of_containers_stops_at_the_bound_of_the_whole_event() -> None:
    event = digested({"extra": {str(n): {str(m): {"a": m} for m in range(200)} for n in range(240)}})

    assert "values was cut" in str(load(event.payload)["notes"])


def test_accounts_are_told_apart_by_salted_numbers() -> None:
    def account(user: object, **more: object) -> int | None:
        return digested({"user": user, **more}).account

    assert account({"id": 7}) == account({"id": "7", "email": "x@example.com"})
    assert account({"id": 7}) != account({"id": 8})
    assert account({"email": "A@example.com"}) == account({"email": "a@example.com"})
    assert account({"ip_address": "{{auto}}"}) == account({"ip_address": "192.0.2.1"})
    assert account(None, platform="javascript") == account({"ip_address": "192.0.2.1"})
    assert account(None, platform="javascript", sdk={"settings": {"infer_ip": "never"}}) is None
    assert account(None) is None
    assert account([1]) is None


def test_the_request_s_cookies_keep_their_names_only() -> None:
    request = stored(
        {"request": {"cookies": [["sid", "abc"], ["theme", "dark"]], "url": "https://x.example/", "method": "GET"}}
    )

    assert request["request"] == {
        "cookies": {"sid": "[redacted]", "theme": "[redacted]"},
        "url": "https://x.example/",
        "method": "GET",
    }


def test_packages_whose_names_sound_secret_keep_their_versions() -> None:
    modules = stored({"modules": {"tokenizers": "0.22.1", "secretstorage": "3.3.3rc1", "password": "hunter2", "n": 1}})

    assert modules["modules"] == {"tokenizers": "0.22.1", "secretstorage": "3.3.3rc1", "password": "[redacted]"}


def test_a_field_of_a_form_nobody_knows_is_left_out_with_a_note() -> None:
    event = stored({"stacktrace": "at line 1", "user": [1], "message": "x"})

    assert "stacktrace was of a form that is not known and was left out" in str(event["notes"])
    assert not {"stacktrace", "user"} & set(event)


def test_characters_that_are_replaced_leave_a_note() -> None:
    assert stored({"message": "a\0"})["notes"] == ["characters that cannot be stored were replaced"]


def test_unknown_fields_are_left_out() -> None:
    assert "surprise" not in stored({"surprise": 1, "message": "x"})


def test_a_csp_report_is_an_event_grouped_by_directive_and_host() -> None:
    def report(path: str) -> bytes:
        return orjson.dumps(
            {
                "csp-report": {
                    "document-uri": "https://shop.example/cart",
                    "violated-directive": "script-src 'self'",
                    "blocked-uri": f"https://evil.example/{path}",
                }
            }
        )

    one = from_security(report("a.js"), event_id=None, received_at=AT, remote="", project=PROJECT)
    other = from_security(report("b.js"), event_id=None, received_at=AT, remote="", project=PROJECT)

    assert (one.error_type, one.error_message) == ("CSP", "Blocked script-src from evil.example")
    assert one.grouping_hash == other.grouping_hash
    assert one.event_id != other.event_id


def test_a_list_of_the_reporting_api_is_an_event_each() -> None:
    body = orjson.dumps(
        [
            {
                "type": "csp-violation",
                "age": 5_000,
                "url": "https://a.example/",
                "body": {"effectiveDirective": "img-src"},
            },
            {"type": "deprecation", "url": "https://a.example/", "body": {"id": "old", "message": "old thing"}},
            "rubbish",
        ]
    )

    events = all_from_security(body, event_id=UUID(int=5), received_at=AT, remote="", project=PROJECT)

    assert [event.error_message for event in events] == ["Blocked img-src from inline", "deprecation: old thing"]
    assert events[0].event_id == UUID(int=5)
    assert events[0].occurred_at == AT - timedelta(seconds=5)
    with pytest.raises(Odd, match="no kind"):
        from_security(b"{}", event_id=None, received_at=AT, remote="", project=PROJECT)


@pytest.mark.parametrize(
    "trace",
    [
        'Traceback:\n  File "/app/shop/jobs.py", line {n}, in nightly\n    run()\nOSError: no',
        "OSError: no\n    at Shop.nightly (/app/shop/jobs.py:{n}:5)\n    at main (/app/main.js:3:1)",
        "java.io.IOException: no\n\tat shop.Jobs.nightly(Jobs.java:{n})\n",
    ],
)
def test_a_script_s_report_is_grouped_by_the_frames_in_its_text(trace: str) -> None:
    def report(line: int) -> DigestedEvent:
        body = {"message": "no", "type": "OSError", "stack_trace": trace.format(n=line), "tags": {"job": "nightly"}}
        return from_plain(orjson.dumps(body), event_id=None, received_at=AT, remote="", project=PROJECT)

    assert report(3).grouping_hash == report(99).grouping_hash
    assert "nightly" in report(3).culprit
    assert report(3).tags == (("job", "nightly"),)
    assert load(report(3).payload)["stack_trace"] == trace.format(n=3)


def test_a_script_s_report_without_message_and_type_is_odd() -> None:
    with pytest.raises(Odd, match="neither a message nor a type"):
        from_plain(b"{}", event_id=None, received_at=AT, remote="", project=PROJECT)


def test_numbers_that_json_cannot_write_are_not_stored() -> None:
    assert stored({"extra": {"a": math.pi, "b": 2**63}})["extra"] == {"a": math.pi, "b": 2**63}


def test_fields_of_one_line_are_kept_without_the_white_space_around_them() -> None:
    made = digested(
        {
            "tags": {" area\n": "\tcard payment \r\n", "blank": " \n"},
            "release": " shop@1.2\n",
            "environment": "live\n",
            "server_name": "web-1\n",
            "transaction": "\n/cart ",
            "contexts": {"os": {"name": "Debian", "version": "12.11\n"}, "browser": {"name": "\n"}},
        }
    )

    assert dict(made.tags) == {
        "area": "card payment", "server_name": "web-1", "transaction": "/cart", "os": "Debian 12.11",
    }  # fmt: skip
    assert (made.release, made.environment) == ("shop@1.2", "live")
