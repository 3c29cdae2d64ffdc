"""Rules of series: which days, and what a wall-clock time means on each of them."""

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maintenance.recurrence import (
    BadRule,
    Occurrence,
    check_rule,
    next_occurrences,
    occurrences,
    overlap_problem,
    parse,
    words,
)

ZONES = ["Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC", "America/Sao_Paulo"]
WITHOUT_CHANGES = ["Asia/Kolkata", "UTC", "Asia/Tokyo", "Africa/Lagos"]
CHANGING = ["Europe/London", "America/New_York", "Australia/Lord_Howe"]
HOUR = 3600


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def of(rule: str, *, zone: str, first: str, hours: float, days: int = 370, skip: int = 0) -> list[Occurrence]:
    """The occurrences of a rule from its first start (local time) on."""
    start = local(first, zone)
    return occurrences(
        rule,
        zone=zone,
        first_start=start,
        duration_seconds=int(hours * HOUR),
        after=start + timedelta(days=skip),
        before=start + timedelta(days=days),
    )


def clock(moment: datetime, zone: str) -> str:
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def span(occurrence: Occurrence, zone: str) -> str:
    """`2027-03-28 03:00–05:00` in the zone."""
    return f"{clock(occurrence.start, zone)}–{clock(occurrence.end, zone)[-5:]}"


def test_every_tuesday_night_stays_there_across_both_changes_of_the_clocks() -> None:
    found = of("FREQ=WEEKLY;BYDAY=TU", zone="Europe/London", first="2027-01-05T03:00", hours=2)

    assert len(found) == 53
    assert {clock(each.start, "Europe/London")[-5:] for each in found} == {"03:00"}
    assert {clock(each.end, "Europe/London")[-5:] for each in found} == {"05:00"}
    assert {each.start.hour for each in found} == {2, 3}, "in UTC it moves"
    assert not any(each.note for each in found)


@pytest.mark.parametrize(
    "zone, first, hours, wanted, elapsed_minutes",
    [
        # Clocks go forward inside the window: the wall clock is kept, an hour of time is not there.
        ("Europe/London", "2027-03-28T00:30", 3, "2027-03-28 00:30–03:30", 120),
        ("America/New_York", "2027-03-14T01:00", 3, "2027-03-14 01:00–04:00", 120),
        ("Australia/Lord_Howe", "2027-10-03T01:00", 3, "2027-10-03 01:00–04:00", 150),
        # Clocks go back inside the window: an hour comes twice.
        ("Europe/London", "2027-10-31T00:30", 3, "2027-10-31 00:30–03:30", 240),
        ("America/New_York", "2027-11-07T00:30", 3, "2027-11-07 00:30–03:30", 240),
        ("Australia/Lord_Howe", "2027-04-04T01:00", 3, "2027-04-04 01:00–04:00", 210),
        # Around the change, not in it.
        ("Europe/London", "2027-03-28T03:00", 2, "2027-03-28 03:00–05:00", 120),
        ("Europe/London", "2027-10-31T03:00", 2, "2027-10-31 03:00–05:00", 120),
    ],
)
def test_a_window_keeps_its_wall_clock_and_not_its_length_when_clocks_change(
    zone: str, first: str, hours: float, wanted: str, elapsed_minutes: int
) -> None:
    found = of("FREQ=DAILY", zone=zone, first=first, hours=hours, days=1)[0]

    assert span(found, zone) == wanted
    assert (found.end - found.start).total_seconds() / 60 == elapsed_minutes
    assert bool(found.note) == (elapsed_minutes != hours * 60)


