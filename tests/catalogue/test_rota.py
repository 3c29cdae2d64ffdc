"""Who is on call, as pure rules: turns, days, clocks that change, overrides and gaps."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue import rota
from catalogue.rota import Override, Plan, Rotation

ADA, BOB, CLEO = 1, 2, 3
WEEKLY = Rotation("Weekly", (ADA, BOB, CLEO), date(2026, 3, 2), time(9))
ZONES = ["UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"]


def on(plan: Plan, when: str) -> tuple[int, ...]:
    """Who is on call at a time such as "2026-03-02 09:00" on the wall of the plan's zone."""
    return rota.who(plan, at=datetime.fromisoformat(when).replace(tzinfo=ZoneInfo(plan.zone))).people


def test_members_take_turns_in_order_and_begin_again() -> None:
    plan = Plan(members=(ADA, BOB, CLEO), rotations=(WEEKLY,))

    starts = ["2026-03-02 09:00", "2026-03-09 09:00", "2026-03-16 09:00", "2026-03-23 09:00"]
    assert [on(plan, start) for start in starts] == [(ADA,), (BOB,), (CLEO,), (ADA,)]
    assert on(plan, "2026-03-09 08:59") == (ADA,)


def test_before_its_first_handover_a_rotation_covers_nothing() -> None:
    plan = Plan(members=(BOB, CLEO), rotations=(WEEKLY,))

    assert on(plan, "2026-03-02 08:59") == (BOB, CLEO)
    assert on(plan, "2020-01-01 00:00") == (BOB, CLEO)


@pytest.mark.parametrize(
    ("zone", "last_before", "first_after"),
    [
        ("Europe/London", date(2026, 3, 28), date(2026, 3, 29)),
        ("Europe/London", date(2026, 10, 24), date(2026, 10, 25)),
        ("America/New_York", date(2026, 3, 7), date(2026, 3, 8)),
        ("America/New_York", date(2026, 10, 31), date(2026, 11, 1)),
        ("Australia/Lord_Howe", date(2026, 10, 3), date(2026, 10, 4)),
        ("Australia/Lord_Howe", date(2026, 4, 4), date(2026, 4, 5)),
    ],
)
def test_handovers_stay_at_the_wall_clock_when_clocks_change(zone: str, last_before: date, first_after: date) -> None:
    daily = Rotation("Daily", (ADA, BOB), last_before, time(9), turn_days=1)
    plan = Plan(zone=zone, rotations=(daily,))

    assert [on(plan, f"{day} 09:00") for day in (last_before, first_after)] == [(ADA,), (BOB,)]
    assert [on(plan, f"{day} 08:59") for day in (first_after, first_after + timedelta(days=1))] == [(ADA,), (BOB,)]


@pytest.mark.parametrize(
    ("zone", "day", "skipped", "shown"),
    [
        ("Europe/London", date(2026, 3, 29), time(1, 30), time(2, 30)),
        ("America/New_York", date(2026, 3, 8), time(2, 0), time(3, 0)),
        ("Australia/Lord_Howe", date(2026, 10, 4), time(2, 10), time(2, 40)),  # half an hour is skipped there
    ],
)
def test_a_handover_that_the_clocks_skip_moves_forward(zone: str, day: date, skipped: time, shown: time) -> None:
    found = rota.instant(day, skipped, ZoneInfo(zone)).astimezone(ZoneInfo(zone))

    assert (found.date(), found.time()) == (day, shown)


@pytest.mark.parametrize(
    ("zone", "day", "twice", "offset"),
    [
        ("Europe/London", date(2026, 10, 25), time(1, 30), timedelta(hours=1)),
        ("America/New_York", date(2026, 11, 1), time(1, 30), timedelta(hours=-4)),
        ("Australia/Lord_Howe", date(2026, 4, 5), time(1, 45), timedelta(hours=11)),
    ],
)
def test_a_handover_that_comes_twice_is_the_first_of_both(zone: str, day: date, twice: time, offset: timedelta) -> None:
    assert rota.instant(day, twice, ZoneInfo(zone)).astimezone(ZoneInfo(zone)).utcoffset() == offset


def test_a_rotation_of_the_night_reaches_over_midnight_and_leaves_the_day_to_the_next_one() -> None:
    nights = replace(WEEKLY, name="Nights", members=(ADA,), daily_from=time(20), daily_until=time(6))
    days = replace(WEEKLY, name="Days", members=(BOB,))
    plan = Plan(zone="Europe/London", members=(ADA, BOB, CLEO), rotations=(nights, days))

    assert [on(plan, f"2026-03-04 {hour}") for hour in ("05:59", "06:00", "19:59", "20:00", "23:59")] == [
        (ADA,),
        (BOB,),
        (BOB,),
        (ADA,),
        (ADA,),
    ]


def test_a_gap_is_filled_by_the_whole_team_and_then_by_its_lead() -> None:
    office = replace(WEEKLY, daily_from=time(9), daily_until=time(17))
    plan = Plan(members=(ADA, BOB), lead=CLEO, rotations=(office,))

    at = datetime(2026, 3, 4, 20, tzinfo=UTC)
    assert rota.who(plan, at=at) == rota.Answer((ADA, BOB), rota.GAP)
    assert rota.who(replace(plan, rotations=()), at=at) == rota.Answer((ADA, BOB), rota.NO_ROTA)
    assert rota.who(replace(plan, members=()), at=at) == rota.Answer((CLEO,), rota.LEAD)
    assert rota.who(Plan(), at=at) == rota.Answer((), rota.NOBODY)


