"""What a window may do and what is told of it when, whatever the values."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintenance import rules
from maintenance.rules import MOVES, NoticeKind, Status, Type, may_move

NOW = datetime(2027, 1, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))
spans = st.timedeltas(timedelta(seconds=1), timedelta(days=30))


@given(new=st.sampled_from(Status), over=st.sampled_from([Status.COMPLETED, Status.CANCELLED]))
def test_a_window_that_is_over_never_moves(new: Status, over: Status) -> None:
    assert not may_move(over, new)


def test_the_state_machine_is_the_one_of_the_specification() -> None:
    steps = {(old.value, new.value) for old, news in MOVES.items() for new in news}

    assert steps == {("scheduled", "in_progress"), ("scheduled", "cancelled"), ("in_progress", "completed")}


@given(kind=st.sampled_from([Type.PLANNED, Type.RECURRING]), start=moments, now=moments, duration=spans)
def test_only_an_emergency_may_begin_now_or_have_begun(
    kind: Type, start: datetime, now: datetime, duration: timedelta
) -> None:
    assert (rules.start_problem(kind, start, duration, at=now) is None) == (start > now)
    assert (rules.start_problem(Type.EMERGENCY, start, duration, at=now) is None) == (start + duration > now)


@given(duration=st.timedeltas(timedelta(days=-40), timedelta(days=40)))
def test_a_window_lasts_from_a_second_to_thirty_days(duration: timedelta) -> None:
    possible = timedelta(seconds=1) <= duration <= timedelta(days=30)

    assert (rules.duration_problem(duration) is None) == possible


@given(text=st.text(max_size=300))
def test_a_title_that_is_taken_can_be_the_subject_of_an_e_mail(text: str) -> None:
    if rules.title_problem(text) is None:
        assert 0 < len(text) <= 200
        assert len(text.splitlines()) == 1
        assert text.isprintable() or not any(ord(character) < 32 for character in text)
        text.encode()


@pytest.mark.parametrize("text", ["a\r\nBcc: b", "a\nb", "a\rb", "a\tb", "a\x00b", "a\x85b", "a\u2029b", "\ud800", ""])
def test_a_title_that_could_forge_a_header_is_refused(text: str) -> None:
    assert rules.title_problem(text)


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "Wartung für Köln — 維護", "😀", "x" * 200])
def test_a_title_may_say_anything_in_one_line(text: str) -> None:
    assert rules.title_problem(text) is None


@given(start=moments, now=moments, kind=st.sampled_from(Type))
def test_dated_notices_lie_ahead_and_the_one_a_day_ahead_is_a_day_before_the_start(
    start: datetime, now: datetime, kind: Type
) -> None:
    due = rules.dated_notices(kind, start=start, now=now)

    assert all(moment > now for moment in due.values())
    if NoticeKind.AHEAD in due:
        assert start - due[NoticeKind.AHEAD] == timedelta(hours=24)
        assert kind is not Type.EMERGENCY


@given(
    kind=st.sampled_from([NoticeKind.AHEAD, NoticeKind.START_DUE]),
    status=st.sampled_from(Status),
    start=moments,
    duration=spans,
    itself=st.booleans(),
    now=moments,
)
def test_what_is_told_late_is_still_true(
    kind: NoticeKind, status: Status, start: datetime, duration: timedelta, itself: bool, now: datetime
) -> None:
    end = start + duration
    because = rules.untrue_because(kind, status=status, start=start, end=end, starts_itself=itself, now=now)

    if because is None:
        assert status is Status.SCHEDULED
        assert now < (start if kind is NoticeKind.AHEAD else end)
        assert not (kind is NoticeKind.START_DUE and itself)
    else:
        assert len(because) < 300


LATE = NOW - timedelta(minutes=10)


@pytest.mark.parametrize(
    ("kind", "status", "start", "itself", "because"),
    [
        (NoticeKind.AHEAD, Status.SCHEDULED, NOW + 24 * HOUR, False, None),
        (NoticeKind.AHEAD, Status.SCHEDULED, NOW + HOUR, False, None),
        (NoticeKind.AHEAD, Status.SCHEDULED, NOW, False, "Its start had passed"),
        (NoticeKind.AHEAD, Status.CANCELLED, NOW + HOUR, False, "The window was cancelled already"),
        (NoticeKind.AHEAD, Status.IN_PROGRESS, NOW + HOUR, False, "The window was in progress already"),
        (NoticeKind.START_DUE, Status.SCHEDULED, LATE, False, None),
        (NoticeKind.START_DUE, Status.SCHEDULED, LATE, True, "The window starts itself"),
        (NoticeKind.START_DUE, Status.SCHEDULED, NOW - 3 * HOUR, False, "Its end had passed"),
        (NoticeKind.START_DUE, Status.SCHEDULED, NOW, False, "It was not due"),
        (NoticeKind.START_DUE, Status.COMPLETED, LATE, False, "The window was completed already"),
        (NoticeKind.UPDATE, Status.COMPLETED, LATE, False, None),
    ],
)
def test_the_truth_of_notices(
    kind: NoticeKind, status: Status, start: datetime, itself: bool, because: str | None
) -> None:
    found = rules.untrue_because(kind, status=status, start=start, end=start + 2 * HOUR, starts_itself=itself, now=NOW)

    assert found == because


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("Europe/London", datetime(2027, 3, 28, 0, 30)),
        ("Europe/London", datetime(2027, 10, 31, 0, 30)),
        ("America/New_York", datetime(2027, 3, 14, 1, 30)),
        ("America/New_York", datetime(2027, 11, 7, 0, 30)),
        ("Australia/Lord_Howe", datetime(2027, 4, 4, 1, 15)),
        ("Australia/Lord_Howe", datetime(2027, 10, 3, 1, 45)),
    ],
)
def test_the_length_of_a_window_is_elapsed_time_also_when_clocks_change(zone: str, start: datetime) -> None:
    """Python adds to the wall clock of an aware time; from 00:30 three hours may pass two or four on the clock."""
    begins = start.replace(tzinfo=ZoneInfo(zone))

    ends = rules.ends_at(start=begins, duration=3 * HOUR)

    assert ends.astimezone(UTC) - begins.astimezone(UTC) == 3 * HOUR
