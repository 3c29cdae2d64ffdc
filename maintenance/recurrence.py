"""When the occurrences of a series are: RFC 5545 rules on the wall clock of a zone. Pure: no Django, no clock.

`dateutil` finds the days; what a local time means on each of them is decided here, because `dateutil` names times that
do not exist in spring and lets windows run an hour short or long around the changes.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

LONGEST_RULE = 500
LARGEST_INTERVAL = 366
LARGEST_COUNT = 10_000
MOST_AT_ONCE = 1_000
SHORTEST = timedelta(minutes=1)
LOOKED_AHEAD = timedelta(days=3660)  # a rule that names no day in ten years is a slip, not a plan

_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
# The calendar repeats itself every 400 years to the weekday. Rules are worked out as near to the year 9999 as that
# allows, because dateutil searches for a day that never comes (30 February) until there are no more years.
_CYCLE = 400
_ROOM_YEARS = 40


class BadRule(ValueError):
    """The text is no rule we take; the message says why and what to write instead."""


@dataclass(frozen=True)
class Rule:
    """A rule that was checked. `parts` are without UNTIL, which is compared as instants, not by dateutil."""

    text: str
    parts: Mapping[str, str]
    until: date | datetime | None


@dataclass(frozen=True)
class Occurrence:
    """One occurrence. `named` is the instant that identifies it: the start as the rule names it, in UTC."""

    start: datetime
    end: datetime
    named: datetime
    note: str


def check_rule(text: str) -> str | None:
    """What is wrong with the rule, in words; None when it can be used."""
    try:
        parse(text)
    except BadRule as exc:
        return str(exc)
    return None


def parse(text: str) -> Rule:
    """The checked rule, in capitals and without a leading `RRULE:`. Raises BadRule."""
    if len(text) > LONGEST_RULE:
        raise BadRule(f"A rule has at most {LONGEST_RULE} characters; this one has {len(text)}.")
    return _parse(text)


@lru_cache(maxsize=512)
def _parse(text: str) -> Rule:
    parts = _split(text)
    for name, value in parts.items():
        if name not in _CHECKS:
            raise BadRule(_UNKNOWN.get(name, f"A rule has no part {name[:20]!r}; known are {', '.join(_CHECKS)}."))
        _CHECKS[name](name, value)
    _check_together(parts)
    normal = ";".join(f"{name}={value}" for name, value in parts.items())
    until = _until(parts["UNTIL"]) if "UNTIL" in parts else None
    rule = Rule(normal, {name: value for name, value in parts.items() if name != "UNTIL"}, until)
    _refuse_impossible(rule)
    return rule


def occurrences(
    rule: str,
    *,
    zone: str,
    first_start: datetime,
    duration_seconds: int,
    after: datetime,
    before: datetime,
    most: int = MOST_AT_ONCE,
) -> list[Occurrence]:
    """The occurrences that start from `after` on and before `before`, oldest first, at most `most` of them.

    The wall-clock time of `first_start` in `zone` is that of all others, and so is that of their ends. The first
    occurrence is the first day of the rule at or after it. Raises BadRule.
    """
    checked, info = parse(rule), ZoneInfo(zone)
    anchor = first_start.astimezone(info).replace(tzinfo=None, fold=0)
    length = timedelta(seconds=duration_seconds)
    found: list[Occurrence] = []
    # A local time that does not exist moves by at most a day, so the bounds on the wall clock have two to spare.
    for wall in _walls(checked.parts, anchor, last=_wall_clock(before, info) + timedelta(days=2)):
        occurrence = _resolve(wall, wall + length, info)
        if _past(checked.until, wall, occurrence.start) or occurrence.start >= before or len(found) >= most:
            break
        if occurrence.start >= after:
            found.append(occurrence)
    return found


def next_occurrences(
    rule: str, *, zone: str, first_start: datetime, duration_seconds: int, after: datetime, most: int
) -> list[Occurrence]:
    """The next `most` occurrences within ten years of `after` or of the first start, whichever is later."""
    before = min(max(after, first_start), datetime(9000, 1, 1, tzinfo=UTC)) + LOOKED_AHEAD
    return occurrences(
        rule,
        zone=zone,
        first_start=first_start,
        duration_seconds=duration_seconds,
        after=after,
        before=before,
        most=most,
    )


def overlap_problem(found: list[Occurrence]) -> str | None:
    """Why these occurrences of one series cannot all be: one begins before the one before it is over."""
    for first, second in pairwise(found):
        if second.start < first.end:
            return (
                f"It is too long for the rule: the occurrence of {first.start:%Y-%m-%d %H:%M} UTC would still run "
                f"when that of {second.start:%Y-%m-%d %H:%M} UTC begins."
            )
    return None


def resolve(wall: datetime, zone: ZoneInfo) -> tuple[datetime, bool]:
    """The instant of a wall-clock time, and whether that time exists.

    One that comes twice means the first; one that is skipped moves forward by as much as the clocks do.
    """
    instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return instant, _wall_clock(instant, zone) == wall


def words(rule: str) -> str:
    """The rule as people say it ("every 2 weeks on Tuesday and Friday"); the rule itself where it is too special."""
    checked = parse(rule)
    parts = dict(checked.parts)
    text = _every(parts.pop("FREQ"), int(parts.pop("INTERVAL", "1")))
    count = parts.pop("COUNT", "")
    parts.pop("WKST", None)
    days, months, month_days = parts.pop("BYDAY", ""), parts.pop("BYMONTH", ""), parts.pop("BYMONTHDAY", "")
    if parts or (days and month_days):
        return f"by the rule {checked.text}"
    if days:
        text += " on " + _listed([_day_words(day) for day in days.split(",")])
    if month_days:
        text += " on " + _listed([_nth_words(int(day), "day") for day in month_days.split(",")])
    if months:
        text += " in " + _listed([_MONTHS[int(month) - 1] for month in months.split(",")])
    if count:
        text += f", {count} times"
    if isinstance(checked.until, datetime):
        text += f", until {checked.until:%Y-%m-%d %H:%M} UTC"
    elif checked.until:
        text += f", until {checked.until:%Y-%m-%d}"
    return text


# The days of a rule


def _walls(parts: Mapping[str, str], anchor: datetime, *, last: datetime) -> Iterator[datetime]:
    """The wall-clock times that the rule names from the anchor to `last`; ends even when the rule names none."""
    shift = (9999 - _ROOM_YEARS - anchor.year) // _CYCLE * _CYCLE
    text = ";".join(f"{name}={value}" for name, value in parts.items())
    try:
        for far in rrulestr(text, dtstart=anchor.replace(year=anchor.year + shift)):
            if far.year - shift > last.year or (wall := far.replace(year=far.year - shift)) > last:
                return
            yield wall
    except OverflowError:  # a week that reaches into the year 10000
        return


def _refuse_impossible(rule: Rule) -> None:
    """Refuse what names no day whenever it starts. Only what does so from one start is left to whoever knows it."""
    loose = {name: value for name, value in rule.parts.items() if name not in ("COUNT", "INTERVAL")}
    if next(_walls(loose, datetime(2004, 1, 1), last=datetime(9999, 12, 31)), None) is None:  # noqa: DTZ001 - wall clock
        raise BadRule(f"The rule {rule.text} names no day that exists; check BYMONTH and BYMONTHDAY, for example.")


def _past(until: date | datetime | None, wall: datetime, start: datetime) -> bool:
    """RFC 5545: the last occurrence may fall on UNTIL. A date is a day of the zone, a date-time an instant."""
    if until is None:
        return False
    return start > until if isinstance(until, datetime) else wall.date() > until


def _resolve(wall: datetime, wall_end: datetime, zone: ZoneInfo) -> Occurrence:
    start, start_exists = resolve(wall, zone)
    if not start_exists:  # its length by the clock stays: else an hour in the gap would last no time at all
        wall_end += _wall_clock(start, zone) - wall
    end, end_exists = resolve(wall_end, zone)
    notes = [
        f"{time:%H:%M} does not exist on {time:%Y-%m-%d} in {zone.key}, where clocks go forward; "
        f"it {verb} at {_wall_clock(instant, zone):%H:%M}."
        for time, instant, exists, verb in [(wall, start, start_exists, "begins"), (wall_end, end, end_exists, "ends")]
        if not exists
    ]
    end = max(end, start + SHORTEST)
    if not notes and end - start != wall_end - wall:
        minutes = int((end - start).total_seconds() // 60)
        notes = [f"Clocks in {zone.key} change while it runs: it takes {minutes} minutes."]
    return Occurrence(start=start, end=end, named=start, note=" ".join(notes))


def _wall_clock(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


# The text of a rule


def _split(text: str) -> dict[str, str]:
    plain = text.strip(" ").upper()
    if any(not character.isprintable() for character in plain):
        raise BadRule("A rule is one line without control characters; DTSTART, EXDATE and RDATE are not part of it.")
    if re.match(r"(DTSTART|EXDATE|RDATE|EXRULE|DTEND|DURATION)\b", plain):
        raise BadRule("Give the rule alone, such as FREQ=WEEKLY;BYDAY=TU; the first start has a field of its own.")
    parts: dict[str, str] = {}
    for part in plain.removeprefix("RRULE:").split(";"):
        name, equals, value = part.partition("=")
        if not equals or not name or not value:
            raise BadRule(f"{part[:40]!r} is not of the form NAME=VALUE. A rule looks like FREQ=WEEKLY;BYDAY=TU.")
        if name in parts:
            raise BadRule(f"{name[:20]} is given twice.")
        parts[name] = value
    if "FREQ" not in parts:
        raise BadRule(f"FREQ is missing: one of {', '.join(_FREQUENCIES)}.")
    return parts


def _check_frequency(name: str, value: str) -> None:
    if value not in _FREQUENCIES:
        raise BadRule(f"FREQ must be one of {', '.join(_FREQUENCIES)}; {value[:20]!r} is not.")


def _check_week_start(name: str, value: str) -> None:
    if value not in _DAYS:
        raise BadRule(f"WKST must be one of {', '.join(_DAYS)}.")


def _check_days(name: str, value: str) -> None:
    for day in value.split(","):
        found = re.fullmatch(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)", day)
        if not found or (found[1] and not 1 <= abs(int(found[1])) <= 53):
            raise BadRule(f"BYDAY must list days such as TU, 1MO or -1FR; {day[:20]!r} is none.")


def _check_until(name: str, value: str) -> None:
    _until(value)


def _numbers(low: int, high: int, *, negative: bool = False) -> Callable[[str, str], None]:
    def check(name: str, value: str) -> None:
        for text in value.split(","):
            if not re.fullmatch(r"[+-]?[0-9]{1,5}", text) or not low <= abs(int(text)) <= high:
                raise BadRule(_number_problem(name, text))
            if int(text) < 0 and not negative:
                raise BadRule(_number_problem(name, text))

    def _number_problem(name: str, text: str) -> str:
        also = f" or {-high} to {-low}" if negative else ""
        return f"{name} must be {low} to {high}{also}; {text[:20]!r} is not."

    return check


def _one(check: Callable[[str, str], None]) -> Callable[[str, str], None]:
    def alone(name: str, value: str) -> None:
        if "," in value:
            raise BadRule(f"{name} takes one number, not a list.")
        check(name, value)

    return alone


_CHECKS: dict[str, Callable[[str, str], None]] = {
    "FREQ": _check_frequency,
    "INTERVAL": _one(_numbers(1, LARGEST_INTERVAL)),
    "COUNT": _one(_numbers(1, LARGEST_COUNT)),
    "UNTIL": _check_until,
    "BYDAY": _check_days,
    "BYMONTHDAY": _numbers(1, 31, negative=True),
    "BYMONTH": _numbers(1, 12),
    "BYYEARDAY": _numbers(1, 366, negative=True),
    "BYWEEKNO": _numbers(1, 53, negative=True),
    "BYSETPOS": _numbers(1, 366, negative=True),
    "WKST": _check_week_start,
}
_TIME_OF_DAY = (
    "A series has one time of day, that of its first start: leave {} out. For two times a day make two series."
)
_UNKNOWN = {name: _TIME_OF_DAY.format(name) for name in ("BYHOUR", "BYMINUTE", "BYSECOND")}


def _check_together(parts: Mapping[str, str]) -> None:
    """What RFC 5545 (3.3.10) forbids in combination; dateutil takes it and does something else."""
    frequency = parts["FREQ"]
    ordinal = any(day[:-2] for day in parts.get("BYDAY", "").split(","))
    refused = [
        ("COUNT" in parts and "UNTIL" in parts, "Give COUNT or UNTIL, not both."),
        ("BYWEEKNO" in parts and frequency != "YEARLY", "BYWEEKNO goes with FREQ=YEARLY only."),
        ("BYYEARDAY" in parts and frequency != "YEARLY", "BYYEARDAY goes with FREQ=YEARLY only."),
        ("BYMONTHDAY" in parts and frequency == "WEEKLY", "BYMONTHDAY does not go with FREQ=WEEKLY; use MONTHLY."),
        (ordinal and frequency in ("DAILY", "WEEKLY"), "Days with a number (1MO) go with FREQ=MONTHLY or YEARLY only."),
        (ordinal and "BYWEEKNO" in parts, "Days with a number (1MO) do not go with BYWEEKNO."),
        (
            "BYSETPOS" in parts and not {"BYDAY", "BYMONTHDAY", "BYMONTH", "BYYEARDAY", "BYWEEKNO"} & set(parts),
            "BYSETPOS picks from a list: give BYDAY, BYMONTHDAY, BYMONTH, BYYEARDAY or BYWEEKNO too.",
        ),
    ]
    for applies, text in refused:
        if applies:
            raise BadRule(text)


def _until(value: str) -> date | datetime:
    try:
        if re.fullmatch(r"[0-9]{8}", value):
            return datetime.strptime(value, "%Y%m%d").replace(tzinfo=UTC).date()
        if re.fullmatch(r"[0-9]{8}T[0-9]{6}Z", value):
            return datetime.strptime(value, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        pass  # of the right form, but no such day or time
    raise BadRule(f"UNTIL must be a date (20271231) or a time in UTC (20271231T235959Z); {value[:20]!r} is neither.")


# Words

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_DAY_NAMES = dict(
    zip(_DAYS, ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"), strict=True)
)
_UNITS = {"DAILY": "day", "WEEKLY": "week", "MONTHLY": "month", "YEARLY": "year"}


def _every(frequency: str, interval: int) -> str:
    unit = _UNITS[frequency]
    return f"every {unit}" if interval == 1 else f"every {interval} {unit}s"


def _day_words(day: str) -> str:
    name = _DAY_NAMES[day[-2:]]
    return _nth_words(int(day[:-2]), name) if day[:-2] else name


def _nth_words(number: int, what: str) -> str:
    if number == -1:
        return f"the last {what}"
    size = abs(number)
    ending = "th" if size % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(size % 10, "th")
    return f"the {size}{ending} {what}" + (" from the end" if number < 0 else "")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
