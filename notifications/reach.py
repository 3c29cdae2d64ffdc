"""Who stands behind an audience, and through what they are told: the rows that `rules.route` decides on. Reads only."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, time

from django.db.models import Q

from catalogue.models import ContactAddress, Membership, Person, Service, Subscription
from catalogue.rules import Channel as Kind
from catalogue.rules import SubscriptionState
from catalogue.selectors_oncall import on_call
from notifications.audience import Audience
from notifications.channels.base import drivers
from notifications.models import Channel, Message, Route
from notifications.rules import Contact, Group, Level, Way
from sysops.access.roles import ADMIN


@dataclass(frozen=True)
class Recipient:
    """What of a person decides when and how they are told."""

    pk: int
    slug: str
    name: str
    zone: str
    quiet_from: time | None
    quiet_until: time | None


@dataclass(frozen=True)
class Reach:
    """Everything needed to say which deliveries a message has."""

    groups: list[Group]
    outside: list[str]  # e-mail addresses of subscribers who are nobody of ours
    people: Mapping[int, Recipient]
    contacts: Mapping[int, list[Contact]]
    ways: list[Way]
    mail: Way | None  # what subscribers are mailed through


def reach(audience: Audience, *, level: Level, at: datetime, but: int | None = None) -> Reach:
    """Who is told of a message of this level, and by which channels; never through the channel `but`.

    A fixed number of queries, however many people and services there are.
    """
    ways = all_ways(but=but)
    routes = _routes(level, {way.channel: way for way in ways})
    default = routes.get(None, [])
    mail = next((way for way in (*default, *ways) if way.reaches == Kind.EMAIL), None)
    groups: list[Group] = []
    subscribed, outside = _subscribers(audience)
    if subscribed:
        groups.append(Group(subscribed, [mail] if mail else [], places=False))
    if audience.people:
        groups.append(Group(audience.people, default, places=False))
    ask_operators = audience.operators
    for team, members in _teams(audience, at=at):
        group = Group(members, routes.get(team, default))
        # Somebody has to hear of what is meant for a team that has nobody.
        if not members and all(way.reaches for way in group.ways):
            ask_operators = True
        else:
            groups.append(group)
    if ask_operators:
        groups.append(Group(_operators(), default))
    people = {pk for group in groups for pk in group.people}
    return Reach(groups, outside, recipients(people), contacts_of(people), ways, mail)


def no_longer_told(message: Message, people: Collection[int], *, at: datetime) -> set[int]:
    """Those of these people who ended their subscription after the fan-out, and are told for no other reason."""
    audience = Audience.from_json(message.audience)
    of_these = Subscription.objects.filter(service__in=audience.subscribers_of, person__in=people).order_by()
    ended = of_these.filter(state=SubscriptionState.ENDED.value, ended_at__gte=message.fanned_out_at)
    gone = set(ended.values_list("person_id", flat=True))
    if not gone or audience.operators:
        return set()
    still = of_these.filter(state=SubscriptionState.CONFIRMED.value).values_list("person_id", flat=True)
    of_teams = (person for _, members in _teams(audience, at=at) for person in members)
    return {pk for pk in gone if pk} - {*still, *of_teams, *audience.people}


def all_ways(*, but: int | None = None) -> list[Way]:
    """Every enabled channel whose driver is there, but not this one."""
    rows = Channel.objects.filter(enabled=True).order_by("slug")
    found = rows.values_list("pk", "driver", "failing_since")
    return [
        Way(pk, drivers.get(driver).reaches, ailing=since is not None)
        for pk, driver, since in found
        if driver in drivers and pk != but
    ]


def contacts_of(people: Collection[int]) -> dict[int, list[Contact]]:
    """The addresses of each person, the first to be tried first."""
    found: dict[int, list[Contact]] = {}
    rows = ContactAddress.objects.filter(person__in=people).order_by("position", "pk")
    for person, kind, address in rows.values_list("person_id", "channel", "address"):
        found.setdefault(person, []).append(Contact(kind, address))
    return found


def recipients(people: Collection[int]) -> dict[int, Recipient]:
    """What is known of each of these people."""
    fields = ("pk", "slug", "name", "time_zone", "quiet_from", "quiet_until")
    return {row[0]: Recipient(*row) for row in Person.objects.filter(pk__in=people).values_list(*fields)}


def _routes(level: Level, ways: Mapping[int, Way]) -> dict[int | None, list[Way]]:
    """The channels of each team that has routes of its own at this level, and under None everybody else's."""
    found: dict[int | None, list[Way]] = {}
    rows = Route.objects.filter(level=level.value).order_by("pk")
    for team, channel in rows.values_list("team_id", "channel_id"):
        of_team = found.setdefault(team, [])
        if channel in ways:
            of_team.append(ways[channel])
    return found


def _subscribers(audience: Audience) -> tuple[list[int], list[str]]:
    """The people and the outside addresses behind the subscriptions, each once."""
    wanted = Q()
    if audience.subscribers_of:
        wanted |= Q(service__in=audience.subscribers_of, state=SubscriptionState.CONFIRMED.value)
    if audience.subscriptions:
        wanted |= Q(pk__in=audience.subscriptions) & ~Q(state=SubscriptionState.ENDED.value)
    if not wanted:
        return [], []
    rows = Subscription.objects.filter(wanted).order_by("person_id", "email")
    found = list(rows.values_list("person_id", "email").distinct())
    return [pk for pk, _ in found if pk is not None], [email for pk, email in found if pk is None]


def _teams(audience: Audience, *, at: datetime) -> list[tuple[int, list[int]]]:
    """Each team concerned, and whom of it to tell."""
    whole = set(audience.teams)
    if audience.owners_of:
        owned = Service.objects.filter(pk__in=audience.owners_of, owner_team__isnull=False)
        whole.update(pk for pk in owned.order_by().values_list("owner_team_id", flat=True).distinct() if pk)
    members: dict[int, list[int]] = {team: [] for team in sorted(whole)}
    for team, person in Membership.objects.filter(team__in=whole).order_by("pk").values_list("team_id", "person_id"):
        members[team].append(person)
    found = list(members.items())
    if audience.on_call_of:
        named = on_call(audience.on_call_of, at=at)
        found += [(team, [person.pk for person in duty.people]) for team, duty in named.items()]
    return found


def _operators() -> list[int]:
    admins = Q(user__is_superuser=True) | Q(user__groups__name=ADMIN.value)
    found = Person.objects.filter(admins, user__is_active=True).order_by("pk").values_list("pk", flat=True).distinct()
    return list(found) or list(Person.objects.order_by("pk").values_list("pk", flat=True))
