"""Every window lies on every day it touches, by the reader's clock, and none hides another."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from maintenance.calendar_grid import SLOTS, Day, bounds, lay_out, month_days, step, week_days

NAMES = ("UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
ZONES = [
    ZoneInfo(name) for name in ("UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
]
DAYS = st.dates(date(2026, 1, 1), date(2028, 12, 31))


@dataclass(frozen=True)
class Span:
    shown_start: datetime
    shown_end: datetime


def spans(within: tuple[datetime, datetime]) -> st.SearchStrategy[list[Span]]:
    start, end = within
    one = st.tuples(
        st.integers(-1440, int((end - start) / timedelta(minutes=1))), st.integers(1, 4 * 1440)
    ).map(lambda at: Span(start + timedelta(minutes=at[0]), start + timedelta(minutes=at[0] + at[1])))  # fmt: skip
    return st.lists(one, max_size=8)


def on(days: list[Day[Span]], day: date) -> list[Span]:
    return [piece.thing for found in days if found.date == day for piece in found.pieces]


@given(DAYS)
def test_a_month_is_whole_weeks_from_monday_that_hold_every_day_of_it(shown: date) -> None:
    days = month_days(shown)

    assert len(days) % 7 == 0
    assert (days[0].weekday(), days[-1].weekday()) == (0, 6)
    assert [day for day in days if (day.year, day.month) == (shown.year, shown.month)][-1].day >= 28
    assert days[6] >= shown.replace(day=1) > days[0] - timedelta(days=1)


@given(DAYS)
def test_a_week_is_the_seven_days_around_a_date(shown: date) -> None:
    days = week_days(shown)

    assert len(days) == 7
    assert days[0].weekday() == 0
    assert shown in days


@given(DAYS, st.integers(-30, 30))
def test_months_on_and_back_again_lead_to_the_same_month(shown: date, months: int) -> None:
    there = step(shown, months=months) if months else shown.replace(day=1)

    assert step(there, months=-months or 12).month == (shown.month if months else there.month)


@given(st.data(), DAYS, st.sampled_from(ZONES))
def test_a_span_lies_on_each_day_it_touches_and_on_no_other(data: st.DataObject, shown: date, zone: ZoneInfo) -> None:
    days = week_days(shown)
    things = data.draw(spans(bounds(days, zone=zone)))

    laid = lay_out(things, days=days, zone=zone)

    for day in days:
        start, end = bounds([day], zone=zone)
        touching = [thing for thing in things if thing.shown_start < end and thing.shown_end > start]
        assert sorted(map(repr, on(laid, day))) == sorted(map(repr, touching))


@given(st.data(), DAYS, st.sampled_from(ZONES))
def test_no_two_pieces_of_one_lane_share_a_slot(data: st.DataObject, shown: date, zone: ZoneInfo) -> None:
    days = week_days(shown)

    for day in lay_out(data.draw(spans(bounds(days, zone=zone))), days=days, zone=zone):
        taken: set[tuple[int, int]] = set()
        for piece in day.pieces:
            assert 0 <= piece.first_slot < piece.last_slot <= SLOTS
            assert 0 <= piece.lane < piece.lanes
            slots = {(piece.lane, slot) for slot in range(piece.first_slot, piece.last_slot)}
            assert not slots & taken
            taken |= slots


def test_a_window_over_midnight_shows_on_both_days_open_at_the_seam() -> None:
    night = Span(datetime(2027, 1, 15, 23, tzinfo=UTC), datetime(2027, 1, 16, 1, 10, tzinfo=UTC))

    friday, saturday = lay_out([night], days=[date(2027, 1, 15), date(2027, 1, 16)], zone=ZoneInfo("UTC"))

    [before], [after] = friday.pieces, saturday.pieces
    assert (before.begins_here, before.ends_here, before.first_slot, before.last_slot) == (True, False, 46, 48)
    assert (after.begins_here, after.ends_here, after.first_slot, after.last_slot) == (False, True, 0, 3)


def test_a_window_until_midnight_does_not_show_on_the_next_day() -> None:
    evening = Span(datetime(2027, 1, 15, 23, tzinfo=UTC), datetime(2027, 1, 16, tzinfo=UTC))

    friday, saturday = lay_out([evening], days=[date(2027, 1, 15), date(2027, 1, 16)], zone=ZoneInfo("UTC"))

    assert friday.pieces[0].ends_here
    assert friday.pieces[0].last_slot == SLOTS
    assert saturday.pieces == ()


def test_a_reader_elsewhere_sees_it_on_their_own_day() -> None:
    thing = Span(datetime(2027, 1, 15, 23, tzinfo=UTC), datetime(2027, 1, 15, 23, 30, tzinfo=UTC))

    [day] = lay_out([thing], days=[date(2027, 1, 16)], zone=ZoneInfo("Australia/Sydney"))

    assert [piece.starts.hour for piece in day.pieces] == [10]
