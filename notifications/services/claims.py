"""Whose turn it is: deliveries handed to one sender at a time, and taken back from senders that died."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce, Greatest

from notifications.models import Channel, Delivery, Message
from notifications.rules import LEASE, DeliveryState, Level

BATCH = 50
URGENT_FOR = timedelta(days=2)


@dataclass
class Batch:
    """Deliveries of one channel in our hands until `lease_until`."""

    channel: Channel
    deliveries: list[Delivery]
    lease_until: datetime

    def mine(self, delivery: Delivery) -> QuerySet[Delivery]:
        """The row, as long as it is ours: a sender that lost its lease finds nothing to write to."""
        return Delivery.objects.filter(
            pk=delivery.pk,
            state=DeliveryState.SENDING.value,
            attempt=delivery.attempt,
            lease_until=self.lease_until,
        )

    def renew(self, rest: list[Delivery], *, at: datetime) -> None:
        """Keep what is still to be sent for another lease. What was lost meanwhile is noticed at its turn."""
        fresh = at + LEASE
        Delivery.objects.filter(
            pk__in=[row.pk for row in rest], state=DeliveryState.SENDING.value, lease_until=self.lease_until
        ).update(lease_until=fresh)
        self.lease_until = fresh

    def give_back(self, rest: list[Delivery], *, due_at: datetime | None = None) -> None:
        """Let others have what was not tried; that was no attempt."""
        Delivery.objects.filter(
            pk__in=[row.pk for row in rest], state=DeliveryState.SENDING.value, lease_until=self.lease_until
        ).update(
            state=DeliveryState.PENDING.value,
            attempt=F("attempt") - 1,  # nobody else has counted on from it: it was ours
            lease_until=None,
            due_at=F("due_at") if due_at is None else Greatest(F("due_at"), due_at),
        )


def busy_channels(at: datetime) -> list[Channel]:
    """Channels with something to send now that are switched on and do not rest; those with something urgent first."""
    due = _due(at).filter(channel=OuterRef("pk"))
    awake = Channel.objects.filter(Q(resting_until=None) | Q(resting_until__lte=at), Exists(due), enabled=True)
    return list(awake.annotate(urgent=Exists(due.filter(message__in=_urgent(at)))).order_by("-urgent", "pk"))


def how_many_due(at: datetime, *, most: int = 1_000) -> int:
    """How many could be sent now, counted up to `most`."""
    channels = [channel.pk for channel in busy_channels(at)]
    return _due(at).filter(channel__in=channels)[:most].count() if channels else 0


def claim(at: datetime, *, patience: timedelta) -> Batch | None:
    """The next batch, or None when nothing is to be done. Of a channel that failed, one delivery, to try it.

    `patience` is how long others leave such a channel to whoever tries it.
    """
    for channel in busy_channels(at):
        size = BATCH
        if channel.failing_since is not None:
            still = Channel.objects.filter(pk=channel.pk, resting_until=channel.resting_until)
            if not still.update(resting_until=at + patience):
                continue
            size = 1
        batch = _claim_of(channel, size, at)
        if batch.deliveries:
            return batch
    return None


def take_back(*, now: datetime) -> int:
    """Give others what dead senders held; how many. Their attempt counts: it may be what killed them."""
    lost = Delivery.objects.filter(state=DeliveryState.SENDING.value, lease_until__lte=now)
    return lost.update(
        state=DeliveryState.PENDING.value,
        lease_until=None,
        due_at=now,
        error="The worker that was sending it died or was cut off; it may have been sent.",
    )


def _due(at: datetime) -> QuerySet[Delivery]:
    return Delivery.objects.filter(state=DeliveryState.PENDING.value, due_at__lte=at)


def _claim_of(channel: Channel, size: int, at: datetime) -> Batch:
    free = _due(at).filter(channel=channel).select_for_update(skip_locked=True, of=("self",)).order_by("due_at", "pk")
    with transaction.atomic():
        # Ten thousand notices of next week's maintenance do not stand before a page.
        found = list(free.filter(message__in=_urgent(at))[:size]) or list(free[:size])
        lease_until = at + LEASE
        Delivery.objects.filter(pk__in=[row.pk for row in found]).update(
            state=DeliveryState.SENDING.value,
            attempt=F("attempt") + 1,
            lease_until=lease_until,
            first_tried_at=Coalesce("first_tried_at", at),
        )
    said = Message.objects.in_bulk({row.message_id for row in found})
    for row in found:
        row.state, row.attempt, row.lease_until = DeliveryState.SENDING.value, row.attempt + 1, lease_until
        row.first_tried_at = row.first_tried_at or at
        row.message = said[row.message_id]
    return Batch(channel, found, lease_until)


def _urgent(at: datetime) -> QuerySet[Message]:
    recent = Message.objects.filter(posted_at__gt=at - URGENT_FOR)
    return recent.filter(Q(level=Level.CRITICAL.value) | Q(urgent=True))