@pytest.mark.parametrize(
    "zone, first, wanted",
    [
        ("Europe/London", "2027-03-27T01:30", "2027-03-28 02:30–04:30"),  # 01:00 to 02:00 is skipped
        ("America/New_York", "2027-03-13T02:15", "2027-03-14 03:15–05:15"),
        ("Australia/Lord_Howe", "2027-10-02T02:10", "2027-10-03 02:40–04:40"),  # skips half an hour
    ],
)
def test_a_local_time_that_does_not_exist_moves_forward_by_the_gap_and_says_so(
    zone: str, first: str, wanted: str
) -> None:
    _, gap, after = of("FREQ=DAILY", zone=zone, first=first, hours=2, days=3)

    assert span(gap, zone) == wanted
    assert gap.note.startswith(f"{first[-5:]} does not exist on {wanted[:10]} in {zone}")
    assert gap.note.endswith(f"it begins at {wanted[11:16]}.")
    assert clock(after.start, zone)[-5:] == first[-5:], "the day after is as always"


def test_an_end_that_does_not_exist_moves_forward_too() -> None:
    found = of("FREQ=DAILY", zone="Europe/London", first="2027-03-28T00:00", hours=1.5, days=1)[0]

    assert span(found, "Europe/London") == "2027-03-28 00:00–02:30"
    assert "it ends at 02:30" in found.note


def test_a_window_inside_the_gap_keeps_its_length_after_it() -> None:
    found = of("FREQ=DAILY", zone="Europe/London", first="2027-03-28T01:30", hours=0.5, days=1)[0]

    assert span(found, "Europe/London") == "2027-03-28 02:30–03:00"


def test_a_window_that_the_gap_all_but_swallows_is_still_a_minute_long() -> None:
    found = of("FREQ=DAILY", zone="Europe/London", first="2027-03-28T00:59:30", hours=3631 / 3600, days=1)[0]

    assert found.end - found.start == timedelta(minutes=1)


@pytest.mark.parametrize(
    "zone, first, instant",
    [
        ("Europe/London", "2027-10-30T01:30", "2027-10-31T00:30"),
        ("America/New_York", "2027-11-06T01:30", "2027-11-07T05:30"),
        ("Australia/Lord_Howe", "2027-04-03T01:45", "2027-04-03T14:45"),
    ],
)
def test_a_local_time_that_comes_twice_means_the_first(zone: str, first: str, instant: str) -> None:
    twice = of("FREQ=DAILY", zone=zone, first=first, hours=1, days=3)[1]

    assert twice.start == utc(instant)


