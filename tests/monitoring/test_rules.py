"""When something measured is healthy."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring import rules
from monitoring.rules import Status, Tally

DURATIONS = st.floats(min_value=1e-5, max_value=100)


def test_the_worst_that_is_known_decides() -> None:
    assert rules.worst([]) is Status.HEALTHY
    assert rules.worst([None, Status.HEALTHY]) is Status.HEALTHY
    assert rules.worst([Status.DEGRADED, None, Status.HEALTHY]) is Status.DEGRADED
    assert rules.worst([Status.DEGRADED, Status.UNHEALTHY, Status.HEALTHY]) is Status.UNHEALTHY


@pytest.mark.parametrize(
    ("seconds", "status"),
    [(0.01, Status.HEALTHY), (0.99, Status.HEALTHY), (1.0, Status.DEGRADED), (3.0, Status.UNHEALTHY)],
)
def test_a_database_is_degraded_from_one_second_and_unhealthy_from_three(seconds: float, status: Status) -> None:
    assert rules.judge(seconds, rules.DATABASE_SECONDS) is status


@pytest.mark.parametrize(
    ("free", "status"),
    [(20.0, Status.HEALTHY), (19.9, Status.DEGRADED), (5.0, Status.DEGRADED), (4.9, Status.UNHEALTHY)],
)
def test_a_place_to_write_needs_a_fifth_of_its_room_free(free: float, status: Status) -> None:
    assert rules.judge_room(free) is status


def test_a_scheduler_may_be_silent_for_a_minute_and_not_for_three() -> None:
    statuses = [rules.judge_age(timedelta(seconds=s), rules.BEAT_AGE) for s in (60, 61, 180, 181)]

    assert statuses == [Status.HEALTHY, Status.DEGRADED, Status.DEGRADED, Status.UNHEALTHY]


def test_an_api_that_fails_is_worse_than_one_that_is_late() -> None:
    assert rules.judge_api(p95_seconds=0.5, error_percent=5) is Status.HEALTHY
    assert rules.judge_api(p95_seconds=0.51, error_percent=0) is Status.DEGRADED
    assert rules.judge_api(p95_seconds=0.1, error_percent=5.1) is Status.UNHEALTHY


@given(st.lists(DURATIONS, min_size=1, max_size=200))
def test_a_percentile_of_buckets_is_within_a_bucket_of_the_truth(durations: list[float]) -> None:
    tally = Tally(minute=datetime(2026, 1, 1, tzinfo=UTC), process="p")
    for seconds in durations:
        tally.add(seconds=seconds, failed=False)

    truth = sorted(durations)[max(0, -(-95 * len(durations) // 100) - 1)]
    found = rules.percentile(tally.buckets, 0.95)

    assert found == pytest.approx(truth, rel=0.1)


@given(st.lists(DURATIONS, min_size=1, max_size=50), st.lists(DURATIONS, min_size=1, max_size=50))
def test_buckets_of_two_processes_add_up_to_the_buckets_of_all(first: list[float], second: list[float]) -> None:
    def buckets(durations: list[float]) -> dict[int, int]:
        tally = Tally(minute=datetime(2026, 1, 1, tzinfo=UTC), process="p")
        for seconds in durations:
            tally.add(seconds=seconds, failed=False)
        return tally.buckets

    stored = {str(number): count for number, count in buckets(second).items()}  # as JSON gives it back

    assert rules.add_up([buckets(first), stored]) == buckets(first + second)


def test_nothing_measured_has_no_percentile_and_few_samples_no_trend() -> None:
    assert rules.percentile({}, 0.95) is None
    assert rules.trend([50.0] * 9) is None


def test_a_trend_is_said_when_it_is_clear() -> None:
    assert rules.trend([50, 51, 50, 49, 50, 51, 50, 49, 50, 51]) == "stable"
    assert rules.trend([10, 20, 30, 40, 50, 60, 70, 80, 90, 95]) == "increasing"
    assert rules.trend([95, 90, 80, 70, 60, 50, 40, 30, 20, 10]) == "decreasing"
