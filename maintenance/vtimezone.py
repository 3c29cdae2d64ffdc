"""VTIMEZONE components that say exactly what the time zone database says. Pure.

`icalendar` can make them too, but puts the change of spring an hour late and lists every change for a century.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from icalendar import Component, Timezone, TimezoneDaylight, TimezoneStandard

_STEP = timedelta(days=7)  # no zone changes its clocks twice in a week
_PROVEN_YEARS = 10  # a yearly rule is written only if it holds this long; tells the last Sunday from the fourth
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@dataclass(frozen=True)
class _Change:
    """Clocks go from one offset to another; `wall` is the time they showed at that moment."""

    wall: datetime
    before: timedelta
    after: timedelta
    name: str
    daylight: bool


@lru_cache(maxsize=256)
def vtimezone(zone: ZoneInfo, *, first_year: int, last_year: int) -> Timezone:
    """The component for times of these years."""
    begin = datetime(first_year - 1, 1, 1, tzinfo=UTC)
    needed = datetime(last_year + 2, 1, 1)  # noqa: DTZ001 - compared with wall clocks
    proof = min(last_year + _PROVEN_YEARS, 9990)
    changes = list(_changes(zone, begin, datetime(proof, 1, 1, tzinfo=UTC)))
    component = Timezone()
    component.add("TZID", zone.key)
    if not changes or changes[0].wall.year >= first_year:
        component.add_component(_observance([_at_the_beginning(zone, begin)], None, needed))
    kinds: dict[tuple[object, ...], list[_Change]] = {}
    for change in changes:
        kinds.setdefault((change.before, change.after, change.name, change.daylight), []).append(change)
    for alike in kinds.values():
        if alike[0].wall < needed:
            component.add_component(_observance(alike, _yearly(alike), needed))
    return component


def _changes(zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[_Change]:
    moment = begin
    while moment < end:
        later = moment + _STEP
        if _state(zone, later) != _state(zone, moment):
            low, high = moment, later
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
                low, high = (middle, high) if _state(zone, middle) == _state(zone, low) else (low, middle)
            before = _state(zone, low)[0]
            after, name, daylight = _state(zone, high)
            yield _Change(high.replace(tzinfo=None) + before, before, after, name, daylight)
        moment = later


def _state(zone: ZoneInfo, moment: datetime) -> tuple[timedelta, str, bool]:
    there = moment.astimezone(zone)
    return there.utcoffset() or timedelta(0), there.tzname() or "", bool(there.dst())


def _at_the_beginning(zone: ZoneInfo, begin: datetime) -> _Change:
    offset, name, daylight = _state(zone, begin)
    return _Change(begin.replace(tzinfo=None), offset, offset, name, daylight)


def _observance(alike: list[_Change], rule: dict[str, object] | None, needed: datetime) -> Component:
    first = alike[0]
    component: Component = TimezoneDaylight() if first.daylight else TimezoneStandard()
    component.add("DTSTART", first.wall)
    component.add("TZOFFSETFROM", first.before)
    component.add("TZOFFSETTO", first.after)
    component.add("TZNAME", first.name)
    further = [change.wall for change in alike[1:] if change.wall < needed]
    if rule:
        component.add("RRULE", rule)
    elif further:
        component.add("RDATE", further)
    return component


def _yearly(alike: list[_Change]) -> dict[str, object] | None:
    """The yearly rule these changes follow, as calendar programs know it best; None when there is none."""
    walls = [change.wall for change in alike]
    alike_in = {(wall.month, wall.weekday(), wall.time()) for wall in walls}
    every_year = [wall.year for wall in walls] == list(range(walls[0].year, walls[0].year + len(walls)))
    if len(walls) < _PROVEN_YEARS or len(alike_in) != 1 or not every_year:
        return None
    nths = {(wall.day + 6) // 7 for wall in walls}
    if all((wall + timedelta(days=7)).month != wall.month for wall in walls):
        nth = -1
    elif len(nths) == 1:
        nth = nths.pop()
    else:
        return None
    return {"FREQ": "YEARLY", "BYMONTH": walls[0].month, "BYDAY": f"{nth}{_DAYS[walls[0].weekday()]}"}
