"""How channels and deliveries are doing: for the dashboard and for health. Reads only; lists are in lists.py."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, Q, QuerySet

from notifications.models import Channel, Delivery, Message
from notifications.rules import DeliveryState

_OPEN = [DeliveryState.PENDING.value, DeliveryState.SENDING.value]


@dataclass(frozen=True)
class ChannelHealth:
    """How one channel is: what waits for it, and since when it fails."""

    channel: Channel
    waiting: int
    dead_last_day: int

    @property
    def state(self) -> str:
        """off, broken (people were told), failing or working."""
        if not self.channel.enabled:
            return "off"
        if self.channel.failing_since is None:
            return "working"
        return "broken" if self.channel.told_broken_at else "failing"


@dataclass(frozen=True)
class Counts:
    """What the dashboard says. `oldest_waits`: how long the oldest due delivery, or message without any, waits."""

    waiting: int
    dead_last_day: int
    oldest_waits: timedelta | None
    broken_channels: list[Channel]


def channel_health(*, at: datetime) -> list[ChannelHealth]:
    """How each channel is, by slug. Three queries."""
    open_rows = Delivery.objects.filter(state__in=_OPEN).order_by()
    waiting = dict(open_rows.values_list("channel").annotate(many=Count("pk")))
    dead = dict(_dead_last_day(at).order_by().values_list("channel").annotate(many=Count("pk")))
    return [ChannelHealth(row, waiting.get(row.pk, 0), dead.get(row.pk, 0)) for row in Channel.objects.order_by("slug")]


def counts(*, at: datetime) -> Counts:
    """Figures for the dashboard, in four queries."""
    due = Q(due_at__lte=at)
    found = Delivery.objects.filter(state__in=_OPEN).aggregate(waiting=Count("pk"), oldest=Min("due_at", filter=due))
    unspread = Message.objects.filter(fanned_out_at=None).aggregate(oldest=Min("posted_at"))["oldest"]
    since = min((moment for moment in (found["oldest"], unspread) if moment), default=None)
    return Counts(
        waiting=found["waiting"],
        dead_last_day=_dead_last_day(at).count(),
        oldest_waits=None if since is None else max(at - since, timedelta(0)),
        broken_channels=list(Channel.objects.filter(failing_since__isnull=False, enabled=True).order_by("slug")),
    )


def _dead_last_day(at: datetime) -> QuerySet[Delivery]:
    return Delivery.objects.filter(state=DeliveryState.DEAD.value, ended_at__gt=at - timedelta(days=1))
