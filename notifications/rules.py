"""Who is told through what, when it is tried again, and when it is given up. Pure: no Django, no clock, no I/O."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


class Level(StrEnum):
    """How much it matters (SPEC A4)."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class DeliveryState(StrEnum):
    """Where one delivery is."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    DEAD = "dead"  # given up; `error` says why
    DROPPED = "dropped"  # not true any more when its turn came; `error` says what made it so


MOVES: dict[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.PENDING: frozenset({DeliveryState.SENDING, DeliveryState.DEAD, DeliveryState.DROPPED}),
    DeliveryState.SENDING: frozenset(
        {DeliveryState.SENT, DeliveryState.DEAD, DeliveryState.PENDING, DeliveryState.DROPPED}
    ),
    DeliveryState.DEAD: frozenset({DeliveryState.PENDING}),  # "send again"
    DeliveryState.SENT: frozenset({DeliveryState.PENDING}),
}

LEASE = timedelta(seconds=60)
RENEW_BELOW = timedelta(seconds=40)  # longer than any driver may wait for the other side
MAX_ATTEMPTS = 14  # with the delays below: given up after about five hours
FIRST_DELAY = timedelta(seconds=15)
LONGEST_DELAY = timedelta(minutes=30)
FIRST_REST = timedelta(seconds=5)
LONGEST_REST = timedelta(minutes=5)
LONGEST_ASKED_REST = timedelta(hours=1)  # what the other side may ask for with Retry-After
BROKEN_AFTER = timedelta(minutes=2)  # then people are told, through another channel
REFUSALS = 3  # messages, or people's addresses, that a channel must have failed with before it is called failing
GIVE_UP_AFTER = timedelta(hours=24)  # of waiting for a channel that fails as a whole
KEEP = timedelta(days=180)


def may_move(old: DeliveryState, new: DeliveryState) -> bool:
    return new in MOVES.get(old, frozenset())


def delay_after(attempt: int, *, chance: float) -> timedelta | None:
    """How long to wait after the failed attempt number `attempt` (from 1); None gives up.

    `chance` in [0, 1) spreads the waits over 75–125 %, so that what failed together does not come back together.
    """
    if attempt >= MAX_ATTEMPTS:
        return None
    doubled: timedelta = FIRST_DELAY * 2 ** min(attempt - 1, 30)
    return min(doubled, LONGEST_DELAY) * (0.75 + chance / 2)


def rest_after(failures: int, *, asked: timedelta | None = None) -> timedelta:
    """How long a channel rests after failing as a whole for the `failures`-th time (from 1) in a row."""
    doubled: timedelta = FIRST_REST * 2 ** min(failures - 1, 30)
    return max(min(doubled, LONGEST_REST), min(asked or timedelta(0), LONGEST_ASKED_REST))


@dataclass(frozen=True)
class Untaken:
    """A message that was tried and not taken, so far or (`given_up_at`) for good."""

    address: str  # blank: the channel's own place
    tries: int
    tried_at: datetime  # the first time
    given_up_at: datetime | None = None

    def since(self, accepted_at: datetime | None) -> datetime | None:
        """The first failure of it that is known to be later than `accepted_at`."""
        moments = [moment for moment in (self.tried_at, self.given_up_at) if moment is not None]
        return next((moment for moment in moments if accepted_at is None or moment > accepted_at), None)


def refuses_since(
    untaken: Iterable[Untaken], *, one_place: bool, accepted_at: datetime | None, at: datetime
) -> datetime | None:
    """Since when a channel that answers takes nothing; None while that cannot be said. Whatever is accepted ends it.

    A channel to one place takes nothing when it refused three messages for good, or failed with three tries over two
    minutes. One to people's addresses when three of these were given up: a bad mailbox or two are not the channel's.
    """
    found = [(each, since) for each in untaken if (since := each.since(accepted_at)) is not None]
    given_up = [each for each, _ in found if each.given_up_at is not None]
    begun = min((since for _, since in found), default=at)
    if one_place:
        lasts = at - begun >= BROKEN_AFTER and sum(each.tries for each, _ in found) >= REFUSALS
        fails = lasts or len(given_up) >= REFUSALS
    else:
        fails = len({each.address.lower() for each in given_up}) >= REFUSALS
    return begun if fails else None


def quiet_until(at: datetime, *, starts: time | None, ends: time | None, zone: str) -> datetime | None:
    """When the quiet hours end that `at` lies in; None outside them. They may go past midnight.

    Each night is one span between two moments: an hour that the clocks show twice is quiet once, and an end that the
    clocks leave out is where they go on.
    """
    if starts is None or ends is None or starts == ends:
        return None
    zone = known_zone(zone)
    today = at.astimezone(ZoneInfo(zone)).date()
    for day in (today - timedelta(days=1), today):
        begin = _moment(day, starts, zone)
        end = _moment(day if starts < ends else day + timedelta(days=1), ends, zone)
        if begin <= at < end:
            return end
    return None


def known_zone(name: str) -> str:
    """The time zone, or UTC for one that is not known (any more): it must not keep a message from everybody."""
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "UTC"


def _moment(day: date, wall_clock: time, zone: str) -> datetime:
    # A wall-clock time that does not exist takes the offset before the gap, and so comes out after it.
    return datetime.combine(day, wall_clock.replace(tzinfo=None, fold=0), ZoneInfo(zone)).astimezone(UTC)


@dataclass(frozen=True)
class Way:
    """An enabled channel. `reaches` is the kind of contact it needs, "" when it leads to a place of its own."""

    channel: int
    reaches: str
    ailing: bool = False  # fails as a whole just now


@dataclass(frozen=True)
class Contact:
    """One address of a person."""

    kind: str
    address: str


@dataclass(frozen=True)
class Group:
    """People told by the same routes, and whether the places those routes lead to are told too."""

    people: Collection[int]
    ways: Sequence[Way]
    places: bool = True


@dataclass(frozen=True)
class Target:
    """One delivery to make. `person` is None for a place."""

    channel: int
    address: str
    person: int | None


def route(
    groups: Iterable[Group], *, contacts: Mapping[int, Sequence[Contact]], ways: Sequence[Way]
) -> tuple[list[Target], list[int]]:
    """Every delivery to make for these groups, each once; and the people whom no channel reaches.

    `contacts` of each person in their order, `ways` all channels there are. Whom none of the routes reaches is told
    through the first of their addresses that any channel can use; a place of a team's own counts for its people.
    """
    found: dict[tuple[int, str], Target] = {}
    nobody_knows: dict[int, None] = {}
    for group in groups:
        places = [way for way in group.ways if not way.reaches] if group.places else []
        for way in places:
            found.setdefault((way.channel, ""), Target(way.channel, "", None))
        for person in group.people:
            has = contacts.get(person, ())
            targets = [target for way in group.ways for target in first_by(way, has, person)]
            if not targets and not places:
                targets = first_of_all(ways, has, person)
            if not targets and not places:
                nobody_knows[person] = None
            for target in targets:
                found.setdefault((target.channel, target.address.lower()), target)
    return list(found.values()), list(nobody_knows)


def first_by(way: Way, contacts: Iterable[Contact], person: int) -> list[Target]:
    """The first of a person's addresses that this channel can use, if there is one."""
    return [Target(way.channel, has.address, person) for has in contacts if has.kind == way.reaches][:1]


def first_of_all(
    ways: Sequence[Way], contacts: Iterable[Contact], person: int, *, but: Collection[tuple[int, str]] = ()
) -> list[Target]:
    """The first of a person's addresses that any channel can use, but not those channels and addresses.

    A channel that works now goes before one that fails.
    """
    sound_first = sorted(ways, key=lambda way: way.ailing)
    possible = [
        (way.ailing, Target(way.channel, has.address, person))
        for has in contacts
        for way in sound_first
        if way.reaches == has.kind and (way.channel, has.address.lower()) not in but
    ]
    return [target for _, target in sorted(possible, key=lambda found: found[0])[:1]]
