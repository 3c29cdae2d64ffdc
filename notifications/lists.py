"""What pages and the API show of channels, messages and deliveries. Reads only, in a fixed number of queries."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, QuerySet
from django.db.models.fields.json import KeyTextTransform

from catalogue.models import Team
from notifications.models import Channel, Delivery, Message, Route
from notifications.rules import DeliveryState, Level


@dataclass(frozen=True)
class Counts:
    """How many deliveries of a message are where."""

    by_state: Mapping[str, int] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        return self._of(DeliveryState.PENDING) + self._of(DeliveryState.SENDING)

    @property
    def sent(self) -> int:
        return self._of(DeliveryState.SENT)

    @property
    def dead(self) -> int:
        return self._of(DeliveryState.DEAD)

    @property
    def dropped(self) -> int:
        return self._of(DeliveryState.DROPPED)

    @property
    def total(self) -> int:
        return sum(self.by_state.values())

    def _of(self, state: DeliveryState) -> int:
        return self.by_state.get(state.value, 0)


@dataclass(frozen=True)
class Told:
    """A message and where its deliveries are."""

    message: Message
    counts: Counts


def channels() -> QuerySet[Channel]:
    """Every channel, by name."""
    return Channel.objects.order_by("name", "pk")


def messages() -> QuerySet[Message]:
    """Every message with its `title`, newest first; without audience and context, which may be large."""
    return (
        Message.objects.annotate(title=KeyTextTransform("title", "context"))
        .defer("context", "audience")
        .order_by("-pk")
    )


def deliveries() -> QuerySet[Delivery]:
    """Every delivery with its message (and `title`), channel and person, newest first."""
    return (
        Delivery.objects.select_related("message", "channel", "person")
        .annotate(title=KeyTextTransform("title", "message__context"))
        .defer("message__context", "message__audience", "channel__sealed_settings")
        .order_by("-pk")
    )


def counts_of(found: Iterable[Message]) -> dict[int, Counts]:
    """Where the deliveries of these messages are, in one query."""
    keys = [message.pk for message in found]
    states: dict[int, dict[str, int]] = {key: {} for key in keys}
    rows = Delivery.objects.filter(message__in=keys).order_by().values_list("message", "state")
    for key, state, count in rows.annotate(count=Count("pk")):
        states[key][state] = count
    return {key: Counts(by_state) for key, by_state in states.items()}


def told(found: Iterable[Message]) -> list[Told]:
    """Each message with where its deliveries are."""
    rows = list(found)
    counts = counts_of(rows)
    return [Told(message, counts[message.pk]) for message in rows]


def routes() -> dict[int | None, dict[Level, list[int]]]:
    """The keys of the channels of each level, for everybody (None) and for each team with routes of its own."""
    found: dict[int | None, dict[Level, list[int]]] = {None: {}}
    for team, level, channel in Route.objects.order_by("pk").values_list("team", "level", "channel"):
        found.setdefault(team, {}).setdefault(Level(level), []).append(channel)
    return found


def teams_with_routes() -> QuerySet[Team]:
    """Teams with routes of their own, by name."""
    return Team.objects.filter(pk__in=Route.objects.filter(team__isnull=False).values("team")).order_by("name", "pk")


def is_resting(channel: Channel, *, now: datetime) -> bool:
    """Whether nothing is sent through it for a while, because it failed as a whole."""
    return channel.resting_until is not None and channel.resting_until > now
