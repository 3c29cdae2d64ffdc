"""Deadlines: when they are near, when they are, and when they are missed."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from errors import sla

START = datetime(2027, 1, 13, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_deadline_is_near_after_its_share_of_the_time() -> None:
    assert sla.deadlines(START, within_seconds=3_600, near_percent=80) == (START + 0.8 * HOUR, START + HOUR)


def test_at_once_is_due_when_it_is_seen_and_missed_five_minutes_later() -> None:
    near_at, respond_by = sla.deadlines(START, within_seconds=0, near_percent=80)
    assert near_at == respond_by == START
    assert sla.at_once(near_at, respond_by)
    assert sla.breaches_at(near_at, respond_by) == START + timedelta(minutes=5)
    assert not sla.is_late(near_at, respond_by, at=START + timedelta(minutes=4, seconds=59))
    assert sla.is_late(near_at, respond_by, at=START + timedelta(minutes=5))


def test_any_other_deadline_is_missed_when_it_is_there() -> None:
    assert sla.breaches_at(START, START + HOUR) == START + HOUR
    assert not sla.is_late(START, START + HOUR, at=START + HOUR - timedelta(microseconds=1))
    assert sla.is_late(START, START + HOUR, at=START + HOUR)


@given(within=st.integers(0, 10**9), percent=st.integers(1, 99))
def test_near_is_never_after_the_deadline_nor_before_the_start(within: int, percent: int) -> None:
    near_at, respond_by = sla.deadlines(START, within_seconds=within, near_percent=percent)
    assert START <= near_at <= respond_by <= sla.breaches_at(near_at, respond_by)
    assert sla.at_once(near_at, respond_by) is (within == 0)
