"""What is past its time: half a year."""

from django.db.models import Exists, OuterRef

from notifications.models import Delivery, Message
from notifications.rules import KEEP, DeliveryState
from sysops.kernel.clock import Clock

BATCH = 2_000


def clean_up(*, now: Clock, batch: int = BATCH) -> int:
    """Remove messages and deliveries of more than 180 days ago that nobody waits for; how many rows went.

    In short transactions, so that nobody waits for a clean-up.
    """
    before = now() - KEEP
    ended = [DeliveryState.SENT.value, DeliveryState.DEAD.value, DeliveryState.DROPPED.value]
    deliveries = Delivery.objects.filter(message__posted_at__lt=before, state__in=ended)
    empty = ~Exists(Delivery.objects.filter(message=OuterRef("pk")))
    messages = Message.objects.filter(empty, posted_at__lt=before, fanned_out_at__isnull=False)
    removed = 0
    while keys := list(deliveries.order_by("pk").values_list("pk", flat=True)[:batch]):
        Delivery.objects.filter(fallback_of__in=keys).exclude(pk__in=keys).update(fallback_of=None)
        removed += Delivery.objects.filter(pk__in=keys)._raw_delete("default")
    while keys := list(messages.order_by("pk").values_list("pk", flat=True)[:batch]):
        removed += Message.objects.filter(pk__in=keys).delete()[0]
    return removed
