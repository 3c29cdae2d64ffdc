"""Whose turn it is: deliveries handed to one sender at a time, and taken back from senders that died."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce, Greatest

from notifications.models import Channel, Delivery, Message
from notifications.rules import LEASE, LONGEST_ASKED_REST, DeliveryState, Level

BATCH = 50
URGENT_FOR = timedelta(days=2)
# Beyond what any lease or rest lasts: written by a clock that was wrong.
CLOCK_WAS_WRONG = timedelta(minutes=10)
DIED = "The worker that was sending it died or was cut off; it may have been sent."


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
    """Channels with something to send now that are switched on and do not rest; those with something urgent first.

    Among equals a different one leads each time: otherwise the others would wait until a slow one has nothing left.
    """
    due = _due(at).filter(channel=OuterRef("pk"))
    wrong = Q(resting_until__gt=at + LONGEST_ASKED_REST + CLOCK_WAS_WRONG)
    rested = Q(resting_until=None) | Q(resting_until__lte=at) | wrong
    found = Channel.objects.filter(rested, Exists(due), enabled=True).annotate(
        critical=Exists(due.filter(message__in=_critical(at))), urgent=Exists(due.filter(message__in=_urgent(at)))
    )
    return list(found.order_by("-critical", "-urgent", "?"))


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
    over = Q(lease_until__lte=now) | Q(lease_until__gt=now + LEASE + CLOCK_WAS_WRONG)
    lost = Delivery.objects.filter(over, state=DeliveryState.SENDING.value)
    return lost.update(state=DeliveryState.PENDING.value, lease_until=None, due_at=now, error=DIED)


def _due(at: datetime) -> QuerySet[Delivery]:
    return Delivery.objects.filter(state=DeliveryState.PENDING.value, due_at__lte=at)


def _claim_of(channel: Channel, size: int, at: datetime) -> Batch:
    free = _due(at).filter(channel=channel).select_for_update(skip_locked=True, of=("self",)).order_by("due_at", "pk")
    with transaction.atomic():
        found = _apart(_first(free, size, at))
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


def _first(free: QuerySet[Delivery], size: int, at: datetime) -> list[Delivery]:
    """Whose turn it is: ten thousand notices, urgent ones too, do not stand before a page."""
    for sooner in (_critical(at), _urgent(at)):
        if found := list(free.filter(message__in=sooner)[:size]):
            return found
    return list(free[:size])


def _apart(found: list[Delivery]) -> list[Delivery]:
    """What a dead worker held goes by itself: one of them may be what killed it, and must not take others along."""
    return found[:1] if found and found[0].error == DIED else [row for row in found if row.error != DIED]


def _critical(at: datetime) -> QuerySet[Message]:
    return Message.objects.filter(posted_at__gt=at - URGENT_FOR, level=Level.CRITICAL.value)


def _urgent(at: datetime) -> QuerySet[Message]:
    return _critical(at) | Message.objects.filter(posted_at__gt=at - URGENT_FOR, urgent=True)
