"""What pages make of events and counts, without a page: charts and their words, stack traces, file names."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors.admin import charts
from errors.admin.downloads import safe_name
from errors.admin.reading import Shown, shown
from errors.looks import plain

NOW = datetime(2027, 1, 13, 12, 30, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
FIELDS = [
    "exception", "exceptions", "threads", "stacktrace", "breadcrumbs", "request", "user", "contexts", "extra", "tags",
    "modules", "sdk", "logentry", "message", "notes", "server_name",
]  # fmt: skip


def call(name: str, *, own: bool) -> dict[str, object]:
    return {"filename": f"{name}.py", "function": name, "lineno": 7, "in_app": own, "context_line": "x()",
            "pre_context": ["a", "b"], "post_context": ["c"]}  # fmt: skip


def of(*frames: dict[str, object], cause: tuple[dict[str, object], ...] = ()) -> Shown:
    values = [{"type": "Cause", "stacktrace": {"frames": list(cause)}}] if cause else []
    return shown({"exception": {"values": [*values, {"type": "E", "stacktrace": {"frames": list(frames)}}]}})


@given(event=st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_whatever_an_event_holds_it_is_read_without_a_fault(event: dict[str, object]) -> None:
    assert shown(event)


def test_the_innermost_call_comes_first_and_calls_of_libraries_are_put_together() -> None:
    [thrown] = of(
        call("main", own=True), call("wrap", own=False), call("wrap2", own=False), call("pay", own=True)
    ).thrown  # fmt: skip

    assert [(run.own, [frame.function for frame in run.frames]) for run in thrown.runs] == [
        (True, ["pay"]),
        (False, ["wrap2", "wrap"]),
        (True, ["main"]),
    ]
    assert [frame.open for run in thrown.runs for frame in run.frames] == [True, False, False, False]


def test_what_was_raised_last_comes_before_its_cause_whose_libraries_stay_folded() -> None:
    raised, cause = of(call("pay", own=True), cause=(call("send", own=False),)).thrown

    assert (raised.type, cause.type) == ("E", "Cause")
    assert [run.own for run in cause.runs] == [False]


def test_an_event_without_calls_of_ones_own_shows_all_of_them() -> None:
    [thrown] = of(call("a", own=False), call("b", own=False)).thrown

    assert [run.own for run in thrown.runs] == [True]
    assert thrown.runs[0].frames[0].open


def test_lines_of_source_have_their_numbers_and_the_one_that_ran_is_marked() -> None:
    [thrown] = of(call("pay", own=True)).thrown

    lines = thrown.runs[0].frames[0].lines
    assert [(line.number, line.text, line.here) for line in lines] == [
        (5, "a", False), (6, "b", False), (7, "x()", True), (8, "c", False)
    ]  # fmt: skip


def test_marks_that_turn_text_are_shown_by_their_number() -> None:
    assert plain("a\u202egnp.exe\u2069\x00") == "a‹U+202E›gnp.exe‹U+2069›\ufffd"


@given(name=st.text(max_size=300))
def test_a_file_has_a_name_that_neither_path_nor_header_can_take_amiss(name: str) -> None:
    made = safe_name(name)

    assert made
    assert len(made) <= 120
    assert made not in (".", "..")
    assert not re.search('[/\\\\\r\n\x00"\u202e]', made)


@given(counts=st.lists(st.integers(0, 10**9), min_size=1, max_size=24))
def test_a_sparkline_has_a_bar_for_each_hour_with_events(counts: list[int]) -> None:
    drawn = charts.sparkline(counts)

    assert drawn.count("M") - 1 == sum(1 for count in counts if count)
    assert ("No events" in drawn) is (sum(counts) == 0)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([0] * 24, "No events in the last 24 hours"),
        ([*[0] * 23, 1], "1 event in the last 24 hours, in this hour"),
        ([*[0] * 20, 5, 2, 0, 0], "7 events in the last 24 hours; the most, 5, 3 h ago"),
    ],
)
def test_a_trend_is_a_sentence(counts: list[int], words: str) -> None:
    assert charts.hours_words(counts) == words


def test_bars_of_a_week_stand_for_four_hours_and_lose_nothing() -> None:
    week = charts.span_of("week")
    counts = list(range(week.hours))

    assert len(charts.per_bar(counts, week)) == 42
    assert sum(charts.per_bar(counts, week)) == sum(counts)
    drawn = charts.chart(counts, week, now=NOW)
    assert "the most, 662, from Wed 13 Jan 09:00 UTC until now" in drawn
    assert "Wed 13 Jan 05:00 to 09:00 UTC: 646 events" in drawn
    assert drawn.count("<rect") == 42
