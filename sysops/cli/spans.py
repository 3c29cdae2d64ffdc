"""Spans of time as people type them: "2027-01-15 02:00-04:00", "2027-01-15 02:00 +2h30m", "now +2h". Pure."""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sysops.kernel import words

FORMS = (
    'Write "2027-01-15 02:00-04:00" (an end before the start is the next day), "2027-01-15 02:00 +2h30m", '
    '"now +2h" (an emergency only), or both times with their offset: '
    '"2027-01-15T02:00:00+01:00/2027-01-15T04:00:00+01:00"'
)
_DAY = r"(?P<day>\d{4}-\d{2}-\d{2})"
_CLOCK = r"\d{1,2}:\d{2}"
_FROM_TO = re.compile(rf"{_DAY}[ T]+(?P<start>{_CLOCK})\s*[-–]\s*(?P<end>{_CLOCK})", re.ASCII)
_FROM_FOR = re.compile(rf"{_DAY}[ T]+(?P<start>{_CLOCK})\s*\+\s*(?P<length>.+)", re.ASCII)
_NOW_FOR = re.compile(r"now\s*\+\s*(?P<length>.+)", re.ASCII)
LONGEST = timedelta(days=365_000)  # longer ones lead out of the calendar


class BadSpan(ValueError):
    """What was typed is no span of time; the message says what would be."""


@dataclass(frozen=True)
class Spoken:
    """A span as it was meant. Without `start` it begins now; `note` says what may surprise."""

    start: datetime | None
    duration: timedelta
    note: str = ""


def read_span(text: str, *, zone: str) -> Spoken:
    """The span; times without an offset are wall-clock times of `zone`. Raises BadSpan."""
    text = text.strip()
    if "/" in text:
        return _pair(text)
    if found := _NOW_FOR.fullmatch(text):
        return Spoken(None, read_length(found["length"]))
    if found := _FROM_FOR.fullmatch(text):
        start, note = _moment(found["day"], found["start"], zone=zone)
        return Spoken(start, read_length(found["length"]), note)
    if found := _FROM_TO.fullmatch(text):
        return _from_to(found["day"], found["start"], found["end"], zone=zone)
    raise BadSpan(f"{text!r} is no span of time. {FORMS}.")


def read_length(text: str) -> timedelta:
    """A length such as 2h30m, 90m, 45s, 1d or 1w. Raises BadSpan."""
    seconds = words.read_span(text)
    if seconds is None:
        raise BadSpan(f"{text.strip()!r} is no length of time. Write it as 2h30m, 90m, 45s, 1d or 1w.")
    if not seconds:
        raise BadSpan(f"{text.strip()!r} is no time at all. Write a length above zero, such as 30m.")
    if seconds > LONGEST.total_seconds():
        raise BadSpan(f"{text.strip()!r} is longer than {LONGEST.days} days.")
    return timedelta(seconds=seconds)


def _pair(text: str) -> Spoken:
    first, _, second = text.partition("/")
    start, end = _with_offset(first.strip()), _with_offset(second.strip())
    if end <= start:
        raise BadSpan(f"{second.strip()} is not after {first.strip()}: the end comes last.")
    return Spoken(start, end - start)


def _with_offset(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise BadSpan(f"{text!r} is no time ({exc}). {FORMS}.") from None
    if moment.utcoffset() is None:
        raise BadSpan(f"{text!r} has no offset. Write it as 2027-01-15T02:00:00+01:00, or as 2027-01-15T01:00:00Z.")
    return _in_utc(moment)


def _from_to(day: str, start_at: str, end_at: str, *, zone: str) -> Spoken:
    start, first_note = _moment(day, start_at, zone=zone)
    same_day = _clock(day, end_at) > _clock(day, start_at)
    if _clock(day, end_at) == _clock(day, start_at):
        raise BadSpan(f"{start_at}-{end_at} has no length. Write a whole day as {day} {start_at} +24h.")
    end_day = day if same_day else _next_day(day)
    end, second_note = _moment(end_day, end_at, zone=zone)
    if end <= start:
        raise BadSpan(f"{start_at}-{end_at} on {day} has no length in {zone}, where clocks go back. Write +1h instead.")
    return Spoken(start, end - start, " ".join(note for note in (first_note, second_note) if note))


def _next_day(day: str) -> str:
    try:
        return (_clock(day, "00:00") + timedelta(days=1)).date().isoformat()
    except OverflowError:
        raise BadSpan(f"There is no day after {day}.") from None


def _clock(day: str, clock: str) -> datetime:
    """The wall-clock time, without a zone. Raises BadSpan."""
    _check_day(day)
    try:
        return datetime.strptime(f"{day} {clock}", "%Y-%m-%d %H:%M")  # noqa: DTZ007 - the zone comes after
    except ValueError:
        raise BadSpan(f"There is no {clock} on {day}: hours go from 00:00 to 23:59.") from None


def _check_day(day: str) -> None:
    year, month, number = (int(part) for part in day.split("-"))
    if year < 1 or not 1 <= month <= 12:
        raise BadSpan(f"{day} is no day: years go from 0001, months from 01 to 12.")
    last = calendar.monthrange(year, month)[1]
    if not 1 <= number <= last:
        name = calendar.month_name[month]
        raise BadSpan(f"{number} {name} {year} does not exist: {name} {year} has {last} days.")


def _moment(day: str, clock: str, *, zone: str) -> tuple[datetime, str]:
    """The moment at which clocks of the zone show this, and what to say of one that they show twice."""
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadSpan(f"{zone!r} is no time zone. Write a name such as Europe/Berlin or UTC.") from None
    shown = _clock(day, clock).replace(tzinfo=place)
    moment = _in_utc(shown)
    again = moment.astimezone(place)
    if again.replace(tzinfo=None) != shown.replace(tzinfo=None):
        raise BadSpan(f"{day} {clock} does not exist in {zone}, where clocks skip it. Write {again:%H:%M}.")
    second = shown.replace(fold=1)
    if second.utcoffset() == shown.utcoffset():
        return moment, ""
    return moment, (
        f"{day} {clock} comes twice in {zone}, where clocks go back. The first one is meant; "
        f"the second is {second.isoformat()}."
    )


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise BadSpan(f"{moment.isoformat()} is beyond the calendar.") from None
