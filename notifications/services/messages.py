"""Posting: a message is a row first, in the transaction that made it true; workers make deliveries of it."""

from collections.abc import Collection, Mapping
from datetime import datetime

from django.db import connection, transaction

from notifications.audience import Audience
from notifications.models import Delivery, Message
from notifications.rules import DeliveryState, Level
from sysops.events import wake


def post(
    *,
    key: str,
    kind: str,
    level: Level,
    context: Mapping[str, object],
    audience: Audience,
    at: datetime,
    thread: str = "",
    urgent: bool = False,
    expires_at: datetime | None = None,
) -> bool:
    """Whether the message was posted now: a key that was posted before is not told of again.

    Call it in the transaction of the change. `kind` names the template; `context` is JSON, its times RFC 3339 under
    names that end in `_at` or `_time`. What could not be delivered until `expires_at` is dropped, and recorded.
    """
    assert connection.in_atomic_block, "a message is posted in the transaction of what it tells of"
    _, created = Message.objects.get_or_create(
        key=key,
        defaults={
            "kind": kind,
            "level": level.value,
            "context": dict(context),
            "audience": audience.as_json(),
            "posted_at": at,
            "thread": thread,
            "urgent": urgent,
            "expires_at": expires_at,
        },
    )
    if created and not any(callback is _wake_fan_out for _, callback, *_ in connection.run_on_commit):
        transaction.on_commit(_wake_fan_out, robust=True)
    return created


def expire(*, thread: str, kinds: Collection[str], because: str, at: datetime) -> None:
    """Drop what has not been delivered yet of these kinds in the thread: it is not true any more.

    Call it in the transaction that made it untrue. Nothing that was sent is touched.
    """
    expire_all(threads=[thread], kinds=kinds, because=because, at=at)


def expire_all(*, threads: Collection[str], kinds: Collection[str], because: str, at: datetime) -> None:
    """`expire`, for several threads at once."""
    assert connection.in_atomic_block
    untrue = Message.objects.filter(thread__in=list(threads), kind__in=list(kinds), expired_because="")
    keys = list(untrue.values_list("pk", flat=True))
    Message.objects.filter(pk__in=keys).update(expires_at=at, expired_because=because[:300])
    Delivery.objects.filter(message__in=keys, state=DeliveryState.PENDING.value).update(
        state=DeliveryState.DROPPED.value, ended_at=at, error=because
    )


def _wake_fan_out() -> None:
    wake("notifications.fan_out")