@given(
    zone=st.sampled_from(ZONES),
    minute=st.integers(0, 24 * 60 - 1),
    length=st.integers(1, 12 * 60),
    year=st.integers(2024, 2034),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_clocks_do_an_occurrence_is_where_the_wall_clock_says(
    zone: str, minute: int, length: int, year: int
) -> None:
    info = ZoneInfo(zone)
    wall = datetime(year, 1, 1) + timedelta(minutes=minute)
    first = wall.replace(tzinfo=info)
    found = occurrences(
        "FREQ=DAILY",
        zone=zone,
        first_start=first,
        duration_seconds=length * 60,
        after=first,
        before=first + timedelta(days=365),
    )

    assert 364 <= len(found) <= 366
    for before, each in pairwise(found):
        assert before.start < each.start, "in order, none twice"
    for day, each in enumerate(found):
        named, ends = wall + timedelta(days=day), wall + timedelta(days=day, minutes=length)
        begins = each.start.astimezone(info)
        assert each.named == each.start
        assert begins.fold == 0, "the first of two"
        assert each.end - each.start >= timedelta(minutes=1)
        if "begins" not in each.note:
            assert begins.replace(tzinfo=None) == named
        else:
            gap = begins.replace(tzinfo=None) - named
            assert timedelta(0) < gap <= timedelta(hours=1)
            assert info.utcoffset(named.replace(fold=1)) != info.utcoffset(named), "only where clocks change"
        if not each.note:
            assert each.end.astimezone(info).replace(tzinfo=None) == ends
            assert each.end - each.start == timedelta(minutes=length)


@given(zone=st.sampled_from(WITHOUT_CHANGES), day=st.integers(0, 3000), length=st.integers(1, 48 * 60))
@settings(max_examples=50, deadline=None)
def test_where_clocks_never_change_a_rule_is_plain_arithmetic(zone: str, day: int, length: int) -> None:
    first = utc("2025-01-01T22:15") + timedelta(days=day)
    found = occurrences(
        "FREQ=WEEKLY;INTERVAL=2",
        zone=zone,
        first_start=first,
        duration_seconds=length * 60,
        after=first,
        before=first + timedelta(days=140),
    )

    assert [each.start for each in found] == [first + timedelta(days=14 * n) for n in range(10)]
    assert all(each.end - each.start == timedelta(minutes=length) and not each.note for each in found)


@given(
    zone=st.sampled_from(CHANGING),
    rule=st.sampled_from(["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=SU,WE", "FREQ=MONTHLY;BYDAY=-1SU", "FREQ=DAILY;COUNT=90"]),
    cut=st.integers(0, 400 * 24 * 4),
)
@settings(max_examples=60, deadline=None)
def test_asking_in_two_parts_finds_what_asking_once_finds(zone: str, rule: str, cut: int) -> None:
    first = local("2027-01-01T01:30", zone)
    last = first + timedelta(days=400)
    middle = first + timedelta(minutes=15 * cut)

    def between(after: datetime, before: datetime) -> list[Occurrence]:
        return occurrences(rule, zone=zone, first_start=first, duration_seconds=HOUR, after=after, before=before)

    assert between(first, middle) + between(middle, last) == between(first, last)


def test_count_counts_from_the_first_occurrence_however_late_one_asks() -> None:
    assert len(of("FREQ=WEEKLY;COUNT=5", zone="UTC", first="2027-01-05T03:00", hours=1)) == 5
    assert len(of("FREQ=WEEKLY;COUNT=5", zone="UTC", first="2027-01-05T03:00", hours=1, skip=20)) == 2


@pytest.mark.parametrize(
    "until, last",
    [
        ("20270704", "2027-07-04 23:30"),  # a date: the whole day, of the zone
        ("20270704T033000Z", "2027-07-03 23:30"),  # an instant: 23:30 in New York is 03:30 UTC, and it may fall on it
        ("20270704T032959Z", "2027-07-02 23:30"),
        ("20270703", "2027-07-03 23:30"),
    ],
)
def test_until_is_a_day_of_the_zone_or_an_instant_and_includes_what_falls_on_it(until: str, last: str) -> None:
    found = of(f"FREQ=DAILY;UNTIL={until}", zone="America/New_York", first="2027-06-20T23:30", hours=1)

    assert clock(found[-1].start, "America/New_York") == last


def test_a_first_start_that_is_no_day_of_the_rule_waits_for_the_first_that_is() -> None:
    monday = of("FREQ=WEEKLY;BYDAY=TU", zone="Europe/London", first="2027-01-04T03:00", hours=1)

    assert clock(monday[0].start, "Europe/London") == "2027-01-05 03:00"


def test_a_series_of_leap_days_finds_them() -> None:
    first = utc("2028-02-29T03:00")
    found = next_occurrences("FREQ=YEARLY", zone="UTC", first_start=first, duration_seconds=HOUR, after=first, most=3)

    assert [each.start.year for each in found] == [2028, 2032, 2036]


@pytest.mark.parametrize("last_first", ["2024-02-29T03:00", "2399-12-31T03:00", "9990-01-01T03:00"])
def test_rules_work_out_in_every_century(last_first: str) -> None:
    found = of("FREQ=WEEKLY", zone="UTC", first=last_first, hours=1, days=100)

    assert [each.start for each in found] == [utc(last_first) + timedelta(days=7 * n) for n in range(15)]


GOOD = [
    "FREQ=DAILY",
    "freq=weekly;byday=tu",
    "RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU;WKST=SU",
    "FREQ=MONTHLY;BYDAY=1SU",
    "FREQ=MONTHLY;BYDAY=-1FR;COUNT=12",
    "FREQ=MONTHLY;BYMONTHDAY=-1",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO",
    "FREQ=YEARLY;BYYEARDAY=-1",
    "FREQ=DAILY;UNTIL=20301231T235959Z",
    " FREQ=DAILY;UNTIL=20301231 ",
]


@pytest.mark.parametrize("rule", GOOD)
def test_rules_that_make_sense_are_taken(rule: str) -> None:
    assert check_rule(rule) is None


@pytest.mark.parametrize(
    "rule, says",
    [
        ("", "NAME=VALUE"),
        ("every tuesday", "NAME=VALUE"),
        ("INTERVAL=2", "FREQ is missing"),
        ("FREQ=", "NAME=VALUE"),
        ("FREQ=DAILY;", "NAME=VALUE"),
        ("FREQ=DAILY;FREQ=WEEKLY", "twice"),
        ("FREQ=HOURLY", "DAILY, WEEKLY, MONTHLY, YEARLY"),
        ("FREQ=MINUTELY", "DAILY"),
        ("FREQ=SECONDLY", "DAILY"),
        ("FREQ=DAILY;BYHOUR=1,2,3", "one time of day"),
        ("FREQ=DAILY;BYMINUTE=0,15", "one time of day"),
        ("FREQ=DAILY;BYSECOND=1", "one time of day"),
        ("FREQ=YEARLY;BYEASTER=0", "no part 'BYEASTER'"),
        ("FREQ=DAILY;X=1", "no part 'X'"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL must be 1 to 366"),
        ("FREQ=DAILY;INTERVAL=367", "INTERVAL must be 1 to 366"),
        ("FREQ=DAILY;INTERVAL=1,2", "one number"),
        ("FREQ=DAILY;INTERVAL=-1", "INTERVAL"),
        ("FREQ=DAILY;INTERVAL=٣", "INTERVAL"),
        ("FREQ=DAILY;COUNT=0", "COUNT must be 1 to 10000"),
        ("FREQ=DAILY;COUNT=10001", "COUNT"),
        ("FREQ=DAILY;COUNT=99999999999", "COUNT"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20301231", "COUNT or UNTIL"),
        ("FREQ=DAILY;UNTIL=20301231T235959", "time in UTC"),
        ("FREQ=DAILY;UNTIL=20300230", "UNTIL must be a date"),
        ("FREQ=DAILY;UNTIL=tomorrow", "UNTIL must be a date"),
        ("FREQ=WEEKLY;BYDAY=XX", "BYDAY must list days"),
        ("FREQ=WEEKLY;BYDAY=1MO", "go with FREQ=MONTHLY"),
        ("FREQ=MONTHLY;BYDAY=0MO", "BYDAY"),
        ("FREQ=MONTHLY;BYDAY=54MO", "BYDAY"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "use MONTHLY"),
        ("FREQ=MONTHLY;BYWEEKNO=1", "YEARLY only"),
        ("FREQ=DAILY;BYYEARDAY=1", "YEARLY only"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY must be 1 to 31 or -31 to -1"),
        ("FREQ=MONTHLY;BYSETPOS=1", "picks from a list"),
        ("FREQ=YEARLY;BYMONTH=13", "BYMONTH"),
        ("FREQ=YEARLY;BYMONTH=-1", "BYMONTH"),
        ("DTSTART:20270105T030000\nRRULE:FREQ=WEEKLY", "one line"),
        ("DTSTART:20270105T030000Z", "rule alone"),
        ("EXDATE:20270105T030000Z", "rule alone"),
        ("RDATE:20270105T030000Z", "rule alone"),
        ("FREQ=DAILY\nEXDATE:20270105", "one line"),
        ("FREQ=DAILY\r\n", "one line"),
        ("FREQ=DAILY\0", "one line"),
        ("FREQ=DAILY;BYDAY=" + "MO," * 4000, "at most 500 characters"),
        ("x" * 10_000, "at most 500 characters"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "names no day that exists"),
        ("FREQ=YEARLY;BYMONTH=2,4,6,9,11;BYMONTHDAY=31", "names no day that exists"),
        ("FREQ=YEARLY;BYYEARDAY=1;BYMONTH=6", "names no day that exists"),
        ("FREQ=WEEKLY;BYDAY=MO;BYSETPOS=2", "names no day that exists"),
    ],
)
def test_what_is_no_rule_of_ours_is_refused_with_the_reason(rule: str, says: str) -> None:
    problem = check_rule(rule)

    assert problem is not None
    assert says in problem
    assert len(problem) < 300, "a message, not an echo"


@given(
    text=st.text(max_size=600) | st.from_regex(r"FREQ=(DAILY|WEEKLY|MONTHLY|YEARLY)(;BY[A-Z]+=[-+0-9,A-Z]{1,9}){0,3}")
)
@settings(max_examples=150)
def test_no_text_at_all_does_more_than_be_refused(text: str) -> None:
    began = time.thread_time()

    if check_rule(text) is None:
        assert parse(parse(text).text) == parse(text)

    assert time.thread_time() - began < 5


@pytest.mark.parametrize("frequency", ["DAILY", "MONTHLY", "YEARLY"])
def test_a_day_that_never_comes_is_looked_for_in_bounded_time(frequency: str) -> None:
    began = time.process_time()

    assert check_rule(f"FREQ={frequency};BYMONTH=2;BYMONTHDAY=30;WKST=TU") is not None

    assert time.process_time() - began < 2, "dateutil alone looks until the year 9999, for ten times as long"


def test_a_rule_that_never_meets_its_day_from_this_start_has_no_occurrences() -> None:
    odd_years = of("FREQ=YEARLY;INTERVAL=2;BYMONTH=2;BYMONTHDAY=29", zone="UTC", first="2027-01-01T03:00", hours=1)

    assert odd_years == []


def test_occurrences_of_a_bad_rule_are_refused_too() -> None:
    with pytest.raises(BadRule):
        of("FREQ=SECONDLY", zone="UTC", first="2027-01-01T03:00", hours=1)


def test_no_more_are_found_than_asked_for() -> None:
    start = utc("2027-01-01T03:00")

    assert len(of("FREQ=DAILY", zone="UTC", first="2027-01-01T03:00", hours=1, days=5000)) == 1000
    assert (
        len(next_occurrences("FREQ=DAILY", zone="UTC", first_start=start, duration_seconds=60, after=start, most=7))
        == 7
    )


def test_occurrences_longer_than_their_distance_are_noticed() -> None:
    fits = of("FREQ=DAILY", zone="UTC", first="2027-01-01T03:00", hours=24, days=5)
    too_long = of("FREQ=DAILY", zone="UTC", first="2027-01-01T03:00", hours=25, days=5)

    assert overlap_problem(fits) is None
    assert "2027-01-01 03:00 UTC would still run" in str(overlap_problem(too_long))


@pytest.mark.parametrize(
    "rule, said",
    [
        ("FREQ=DAILY", "every day"),
        ("FREQ=WEEKLY;BYDAY=TU", "every week on Tuesday"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,FR,SU", "every 2 weeks on Tuesday, Friday and Sunday"),
        ("FREQ=MONTHLY;BYDAY=1SU,-1FR", "every month on the 1st Sunday and the last Friday"),
        ("FREQ=MONTHLY;BYMONTHDAY=22,-1;COUNT=3", "every month on the 22nd day and the last day, 3 times"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=11", "every year on the 11th day in February"),
        ("FREQ=WEEKLY;UNTIL=20271231", "every week, until 2027-12-31"),
        ("FREQ=WEEKLY;UNTIL=20271231T220000Z", "every week, until 2027-12-31 22:00 UTC"),
        ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "by the rule FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO"),
    ],
)
def test_a_rule_can_be_said_in_words(rule: str, said: str) -> None:
    assert words(rule) == said