def test_an_override_comes_first_and_the_latest_made_wins() -> None:
    at = datetime(2026, 3, 4, 12, tzinfo=UTC)
    hour = timedelta(hours=1)
    first, second = Override(BOB, at, at + 4 * hour, "Ada is ill"), Override(CLEO, at + hour, at + 2 * hour)
    plan = Plan(rotations=(WEEKLY,), overrides=(first, second))

    people = [rota.who(plan, at=at + n * hour).people for n in range(-1, 5)]
    assert people == [(ADA,), (BOB,), (CLEO,), (BOB,), (BOB,), (ADA,)]
    assert rota.who(plan, at=at).because == "an override until Wed 04 Mar 2026 16:00 UTC (Ada is ill)"


def test_it_says_in_words_until_when_a_turn_lasts() -> None:
    plan = Plan(zone="Europe/London", rotations=(replace(WEEKLY, starts_on=date(2026, 3, 23)),))

    answer = rota.who(plan, at=datetime(2026, 3, 30, 7, 59, tzinfo=UTC))
    assert answer.because == "a turn in the rotation 'Weekly', until Mon 30 Mar 2026 09:00 Europe/London"


@pytest.mark.parametrize("year", [1, 1969, 2200, 9999])
def test_at_the_ends_of_the_calendar_the_whole_team_is_on_call(year: int) -> None:
    plan = Plan(zone="Pacific/Apia", members=(ADA,), rotations=(WEEKLY,))

    assert rota.who(plan, at=datetime(year, 1, 1, tzinfo=UTC)).people == (ADA,)


times = st.builds(time, st.integers(0, 23), st.sampled_from([0, 1, 29, 30, 59]))
moments = st.datetimes(datetime(2025, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))


@st.composite
def rotations(draw: st.DrawFn) -> Rotation:
    daily = draw(st.booleans())
    since, until = draw(times), draw(times)
    return Rotation(
        name=draw(st.sampled_from(["Weekly", "Nights", "Weekend"])),
        members=tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))),
        starts_on=draw(st.dates(date(2025, 6, 1), date(2027, 1, 1))),
        handover_at=draw(times),
        turn_days=draw(st.integers(1, 20)),
        daily_from=since if daily and since != until else None,
        daily_until=until if daily and since != until else None,
    )


overrides = st.builds(
    lambda person, start, hours: Override(person, start, start + timedelta(hours=hours)),
    st.integers(1, 5),
    moments,
    st.integers(1, 200),
)
plans = st.builds(
    Plan,
    members=st.just((1, 2, 3)),
    zone=st.sampled_from(ZONES),
    rotations=st.lists(rotations(), max_size=3).map(tuple),
    overrides=st.lists(overrides, max_size=3).map(tuple),
)


@given(plan=plans, at=moments)
def test_somebody_is_always_on_call(plan: Plan, at: datetime) -> None:
    answer = rota.who(plan, at=at)

    assert answer.people
    assert answer.because


@given(plan=plans, start=moments, hours=st.integers(1, 24 * 45))
def test_a_timeline_has_neither_gap_nor_overlap(plan: Plan, start: datetime, hours: int) -> None:
    end = start + timedelta(hours=hours)
    segments = rota.timeline(plan, start=start, end=end)

    assert (segments[0].starts_at, segments[-1].ends_at) == (start, end)
    assert all(one.ends_at == next_one.starts_at for one, next_one in pairwise(segments))
    assert all(segment.starts_at < segment.ends_at for segment in segments)


@given(plan=plans, start=moments, hours=st.integers(1, 24 * 30), share=st.floats(0, 1, exclude_max=True))
def test_at_every_moment_the_timeline_says_what_the_rota_says(
    plan: Plan, start: datetime, hours: int, share: float
) -> None:
    at = start + timedelta(hours=hours) * share

    found = [s for s in rota.timeline(plan, start=start, end=start + timedelta(hours=hours)) if s.starts_at <= at]
    assert found[-1].people == rota.who(plan, at=at).people


@given(rotation=rotations(), zone=st.sampled_from(ZONES), turn=st.integers(0, 60))
def test_the_turns_of_a_rotation_divide_time_and_go_round_its_members(rotation: Rotation, zone: str, turn: int) -> None:
    rotation = replace(rotation, daily_from=None, daily_until=None)
    plan, place = Plan(zone=zone, rotations=(rotation,)), ZoneInfo(zone)
    days = timedelta(days=rotation.turn_days)
    starts = rota.instant(rotation.starts_on + turn * days, rotation.handover_at, place)
    ends = rota.instant(rotation.starts_on + (turn + 1) * days, rotation.handover_at, place)

    whose = (rotation.members[turn % len(rotation.members)],)
    assert rota.who(plan, at=starts).people == whose
    assert rota.who(plan, at=ends - timedelta(microseconds=1)).people == whose
    assert rota.who(plan, at=ends).people == (rotation.members[(turn + 1) % len(rotation.members)],)


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (replace(WEEKLY, name=" "), "name"),
        (replace(WEEKLY, name="x" * 101), "name"),
        (replace(WEEKLY, members=()), "people"),
        (replace(WEEKLY, turn_days=0), "turn_days"),
        (replace(WEEKLY, turn_days=367), "turn_days"),
        (replace(WEEKLY, starts_on=date(1969, 12, 31)), "starts_on"),
        (replace(WEEKLY, starts_on=date(2200, 1, 1)), "starts_on"),
        (replace(WEEKLY, daily_from=time(9)), "daily_until"),
        (replace(WEEKLY, daily_until=time(9)), "daily_from"),
        (replace(WEEKLY, daily_from=time(9), daily_until=time(9)), "daily_until"),
    ],
)
def test_what_a_rotation_cannot_be_is_said_by_field(bad: Rotation, field: str) -> None:
    assert list(rota.rotation_problems(bad)) == [field]
    assert rota.rotation_problems(WEEKLY) == {}
