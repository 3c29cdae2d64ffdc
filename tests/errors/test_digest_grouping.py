"""Which events are one issue, and which are not."""

import time
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors.digest.event import Settings, digest
from errors.digest.grouping import VERSION, normalised
from errors.growth import DigestedEvent

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PROJECT = Settings(project_id=1, scrub_fields=frozenset(), scrub_personal_data=True, account_salt=b"salt")


def digested(tree: dict[str, object]) -> DigestedEvent:
    return digest(orjson.dumps(tree), event_id=None, received_at=AT, remote="", project=PROJECT)


def grouped(tree: dict[str, object]) -> bytes:
    return digested(tree).grouping_hash


def raised(*functions: str, kind: str = "ValueError", value: str = "bad", **frame: object) -> dict[str, object]:
    frames = [{"module": "shop.pay", "function": name, "in_app": True, **frame} for name in functions]
    return {"exception": {"values": [{"type": kind, "value": value, "stacktrace": {"frames": frames}}]}}


@given(
    line=st.integers(1, 10**6),
    value=st.text(),
    variables=st.dictionaries(st.text(), st.text()),
    depth=st.integers(1, 60),
)
@settings(max_examples=200, deadline=None)
def test_lines_values_variables_and_the_depth_of_a_recursion_do_not_matter(
    line: int, value: str, variables: dict[str, str], depth: int
) -> None:
    one = raised("pay", "walk", "charge")
    other = raised("pay", *["walk"] * depth, "charge", value=value, lineno=line, vars=variables, context_line="x")

    assert grouped(one) == grouped(other)


@given(depth=st.integers(1, 120))
@settings(max_examples=50, deadline=None)
def test_the_depth_of_functions_that_call_each_other_does_not_matter_but_the_innermost_does(depth: int) -> None:
    shallow = raised("pay", "dump_dict", "dump_list", "refuse")
    deep = raised("pay", *["dump_dict", "dump_list"] * depth, "refuse")

    assert grouped(deep) == grouped(shallow)
    assert grouped(raised("pay", "a", "b", "a")) != grouped(raised("pay", "a", "b"))


def test_files_whose_names_only_look_like_builds_differ() -> None:
    files = [f"https://a.example/src/{name}.js" for name in ("user-settings", "user-DashPage", "user-messages")]

    assert len({grouped(raised("pay", module=None, filename=file)) for file in files}) == 3


def test_an_id_in_a_transaction_does_not_split_events_that_say_nothing_else() -> None:
    assert grouped({"transaction": "/orders/7/edit"}) == grouped({"transaction": "/orders/12/edit"})
    assert grouped({"transaction": "/orders"}) != grouped({"transaction": "/baskets"})


def test_a_fingerprint_that_asks_for_the_default_often_costs_it_once() -> None:
    chain = [{"type": "E", "value": "4111 1111 1111 " * 250}] * 25

    def cost(times: int) -> float:
        before = time.process_time()
        grouped({"exception": chain, "fingerprint": ["{{ default }}"] * times})
        return time.process_time() - before

    assert cost(40) < 10 * min(cost(1) for _ in range(3))


def test_type_function_module_and_cause_matter() -> None:
    hashes = {
        grouped(raised("pay")),
        grouped(raised("pay", kind="KeyError")),
        grouped(raised("refund")),
        grouped(raised("pay", module="shop.other")),
        grouped(raised("a", "pay")),
        grouped({"exception": [{"type": "OSError"}, *raised("pay")["exception"]["values"]]}),  # type: ignore[index]
    }

    assert len(hashes) == 6


def test_frames_of_libraries_count_only_where_there_are_no_others() -> None:
    own = {"module": "shop", "function": "pay", "in_app": True}
    library = {"module": "http", "function": "read", "in_app": False}
    changed = {"module": "http", "function": "recv", "in_app": False}

    def of(*frames: dict[str, object]) -> bytes:
        return grouped({"exception": [{"type": "E", "stacktrace": {"frames": frames}}]})

    assert of(own, library) == of(own, changed) == of(own)
    assert of(library) != of(changed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://a.example/static/main.3f2a9c1b.js?v=1", "https://b.example/static/main.99e8d7c6.js?v=2"),
        ("/x/site-packages/lib/a.py", "/other/venv/site-packages/lib/a.py"),
        ("app/shop-1.2.3/pay.rb", "app/shop-1.3.0/pay.rb"),
        ("C:\\app\\pay.cs", "C:/app/pay.cs"),
        ("https://a.example/assets/index-DiwrgTd4.js", "https://a.example/assets/index-B7xQmlTA.js"),
        ("https://a.example/orders/7/edit", "https://a.example/orders/12/edit"),
        (
            "blob:https://a.example/0aef5c90-04c6-4b6c-9a15-4e5b3a2f9d11",
            "blob:https://b.example/1bef5c90-0406-4b6c-9a15-4e5b3a2f9d99",
        ),
    ],
)
def test_files_without_a_module_count_without_host_build_and_place(one: str, other: str) -> None:
    assert grouped(raised("pay", module=None, filename=one)) == grouped(raised("pay", module=None, filename=other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("lambda$pay$0", "lambda$pay$7"),
        ("$$Lambda$14/0x00ff12", "$$Lambda$92/0x00aa34"),
        ("<object at 0x7f12>", "<object at 0x9a>"),
    ],
)
def test_what_a_compiler_or_a_run_puts_into_names_does_not_matter(one: str, other: str) -> None:
    assert grouped(raised(one)) == grouped(raised(other))


