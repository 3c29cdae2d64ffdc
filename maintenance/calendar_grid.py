"""Windows laid out on days: what a month and a week of a calendar show. Pure: no Django, no clock."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Generic, Protocol, TypeVar
from zoneinfo import ZoneInfo

SLOT_MINUTES = 30
SLOTS = 24 * 60 // SLOT_MINUTES


class Spanned(Protocol):
    """Something with a beginning and an end, both aware."""

    @property
    def shown_start(self) -> datetime: ...
    @property
    def shown_end(self) -> datetime: ...


T = TypeVar("T", bound=Spanned)


@dataclass(frozen=True)
class Piece(Generic[T]):
    """What of one thing lies on one day: from the top of the day to its bottom there are SLOTS slots.

    `lane` of `lanes` stands beside others of the same hours.
    """

    thing: T
    starts: datetime  # in the calendar's zone
    ends: datetime
    begins_here: bool
    ends_here: bool
    first_slot: int
    last_slot: int  # one past
    lane: int = 0
    lanes: int = 1

    @property
    def words(self) -> str:
        """From when to when on this day, by the calendar's clock; open where it comes from or goes to another day."""
        return f"{self.starts:%H:%M}" * self.begins_here + "–" + f"{self.ends:%H:%M}" * self.ends_here


@dataclass(frozen=True)
class Day(Generic[T]):
    """One day of the calendar."""

    date: date
    inside: bool  # of the month that is shown
    pieces: tuple[Piece[T], ...]


def month_days(shown: date) -> list[date]:
    """Whole weeks, Monday to Sunday, that contain the month."""
    first = shown.replace(day=1)
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return _days(first - timedelta(days=first.weekday()), last + timedelta(days=6 - last.weekday()))


def week_days(shown: date) -> list[date]:
    """Monday to Sunday of the week."""
    monday = shown - timedelta(days=shown.weekday())
    return _days(monday, monday + timedelta(days=6))


def bounds(days: Sequence[date], *, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The moments at which the first day begins and the last one is over, by the zone's wall clock."""
    return _midnight(days[0], zone), _midnight(days[-1] + timedelta(days=1), zone)


def lay_out(things: Iterable[T], *, days: Sequence[date], zone: ZoneInfo, month: int | None = None) -> list[Day[T]]:
    """Each day with what happens on it, by time; `month` says which days count as inside."""
    ordered = sorted(things, key=lambda thing: (thing.shown_start, thing.shown_end))
    return [
        Day(day, month is None or day.month == month, tuple(_in_lanes(_pieces(ordered, day=day, zone=zone))))
        for day in days
    ]


def step(shown: date, *, weeks: int = 0, months: int = 0) -> date:
    """The date that many weeks or months on; a month's step leads to its first day."""
    if months:
        index = shown.year * 12 + shown.month - 1 + months
        return date(index // 12, index % 12 + 1, 1)
    return shown + timedelta(weeks=weeks)


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, tzinfo=zone)


def _pieces(things: Iterable[T], *, day: date, zone: ZoneInfo) -> list[Piece[T]]:
    start, end = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
    found = []
    for thing in things:
        if not (thing.shown_start < end and thing.shown_end > start):
            continue
        starts, ends = thing.shown_start.astimezone(zone), thing.shown_end.astimezone(zone)
        begins_here, ends_here = starts.date() == day, thing.shown_end <= end
        first = _slot(starts) if begins_here else 0
        last = max(first + 1, _slot(ends, up=True) if ends_here and ends.date() == day else SLOTS)
        found.append(Piece(thing, starts, ends, begins_here, ends_here, first, min(last, SLOTS)))
    return found


def _slot(moment: datetime, *, up: bool = False) -> int:
    minutes = moment.hour * 60 + moment.minute
    return -(-minutes // SLOT_MINUTES) if up else minutes // SLOT_MINUTES


def _in_lanes(pieces: list[Piece[T]]) -> list[Piece[T]]:
    """Pieces that overlap stand side by side: each takes the first lane that is free again when it begins."""
    placed: list[Piece[T]] = []
    cluster: list[tuple[Piece[T], int]] = []
    free_at: list[int] = []
    for piece in pieces:
        if cluster and piece.first_slot >= max(free_at):
            placed += _closed(cluster, len(free_at))
            cluster, free_at = [], []
        lane = next((n for n, free in enumerate(free_at) if free <= piece.first_slot), len(free_at))
        free_at[lane : lane + 1] = [piece.last_slot]
        cluster.append((piece, lane))
    return placed + _closed(cluster, len(free_at))


def _closed(cluster: list[tuple[Piece[T], int]], lanes: int) -> list[Piece[T]]:
    return [
        Piece(p.thing, p.starts, p.ends, p.begins_here, p.ends_here, p.first_slot, p.last_slot, lane, lanes)
        for p, lane in cluster
    ]
