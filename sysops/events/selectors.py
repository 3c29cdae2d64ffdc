"""How the outbox is doing."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, Q

from sysops.events.models import Delivery
from sysops.events.rules import State


@dataclass(frozen=True)
class Outbox:
    """Deliveries that wait and that were given up, and how long the oldest due one has been waiting."""

    pending: int
    dead: int
    oldest_waits: timedelta | None


def outbox(*, at: datetime) -> Outbox:
    """The state of the outbox, for the dashboard and for health, in one query."""
    found = Delivery.objects.exclude(state=State.DONE.value).aggregate(
        pending=Count("pk", filter=Q(state=State.PENDING.value)),
        dead=Count("pk", filter=Q(state=State.DEAD.value)),
        oldest=Min("due_at", filter=Q(state=State.PENDING.value, due_at__lte=at)),
    )
    return Outbox(found["pending"], found["dead"], at - found["oldest"] if found["oldest"] else None)
