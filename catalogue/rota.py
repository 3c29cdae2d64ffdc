"""Who of a team is on call at a moment. Pure: no Django, no clock, no I/O; people are the keys of their rows.

Handovers happen at the wall clock of the rota's zone. A handover time that does not exist on a day (the clocks went
forward over it) moves forward by as much as they did; one that exists twice is the first of both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

# Beyond these, dates and offsets overflow; nobody is on call there.
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2200, 1, 1)
LONGEST_TURN_DAYS = 366

NOBODY = "the team has no members and no lead"
NO_ROTA = "the team has no on-call rota, so the whole team is on call"
GAP = "no rotation covers this moment, so the whole team is on call"
LEAD = "the team has no members, so its lead is on call"


@dataclass(frozen=True)
class Rotation:
    """People who take turns of `turn_days`, from the handover on `starts_on`; with `daily_*` for part of a day."""

    name: str
    members: tuple[int, ...]
    starts_on: date
    handover_at: time
    turn_days: int = 7
    daily_from: time | None = None
    daily_until: time | None = None


@dataclass(frozen=True)
class Override:
    """Somebody instead of whoever the rotations name, from `starts_at` until just before `ends_at`."""

    person: int
    starts_at: datetime
    ends_at: datetime
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """All that decides who is on call for a team: rotations as they are tried, overrides as they were made."""

    members: tuple[int, ...] = ()
    lead: int | None = None
    zone: str = "UTC"
    rotations: tuple[Rotation, ...] = ()
    overrides: tuple[Override, ...] = ()


@dataclass(frozen=True)
class Answer:
    """Who is on call and why, in words. Nobody only when the team has nobody at all."""

    people: tuple[int, ...]
    because: str


@dataclass(frozen=True)
class Segment:
    """The same answer from `starts_at` until just before `ends_at`."""

    starts_at: datetime
    ends_at: datetime
    people: tuple[int, ...]
    because: str


def who(plan: Plan, *, at: datetime) -> Answer:
    """Who is on call at that moment: an override, else the first rotation that covers it, else everybody."""
    for override in reversed(plan.overrides):  # the latest made wins
        if override.starts_at <= at < override.ends_at:
            return Answer((override.person,), _override_words(override, plan.zone))
    zone = ZoneInfo(plan.zone)
    for rotation in plan.rotations:
        turn = _turn_at(rotation, zone, at)
        if turn is not None:
            person, ends = turn
            return Answer((person,), f"a turn in the rotation {rotation.name!r}, until {words(ends, plan.zone)}")
    if plan.members:
        return Answer(plan.members, GAP if plan.rotations else NO_ROTA)
    return Answer((plan.lead,), LEAD) if plan.lead is not None else Answer((), NOBODY)


def timeline(plan: Plan, *, start: datetime, end: datetime) -> list[Segment]:
    """The span from `start` to `end` cut where who is on call changes, without gap or overlap.

    Costs time by the day of the span: callers keep it to months.
    """
    cuts = sorted({start, *(cut for cut in _cuts(plan, start, end) if start < cut < end)})
    found: list[Segment] = []
    for here, there in zip(cuts, [*cuts[1:], end], strict=True):
        answer = who(plan, at=here)
        if found and (found[-1].people, found[-1].because) == (answer.people, answer.because):
            found[-1] = replace(found[-1], ends_at=there)
        elif here < there:
            found.append(Segment(here, there, answer.people, answer.because))
    return found


def instant(day: date, wall: time, zone: ZoneInfo) -> datetime:
    """The moment (in UTC) at which a clock in `zone` shows `wall` on `day`.

    What the clocks skip moves forward by as much as they did: 01:30 on London's spring Sunday is 02:30.
    """
    return datetime.combine(day, wall, zone).replace(fold=0).astimezone(UTC)


def parse_moment(text: str) -> datetime:
    """The moment that people write as 2026-03-02T09:00:00Z. Raises ValueError in words."""
    try:
        found: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.utcoffset() is None:
        raise ValueError("Must be a time as 2026-01-31T12:00:00Z (RFC 3339, with offset).")
    if not _in_reach(found):
        raise ValueError(f"Use a time from {FIRST_DAY} to before {LAST_DAY}.")
    return found.astimezone(UTC)


def override_problem(starts_at: datetime, ends_at: datetime) -> str | None:
    """Why nobody can be on call from one to the other, or None."""
    if ends_at <= starts_at:
        return "It ends before it has begun: give an end after the start."
    if not (_in_reach(starts_at) and _in_reach(ends_at)):
        return f"Use times from {FIRST_DAY} to before {LAST_DAY}."
    return None


def rotation_problems(rotation: Rotation) -> dict[str, str]:
    """Why this cannot be a rotation, by field; empty when it can."""
    problems: dict[str, str] = {}
    if not rotation.name.strip() or len(rotation.name) > 100:
        problems["name"] = "Give it a name of at most 100 characters."
    if not rotation.members:
        problems["people"] = "Name at least one person; leave the rotation out when nobody takes turns."
    if not 1 <= rotation.turn_days <= LONGEST_TURN_DAYS:
        problems["turn_days"] = f"A turn lasts 1 to {LONGEST_TURN_DAYS} days."
    if not FIRST_DAY <= rotation.starts_on < LAST_DAY:
        problems["starts_on"] = f"Use a day from {FIRST_DAY} to before {LAST_DAY}."
    if (rotation.daily_from is None) != (rotation.daily_until is None):
        missing = "daily_from" if rotation.daily_from is None else "daily_until"
        problems[missing] = "Give both daily_from and daily_until, or neither for the whole day."
    elif rotation.daily_from is not None and rotation.daily_from == rotation.daily_until:
        problems["daily_until"] = "The same time twice covers nothing; leave both out for the whole day."
    return problems


def _turn_at(rotation: Rotation, zone: ZoneInfo, at: datetime) -> tuple[int, datetime] | None:
    """Whose turn it is at that moment and when it ends; None when the rotation does not cover it."""
    day = at.astimezone(zone).date() if _in_reach(at) else None
    if day is None or not rotation.members:
        return None
    number = (day - rotation.starts_on).days // rotation.turn_days
    while _handover(rotation, zone, number + 1) <= at:
        number += 1
    while _handover(rotation, zone, number) > at:
        number -= 1
    if number < 0:
        return None
    ends = _handover(rotation, zone, number + 1)
    if rotation.daily_from is not None:
        spans = (_daily(rotation, zone, day + timedelta(days=step)) for step in (-1, 0))
        span_end = next((until for since, until in spans if since <= at < until), None)
        if span_end is None:
            return None
        ends = min(ends, span_end)
    return rotation.members[number % len(rotation.members)], ends


def _handover(rotation: Rotation, zone: ZoneInfo, number: int) -> datetime:
    return instant(rotation.starts_on + timedelta(days=number * rotation.turn_days), rotation.handover_at, zone)


def _daily(rotation: Rotation, zone: ZoneInfo, day: date) -> tuple[datetime, datetime]:
    """The part of a day that is covered; it may reach into the next one."""
    assert rotation.daily_from is not None
    assert rotation.daily_until is not None
    over_midnight = rotation.daily_until <= rotation.daily_from
    until_day = day + timedelta(days=1) if over_midnight else day
    return instant(day, rotation.daily_from, zone), instant(until_day, rotation.daily_until, zone)


def _cuts(plan: Plan, start: datetime, end: datetime) -> Iterator[datetime]:
    """Every moment in the span at which the answer may change."""
    for override in plan.overrides:
        yield from (override.starts_at, override.ends_at)
    if not _in_reach(start) or not _in_reach(end):
        return
    zone = ZoneInfo(plan.zone)
    first, last = start.astimezone(zone).date() - timedelta(days=2), end.astimezone(zone).date() + timedelta(days=2)
    for rotation in plan.rotations:
        yield from _rotation_cuts(rotation, zone, first, last)


def _rotation_cuts(rotation: Rotation, zone: ZoneInfo, first: date, last: date) -> Iterator[datetime]:
    turn = timedelta(days=rotation.turn_days)
    behind = max(0, (first - rotation.starts_on).days // rotation.turn_days)
    day = rotation.starts_on + behind * turn
    while day <= last:
        yield instant(day, rotation.handover_at, zone)
        day += turn
    if rotation.daily_from is not None:
        for step in range((last - first).days + 1):
            yield from _daily(rotation, zone, first + timedelta(days=step))


def _in_reach(at: datetime) -> bool:
    return FIRST_DAY <= at.date() < LAST_DAY


def _override_words(override: Override, zone: str) -> str:
    why = f" ({override.reason})" if override.reason else ""
    return f"an override until {words(override.ends_at, zone)}{why}"


def words(at: datetime, zone: str) -> str:
    """The moment as a clock in that zone shows it, with the name of the zone."""
    return f"{at.astimezone(ZoneInfo(zone)):%a %d %b %Y %H:%M} {zone}"


def people_of(segments: Sequence[Segment]) -> frozenset[int]:
    """Everybody who is on call at some time in these."""
    return frozenset(person for segment in segments for person in segment.people)
