"""Waits, rests, quiet hours and routes, decided without any row."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.rules import (
    FIRST_REST,
    LONGEST_DELAY,
    LONGEST_REST,
    MAX_ATTEMPTS,
    MOVES,
    Contact,
    DeliveryState,
    Group,
    Way,
    delay_after,
    may_move,
    quiet_until,
    rest_after,
    route,
)

MAIL, SMS, ROOM = Way(1, "email"), Way(2, "sms"), Way(3, "")
ADA = [Contact("email", "ada@example.org"), Contact("sms", "+4930123456")]
ZONES = ["Europe/London", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kolkata"]


def local(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def test_every_state_has_an_end_that_can_be_reached() -> None:
    assert set(MOVES) | {DeliveryState.DROPPED} == set(DeliveryState)
    assert not may_move(DeliveryState.DROPPED, DeliveryState.PENDING)


def test_a_failing_letter_is_tried_for_hours_and_then_given_up() -> None:
    waits = [delay_after(attempt, chance=0.5) for attempt in range(1, MAX_ATTEMPTS + 1)]

    assert waits[-1] is None
    assert sum((wait for wait in waits if wait), timedelta(0)) > timedelta(hours=3)


@given(attempt=st.integers(1, MAX_ATTEMPTS - 1), chance=st.floats(0, 1, exclude_max=True))
def test_no_wait_is_longer_than_the_longest_with_its_spread(attempt: int, chance: float) -> None:
    wait = delay_after(attempt, chance=chance)
    assert wait is not None
    assert timedelta(seconds=11) < wait <= LONGEST_DELAY * 1.25


def test_a_channel_rests_longer_each_time_and_never_long() -> None:
    assert [rest_after(n) for n in (1, 2, 3, 50)] == [FIRST_REST, FIRST_REST * 2, FIRST_REST * 4, LONGEST_REST]


def test_the_other_side_may_ask_for_a_longer_rest_but_not_for_days() -> None:
    assert rest_after(1, asked=timedelta(minutes=20)) == timedelta(minutes=20)
    assert rest_after(1, asked=timedelta(days=30)) == timedelta(hours=1)


@pytest.mark.parametrize(
    ("at", "ends"),
    [
        ("2027-01-15T21:59", None),
        ("2027-01-15T22:00", "2027-01-16T07:00"),
        ("2027-01-16T03:00", "2027-01-16T07:00"),
        ("2027-01-16T07:00", None),
    ],
)
def test_quiet_hours_go_past_midnight(at: str, ends: str | None) -> None:
    zone = "Europe/London"
    found = quiet_until(local(at, zone), starts=time(22), ends=time(7), zone=zone)
    assert found == (local(ends, zone) if ends else None)


def test_quiet_hours_of_one_day_end_on_it() -> None:
    assert quiet_until(local("2027-01-15T13:00", "UTC"), starts=time(12), ends=time(14), zone="UTC") == local(
        "2027-01-15T14:00", "UTC"
    )


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/London", "2027-03-28"),
        ("America/New_York", "2027-03-14"),
        ("Australia/Lord_Howe", "2027-10-03"),
        ("Europe/London", "2027-10-31"),
        ("America/New_York", "2027-11-07"),
        ("Australia/Lord_Howe", "2027-04-04"),
    ],
)
def test_the_morning_after_the_clocks_change_comes_at_its_wall_clock_time(zone: str, day: str) -> None:
    before = local(f"{day}T00:30", zone)
    ends = quiet_until(before, starts=time(22), ends=time(7), zone=zone)
    assert ends is not None
    assert ends.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M") == f"{day} 07:00"


def test_an_end_that_the_clocks_leave_out_is_where_they_go_on() -> None:
    ends = quiet_until(
        local("2027-03-28T00:30", "Europe/London"), starts=time(22), ends=time(1, 30), zone="Europe/London"
    )
    assert ends == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)  # 02:30 British Summer Time


def test_an_hour_that_comes_twice_is_quiet_once() -> None:
    second = datetime(2027, 10, 31, 1, 10, tzinfo=UTC)  # 01:10 GMT, after 01:10 BST
    assert quiet_until(second, starts=time(22), ends=time(1, 30), zone="Europe/London") is None


@given(
    at=st.datetimes(datetime(2027, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC)),
    starts=st.times(),
    ends=st.times(),
    zone=st.sampled_from(ZONES),
)
def test_quiet_hours_end_later_and_within_a_day(at: datetime, starts: time, ends: time, zone: str) -> None:
    found = quiet_until(at, starts=starts, ends=ends, zone=zone)
    assert found is None or at < found <= at + timedelta(hours=25)


def test_each_routed_channel_tells_a_person_once_and_a_place_once() -> None:
    targets, lost = route([Group([7, 8], [MAIL, SMS, ROOM])], contacts={7: ADA, 8: ADA[1:]}, ways=[MAIL, SMS, ROOM])

    assert lost == []
    assert [(t.channel, t.address, t.person) for t in targets] == [
        (3, "", None),
        (1, "ada@example.org", 7),
        (2, "+4930123456", 7),
    ], "two people share the phone: it rings once"


def test_whom_no_route_reaches_is_told_by_their_first_address_that_works() -> None:
    targets, lost = route([Group([7], [SMS])], contacts={7: ADA[:1]}, ways=[SMS, MAIL])
    assert ([(t.channel, t.address) for t in targets], lost) == ([(1, "ada@example.org")], [])


def test_the_room_of_a_team_counts_for_its_people() -> None:
    targets, lost = route([Group([7], [ROOM])], contacts={7: ADA}, ways=[ROOM, MAIL])
    assert ([t.channel for t in targets], lost) == ([3], [])


def test_whom_nothing_reaches_is_named() -> None:
    assert route([Group([7, 9], [MAIL])], contacts={7: ADA}, ways=[MAIL])[1] == [9]


def test_the_same_mailbox_by_two_ways_gets_one_letter() -> None:
    shouting = [Contact("email", "ADA@example.org")]
    groups = [Group([7], [MAIL]), Group([9], [MAIL])]
    assert len(route(groups, contacts={7: ADA, 9: shouting}, ways=[MAIL])[0]) == 1
