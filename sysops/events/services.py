"""What the platform does with events. Every write to Event and Delivery starts here."""

import json
import logging
import random
import time
from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from sysops.events import registry
from sysops.events.models import Delivery, Event
from sysops.events.rules import KEEP_DEAD, KEEP_DONE, LEASE, LONGEST_WAIT, WORK_FOR, State, delay_after
from sysops.events.waking import wake
from sysops.kernel.clock import Clock
from sysops.kernel.masking import secret_names
from sysops.kernel.redaction import redact

logger = logging.getLogger(__name__)

RELAY_TASK = "events.relay"
LIMIT = 500
TURN = 50  # deliveries of one subscriber before the next one has its turn
_LOCK = 7_305_002  # advisory lock space: claiming for one subscriber
_LARGEST_DATA = 64 * 1024


class NotInTransaction(Exception):
    """An event was published outside a transaction: it could be kept while its change is lost, or the reverse."""


class BadEvent(ValueError):
    """The event cannot be stored; the message says what is wrong with it."""


def publish(name: str, *, subject: object, at: datetime, data: Mapping[str, object] | None = None) -> int:
    """See sysops.events.publish."""
    return publish_many(name, {str(subject): data or {}}, at=at)[0]


def publish_many(name: str, data: Mapping[str, Mapping[str, object]], *, at: datetime) -> list[int]:
    """See sysops.events.publish_many."""
    if not connection.in_atomic_block:
        raise NotInTransaction(f"Publish {name} inside transaction.atomic(), together with the change it tells of")
    for subject, facts in data.items():
        _check(name, subject, at, facts)
    events = Event.objects.bulk_create(
        [Event(name=name, subject=str(subject), at=at, data=dict(facts)) for subject, facts in data.items()]
    )
    wanting = registry.wanting(name)
    Delivery.objects.bulk_create(
        [Delivery(event=event, subscriber=who, due_at=at) for event in events for who in wanting]
    )
    # One wake-up per transaction however many events it publishes; a rolled back savepoint takes its own along.
    if events and wanting and not any(callback is _wake_relay for _, callback, *_ in connection.run_on_commit):
        transaction.on_commit(_wake_relay, robust=True)
    return [event.pk for event in events]


def relay(*, now: Clock, limit: int = LIMIT) -> int:
    """Tell subscribers what is due, oldest first, and return how many were told (or refused to hear).

    Subscribers take turns, and each is served by one relay at a time, in order; any number of relays may run.
    Every delivery is claimed and committed first, handled outside any transaction, and recorded after.
    """
    told, stop = 0, time.monotonic() + WORK_FOR.total_seconds()
    busy = True
    while busy:
        busy = False
        for subscriber in _due_subscribers(now()):
            turn = 0
            while turn < TURN and told < limit and time.monotonic() < stop and _tell_next(subscriber, now):
                turn, told, busy = turn + 1, told + 1, True
    return told


def try_again(*, deliveries: Iterable[Delivery], at: datetime) -> int:
    """Give dead deliveries a fresh series of attempts; how many were dead."""
    keys = [delivery.pk for delivery in deliveries]
    with transaction.atomic():
        count = Delivery.objects.filter(pk__in=keys, state=State.DEAD.value).update(
            state=State.PENDING.value, attempt=0, due_at=at, leased_until=None, finished_at=None
        )
        if count:
            transaction.on_commit(_wake_relay, robust=True)
    return count


def clean_up(*, now: Clock, batch: int = 5_000) -> int:
    """Remove what is done (30 days), dead (180 days) and events nobody waits for; how many rows went."""
    at = now()
    finished = Q(state=State.DONE.value, finished_at__lt=at - KEEP_DONE) | Q(
        state=State.DEAD.value, finished_at__lt=at - KEEP_DEAD
    )
    removed = _delete_in_batches(Delivery.objects.filter(finished), batch)
    waited_for = Delivery.objects.filter(event=OuterRef("pk"))
    forgotten = Event.objects.filter(~Exists(waited_for), at__lt=at - KEEP_DONE)
    return removed + _delete_in_batches(forgotten, batch)


