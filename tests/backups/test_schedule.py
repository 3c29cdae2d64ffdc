"""When a cadence is due, right across daylight-saving changes."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backups.schedule import BadSchedule, Cron, due_slots, next_slot

ZONES = ["Europe/London", "America/New_York", "Australia/Lord_Howe", "UTC"]


def slots(cron: Cron, start: datetime, end: datetime) -> list[datetime]:
    found: list[datetime] = []
    at = next_slot(cron, start)
    while at is not None and at <= end:
        found.append(at)
        at = next_slot(cron, at)
    return found


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("hour", ["1", "2", "3"])
@pytest.mark.parametrize("minute", ["0", "15", "45"])
def test_a_daily_backup_is_taken_once_on_every_day_of_the_year(zone: str, hour: str, minute: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    end = datetime(2027, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC) - timedelta(seconds=1)

    found = slots(Cron(minute, hour, "*", "*", "*", zone), start, end)

    days = [slot.astimezone(ZoneInfo(zone)).date() for slot in found]
    assert len(days) == len(set(days)) == 365


def test_a_local_time_that_the_spring_change_skips_runs_right_after_the_change() -> None:
    cron = Cron("30", "1", "*", "*", "*", "Europe/London")

    assert next_slot(cron, datetime(2026, 3, 28, 12, tzinfo=UTC)) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


def test_a_local_time_that_the_autumn_change_repeats_runs_once() -> None:
    cron = Cron("30", "1", "*", "*", "*", "Europe/London")

    found = slots(cron, datetime(2026, 10, 24, 12, tzinfo=UTC), datetime(2026, 10, 25, 12, tzinfo=UTC))

    assert found == [datetime(2026, 10, 25, 0, 30, tzinfo=UTC)]


@pytest.mark.parametrize("zone", ZONES)
def test_an_hourly_backup_runs_every_real_hour_also_while_clocks_change(zone: str) -> None:
    for month, day in [(3, 7), (3, 28), (4, 3), (10, 2), (10, 24), (10, 31)]:
        start = datetime(2026, month, day, 12, tzinfo=UTC)

        found = slots(Cron("0", "*", "*", "*", "*", zone), start, start + timedelta(days=2))

        gaps = {later - earlier for earlier, later in itertools.pairwise(found)}
        assert gaps <= {timedelta(hours=1), timedelta(minutes=30), timedelta(minutes=90)}
        assert zone == "Australia/Lord_Howe" or gaps == {timedelta(hours=1)}


@given(
    minute=st.integers(0, 59),
    hour=st.sampled_from(["*", "*/6", "2", "1,13"]),
    zone=st.sampled_from(ZONES),
    at=st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC)),
)
def test_the_next_slot_lies_after_the_moment_asked_about_and_nothing_lies_between(
    minute: int, hour: str, zone: str, at: datetime
) -> None:
    cron = Cron(str(minute), hour, "*", "*", "*", zone)

    slot = next_slot(cron, at)

    assert slot is not None
    assert slot > at
    assert next_slot(cron, slot - timedelta(seconds=1)) == slot


@settings(max_examples=50)
@given(hours=st.integers(0, 400))
def test_after_an_outage_the_newest_slot_stands_for_all_that_were_missed(hours: int) -> None:
    cron = Cron("0", "*", "*", "*", "*")
    first = datetime(2026, 5, 1, 0, tzinfo=UTC)
    until = first + timedelta(hours=hours, minutes=20)

    newest, missed, following = due_slots(cron, first=first, until=until)

    assert newest == first + timedelta(hours=hours)
    assert missed == hours
    assert following == newest + timedelta(hours=1)


def test_with_both_kinds_of_day_given_both_must_hold() -> None:
    cron = Cron("0", "2", "13", "*", "fri")

    assert next_slot(cron, datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2026, 2, 13, 2, tzinfo=UTC)


def test_sunday_is_day_0_and_day_7() -> None:
    for sunday in ("0", "7", "sun"):
        slot = next_slot(Cron("0", "2", "*", "*", sunday), datetime(2026, 1, 1, tzinfo=UTC))
        assert slot == datetime(2026, 1, 4, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    "cron",
    [
        Cron("60", "2", "*", "*", "*"),
        Cron("x", "2", "*", "*", "*"),
        Cron("0", "2", "31", "2", "*"),
        Cron("0", "2", "*", "*", "*", "Mars/Olympus"),
        Cron("0", "2", "*", "*", "*", "../../etc/passwd"),
    ],
)
def test_a_rule_that_makes_no_sense_says_so(cron: Cron) -> None:
    with pytest.raises(BadSchedule):
        next_slot(cron, datetime(2026, 1, 1, tzinfo=UTC))
