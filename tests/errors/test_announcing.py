"""When people hear of issues, and when only of how many."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import announcing
from errors.announcing import Stream
from errors.rules import SEVERITIES, Severity
from notifications.rules import Level

NOW = datetime(2027, 1, 13, 12, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_the_gaps_grow_from_five_minutes_to_a_day() -> None:
    minutes = [announcing.gap(times) / MINUTE for times in range(8)]
    assert minutes == [0, 5, 15, 45, 135, 405, 1_215, 1_440]
    assert announcing.gap(10**9) == timedelta(days=1)


def test_what_was_never_told_is_news() -> None:
    assert announcing.is_over(None, 0, at=NOW)


@pytest.mark.parametrize(("times", "minutes"), [(1, 60), (2, 60), (3, 90), (4, 270), (9, 2_880)])
def test_the_longer_it_went_on_the_longer_the_quiet_that_ends_it(times: int, minutes: int) -> None:
    assert not announcing.is_over(NOW, times, at=NOW + (minutes - 1) * MINUTE)
    assert announcing.is_over(NOW, times, at=NOW + minutes * MINUTE)


@given(times=st.integers(1, 50), late=st.integers(0, 10_000))
def test_what_goes_on_is_never_due_in_the_past_nor_before_its_gap(times: int, late: int) -> None:
    at = NOW + late * MINUTE
    due = announcing.due_again(NOW, times, at=at)
    assert due >= at
    assert due >= NOW + announcing.gap(times)


@pytest.mark.parametrize(
    ("worst", "minutes"),
    [(Severity.CRITICAL, 5), (Severity.HIGH, 15), (Severity.MEDIUM, 60), (Severity.LOW, 240), (None, 60)],
)
def test_news_waits_by_its_severity_at_most(worst: Severity | None, minutes: int) -> None:
    assert announcing.project_due(NOW, 30, worst_news=worst) == NOW + minutes * MINUTE
    assert announcing.project_due(NOW, 1, worst_news=worst) == NOW + 5 * MINUTE
    assert announcing.project_due(None, 0, worst_news=worst) is None


def test_what_is_due_before_half_its_gap_is_over_goes_along() -> None:
    assert announcing.goes_along(NOW, 0, at=NOW)
    assert not announcing.goes_along(NOW + MINUTE, 0, at=NOW)
    assert announcing.goes_along(NOW + 7 * MINUTE, 2, at=NOW)
    assert not announcing.goes_along(NOW + 8 * MINUTE, 2, at=NOW)


def test_the_worst_counts_and_says_how_much_it_matters() -> None:
    assert announcing.worst([Severity.LOW, Severity.HIGH]) is Severity.HIGH
    assert announcing.worst([]) is None
    levels = [announcing.level_of(severity) for severity in SEVERITIES]
    assert levels == [Level.CRITICAL, Level.WARNING, Level.WARNING, Level.INFO]


def test_every_row_has_a_key_of_its_own() -> None:
    keys = [make(stream, 3) for stream in Stream for make in (announcing.key, announcing.pace_key)]
    keys.append(announcing.critical_key(3))
    assert len(set(keys)) == len(keys)