def _check(name: str, subject: object, at: datetime, data: Mapping[str, object] | None) -> None:
    if not registry.NAME.fullmatch(name) or len(name) > 100:
        raise BadEvent(f"{name!r} is no event name; it should look like 'backups.backup.failed'")
    if not 0 < len(str(subject)) <= 200:
        raise BadEvent(f"The subject of {name} must be a key of 1 to 200 characters")
    if at.tzinfo is None:
        raise BadEvent(f"{name} was published with a time without zone")
    if leaked := secret_names(data):
        raise BadEvent(f"{name} would store a secret in {', '.join(leaked)}; pass a reference instead")
    try:
        encoded = json.dumps(data or {}, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as exc:
        raise BadEvent(f"The data of {name} is not JSON: {exc}") from None
    if b"\\u0000" in encoded:
        raise BadEvent(f"The data of {name} has a NUL character, which PostgreSQL cannot store")
    size = len(encoded)
    if size > _LARGEST_DATA:
        raise BadEvent(f"The data of {name} has {size} bytes; at most {_LARGEST_DATA} are stored, pass a key instead")


def _wake_relay() -> None:
    wake(RELAY_TASK)


def _due(at: datetime) -> Q:
    """A time further ahead than we ever set one is of a clock that has been set back since: it is past, too."""
    never = at + LONGEST_WAIT
    due = Q(due_at__lte=at) | Q(due_at__gt=never)
    unleased = Q(leased_until=None) | Q(leased_until__lte=at) | Q(leased_until__gt=never)
    return Q(state=State.PENDING.value) & due & unleased


def _due_subscribers(at: datetime) -> list[str]:
    return list(
        Delivery.objects.filter(_due(at)).order_by("subscriber").values_list("subscriber", flat=True).distinct()
    )


def _tell_next(subscriber: str, now: Clock) -> bool:
    """Tell a subscriber of its oldest due event; False when there is none, or another relay serves it just now."""
    delivery = _claim(subscriber, now())
    if delivery is None:
        return False
    try:
        registry.handler_of(subscriber)(delivery.event)
    except Exception as exc:  # whatever it is, it is this subscriber's: recorded here, and the others go on
        logger.exception("Subscriber %s failed on event %s", subscriber, delivery.event_id)
        _record_failure(delivery, f"{type(exc).__name__}: {exc}", at=now())
    else:
        _record(delivery, at=now(), state=State.DONE.value, finished_at=now(), error="")
    return True


def _claim(subscriber: str, at: datetime) -> Delivery | None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", [_LOCK, subscriber])
            if not cursor.fetchone()[0]:
                return None
        mine = Delivery.objects.filter(subscriber=subscriber, state=State.PENDING.value)
        if mine.filter(leased_until__gt=at, leased_until__lte=at + LONGEST_WAIT).exists():
            return None  # in another worker's hands; the next one waits for it, to keep the order
        due = mine.filter(_due(at)).select_for_update(skip_locked=True, of=("self",)).select_related("event")
        delivery = due.order_by("id").first()
        if delivery is not None:
            delivery.attempt, delivery.leased_until = delivery.attempt + 1, at + LEASE
            delivery.save(update_fields=["attempt", "leased_until"])
        return delivery


def _record_failure(delivery: Delivery, reason: str, *, at: datetime) -> None:
    error = redact(reason.replace("\0", "\ufffd"))[:2_000]
    wait = delay_after(delivery.attempt, chance=random.random())  # noqa: S311 - spreads waits, guards nothing
    if wait is None:
        logger.error("Gave up on event %s for %s: %s", delivery.event_id, delivery.subscriber, error)
        _record(delivery, at=at, state=State.DEAD.value, finished_at=at, error=error)
    else:
        _record(delivery, at=at, due_at=at + wait, error=error)


def _record(delivery: Delivery, *, at: datetime, **changes: object) -> None:
    """Write what became of this attempt, unless the lease ran out and somebody else has made another one."""
    mine = Delivery.objects.filter(pk=delivery.pk, state=State.PENDING.value, attempt=delivery.attempt)
    if mine.update(leased_until=None, **changes) != 1:
        logger.warning("Delivery %s was taken over by another worker before it was recorded", delivery.pk)


def _delete_in_batches(rows: "QuerySet[Delivery] | QuerySet[Event]", batch: int) -> int:
    """Short transactions, so that nobody waits for a clean-up."""
    removed, last = 0, batch
    while last >= batch:
        keys = list(rows.order_by().values_list("pk", flat=True)[:batch])
        last, _ = rows.model._default_manager.filter(pk__in=keys).delete()
        removed += last
    return removed