@given(number=st.integers(), uuid=st.uuids(), address=st.ip_addresses(v=4), at=st.datetimes(datetime(1970, 1, 1)))
@settings(max_examples=200, deadline=None)
def test_numbers_ids_addresses_and_times_do_not_split_messages(
    number: int, uuid: object, address: object, at: datetime
) -> None:
    template = "Order {} of {} from {} failed at {} (0x{:x})"
    said = template.format(number, uuid, address, at.isoformat(sep=" "), abs(number))

    assert normalised(said) == "Order <n> of <uuid> from <ip> failed at <time> (<n>)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user 'jane' not in \"staff\"", "user <text> not in <text>"),
        ("it doesn't fit", "it doesn't fit"),
        ("GET https://x.example/a?b=1 took 3.5s", "GET <url> took <n>s"),
        ("commit 3f2a9c1 of deadbeef", "commit <n> of deadbeef"),
        ("from fe80::1ff:fe23:4567:890a to ***@example.com", "from <ip> to <email>"),
        ("a\n  b", "a b"),
        ("C++ std::vector", "C++ std::vector"),
    ],
)
def test_messages_keep_their_words(text: str, expected: str) -> None:
    assert normalised(text) == expected


def test_messages_group_by_template_and_differ_by_words() -> None:
    def said(template: str, *params: str) -> bytes:
        return grouped({"logentry": {"message": template, "params": list(params)}})

    assert said("no stock for %s", "apples") == said("no stock for %s", "pears")
    assert said("no stock") != said("no room")


def test_a_token_that_differs_each_time_does_not_split_messages() -> None:
    assert grouped({"message": "refused token=abcdef"}) == grouped({"message": "refused token=ghijkl"})


def test_exceptions_without_frames_group_by_type_and_message() -> None:
    def of(value: str) -> bytes:
        return grouped({"exception": [{"type": "E", "value": value}]})

    assert of("order 7") == of("order 8") != of("basket 7")


def test_the_sdk_s_fingerprint_is_honoured_and_default_stands_for_our_own() -> None:
    plain = raised("pay")
    other = raised("refund")

    def with_(tree: dict[str, object], *parts: object) -> bytes:
        return grouped({**tree, "fingerprint": list(parts)})

    assert with_(plain, "payment") == with_(other, "payment")
    assert with_(plain, "payment") != with_(plain, "shipping")
    assert with_(plain, "{{ default }}") == with_(plain, "{{default}}") == grouped(plain)
    assert with_(plain, "{{ default }}", "eu") != with_(other, "{{ default }}", "eu")
    assert with_(plain, "{{ default }}", "eu") not in (grouped(plain), with_(plain, "eu"))
    assert with_(plain) == grouped(plain)
    assert with_(plain, None, "") == grouped(plain)


def test_the_crashed_thread_s_frames_count_where_the_exception_has_none() -> None:
    def of(function: str) -> bytes:
        thread = {"id": 1, "crashed": True, "stacktrace": {"frames": [{"function": function}]}}
        return grouped({"exception": [{"type": "SIGSEGV"}], "threads": {"values": [{"id": 0}, thread]}})

    assert of("render") != of("load")


def test_the_label_says_what_the_hash_was_made_from() -> None:
    event = digested(raised("pay", "charge"))

    assert event.grouping_version == VERSION
    assert event.grouping_label == "type and stack trace: ValueError, shop.pay.charge, shop.pay.pay"
    assert digested({"message": "order 7"}).grouping_label == "message: order <n>"
    assert digested({"fingerprint": ["a", "b"]}).grouping_label == "the SDK's fingerprint: a, b"


def test_an_event_that_says_nothing_still_has_a_group() -> None:
    assert grouped({}) == grouped({"level": "info"})


def test_hashes_of_this_version_stay_what_they_are() -> None:
    """A change of these starts every issue anew: it needs a new VERSION."""
    assert VERSION == 1
    assert grouped(raised("pay", "charge")).hex() == "7d210df3eb1ca4a5b7fa4ad9b0f25dad"
    assert grouped({"message": "order 7 of 'jane'"}).hex() == "07d70be9ee19ad0dfafae40eec52e84b"
    assert grouped({"fingerprint": ["payment"]}).hex() == "39f8c4ddbfe3bc53846e0c7773df70ff"
