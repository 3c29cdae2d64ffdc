"""Stack traces as text, the way people of each language know them."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from errors.stack_text import LONGEST, MOST_FRAMES, stack_trace_text
from tests.errors.support import event, frame


def test_python_shows_the_innermost_call_last_with_its_source() -> None:
    assert stack_trace_text(event("KeyError", "'card'", frames=[frame("main", line=7), frame("pay", line=42)])) == (
        "Traceback (most recent call last):\n"
        '  File "shop/payment.py", line 7, in main\n    return card.charge(order.total)\n'
        '  File "shop/payment.py", line 42, in pay\n    return card.charge(order.total)\n'
        "KeyError: 'card'"
    )


def test_other_languages_show_the_innermost_call_first() -> None:
    frames: list[Mapping[str, object]] = [
        {"function": "main", "filename": "app.js", "lineno": 1, "colno": 5},
        {"filename": "https://shop.example/cart.js", "lineno": 42},
        {"function": "native"},
    ]

    assert stack_trace_text(event("TypeError", "x is null", frames=frames, platform="javascript")) == (
        "TypeError: x is null\n    at native (?)\n    at ? (https://shop.example/cart.js:42)\n    at main (app.js:1:5)"
    )


def test_a_cause_comes_before_what_it_caused() -> None:
    chain = [{"type": "OSError", "value": "disk"}, {"type": "UploadFailed", "value": ""}]

    assert stack_trace_text({"platform": "python", "exception": {"values": chain}}) == "OSError: disk\n\nUploadFailed"
    assert stack_trace_text({"platform": "python", "exception": chain}) == "OSError: disk\n\nUploadFailed"


def test_without_an_exception_the_thread_that_crashed_is_shown() -> None:
    threads = [
        {"stacktrace": {"frames": [{"function": "idle"}]}, "current": True},
        {"stacktrace": {"frames": [{"function": "burn"}]}, "crashed": True},
    ]

    assert stack_trace_text({"platform": "native", "threads": {"values": threads}}) == "    at burn (?)"
    assert stack_trace_text({"platform": "native", "threads": {"values": threads[:1]}}) == "    at idle (?)"


def test_what_a_script_reported_as_text_stays_as_it_is() -> None:
    text = "line 1: no such file\n  called by backup.sh"

    assert stack_trace_text({**event(), "stack_trace": text}) == text


def test_an_event_without_any_stack_has_no_text() -> None:
    assert stack_trace_text({}) is None
    assert stack_trace_text({"logentry": {"message": "hm"}, "exception": None, "threads": []}) is None


def test_a_deep_recursion_is_shown_by_its_ends() -> None:
    text = stack_trace_text(event(frames=[frame(f"f{number}") for number in range(MOST_FRAMES + 1_000)]))

    assert text is not None
    assert "in f0\n" in text
    assert "(1000 more frames)" in text
    assert f"in f{MOST_FRAMES + 999}\n" in text


def test_a_text_never_grows_beyond_its_bound() -> None:
    assert len(stack_trace_text(event(message="x" * 2 * LONGEST)) or "") == LONGEST


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["exception", "values", "stacktrace", "frames", "threads", "type", "lineno", "crashed"]
                ),
                inner,
            )
        ),
    )
)
def test_an_odd_payload_never_raises(value: object) -> None:
    stack_trace_text(value if isinstance(value, dict) else {"exception": value, "threads": value, "stacktrace": value})
