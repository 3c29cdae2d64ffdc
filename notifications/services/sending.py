"""Sending what is due: claim, commit, send, record each at once. At least once, with the same id; mostly once."""

import logging
import random
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from catalogue.models import Subscription
from catalogue.rules import SubscriptionState
from notifications import reach
from notifications.channels.base import Sender, SendError, drivers
from notifications.models import Channel, Delivery
from notifications.rules import (
    GIVE_UP_AFTER,
    LONGEST_ASKED_REST,
    MAX_ATTEMPTS,
    RENEW_BELOW,
    DeliveryState,
    delay_after,
    first_of_all,
)
from notifications.services import claims, health, rendering
from notifications.services.channels import TEST_KIND
from notifications.services.claims import Batch
from notifications.services.fan_out import SEND_TASK, SUBSCRIBERS, TOO_LATE, UNREACHED, due_at, tell_subscribers
from notifications.services.health import BROKEN_KIND
from notifications.templating import Words
from sysops.access import audit, driver_settings
from sysops.access.actors import Actor
from sysops.access.rules import text
from sysops.access.secrets import CannotOpen
from sysops.events import wake
from sysops.kernel.clock import Clock
from sysops.kernel.redaction import redact
from sysops.kernel.registry import UnknownName

logger = logging.getLogger(__name__)

# How long others leave a channel that failed to whoever tries it: longer than a driver takes to open and send.
PATIENCE = timedelta(seconds=70)
LONGEST_ERROR = 2_000
_SIGNED = re.compile(r"(/subscriptions/(?:confirm|end)/)[^\s\"'<>]+")
UNSUBSCRIBED = "Not subscribed any more."


@dataclass
class _Work:
    """What one sender knows while it works on a batch."""

    batch: Batch
    now: Clock
    stop: float  # on the monotonic clock
    unsubscribed: frozenset[int]  # keys of deliveries
    changed: Mapping[str, Words]
    sent: int = 0
    accepted_at: datetime | None = None  # the last one
    refused: bool = False  # something, since then
    failed: bool = False  # the channel as a whole
    rest: list[Delivery] = field(default_factory=list)


def send_due(*, now: Clock, seconds: float) -> int:
    """Send what is due for so many seconds, and return how many were accepted. Any number of these share the work."""
    stop, sent = time.monotonic() + seconds, 0
    while time.monotonic() < stop:
        batch = claims.claim(now(), patience=PATIENCE)
        if batch is None:
            break
        sent += _send_batch(batch, now=now, stop=stop)
    return sent


def more_is_due(*, now: Clock) -> bool:
    """Whether there is something to send that no channel's rest holds back."""
    return bool(claims.busy_channels(now()))


def send_again(deliveries: Iterable[Delivery], *, by: Actor, at: datetime) -> int:
    """Give what was sent or given up a fresh series of attempts, under the same id; how many there are.

    Whom no channel reached is looked up anew.
    """
    keys = [row.pk for row in deliveries]
    ended = [DeliveryState.DEAD.value, DeliveryState.SENT.value]
    with transaction.atomic():
        rows = list(
            Delivery.objects.filter(pk__in=keys, state__in=ended)
            .select_for_update(of=("self",))
            .select_related("message", "channel")
            .order_by("pk")
        )
        lost = [row for row in rows if row.address.startswith(UNREACHED)]
        plain = [row.pk for row in rows if not row.address.startswith(UNREACHED)]
        count = Delivery.objects.filter(pk__in=plain).update(
            state=DeliveryState.PENDING.value,
            attempt=0,
            due_at=at,
            first_tried_at=None,
            lease_until=None,
            ended_at=None,
        )
        count += sum(
            tell_subscribers(row.message, at=at) if row.address == SUBSCRIBERS else _fall_back(row, at=at)
            for row in lost
        )
        notes = [audit.Note("notifications.delivery.sent_again", row) for row in rows]
        audit.record_many(notes, by=by, at=at)
        if count:
            transaction.on_commit(_wake_sender, robust=True)
    return count


def give_up_old(*, now: datetime) -> int:
    """Give up what has waited a day for a channel that is switched off or fails so long, and use another; how many."""
    waited = Coalesce("first_tried_at", "due_at")
    # So long itself: after two days without any worker, a mail server that starts a minute later costs nothing.
    held_up = Q(channel__enabled=False) | Q(channel__failing_since__lte=now - GIVE_UP_AFTER)
    old = Delivery.objects.filter(held_up, state=DeliveryState.PENDING.value)
    keys = old.alias(waited=waited).filter(waited__lte=now - GIVE_UP_AFTER).order_by("pk").values_list("pk", flat=True)
    return sum(_give_up_waiting(pk, at=now) for pk in keys[:1_000])


def give_up_killers(*, now: datetime) -> int:
    """Give up what was in the hands of one dying worker after the other; how many."""
    tried = Delivery.objects.filter(state=DeliveryState.PENDING.value, attempt__gte=MAX_ATTEMPTS)
    return sum(_give_up_waiting(pk, at=now) for pk in tried.order_by("pk").values_list("pk", flat=True)[:1_000])


def _send_batch(batch: Batch, *, now: Clock, stop: float) -> int:
    ended, changed = _unsubscribed(batch, at=now()), rendering.changed_words()
    work = _Work(batch, now, stop, ended, changed, rest=list(batch.deliveries))
    with ExitStack() as afterwards:
        try:
            sender = _open(batch.channel, afterwards)
        except SendError as exc:
            _channel_failed(work, exc)
        else:
            # One at least: a server that greets slowly would otherwise use up every turn, and nothing be sent.
            while _send_next(sender, work) and work.rest and time.monotonic() < stop:
                pass
    batch.give_back(work.rest)
    _judge(work)
    return work.sent


def _judge(work: _Work) -> None:
    """Record what the batch says of the channel itself."""
    channel, since, accepted_at = work.batch.channel, work.batch.channel.failing_since, work.accepted_at
    if accepted_at is None:
        if since is not None and not work.failed:
            health.go_on(channel.pk, at=work.now())  # tried with what is not true any more, or with a bad address
    elif not work.refused:
        health.worked(channel.pk, at=work.now())
    elif since is not None and since <= accepted_at:  # others could not know yet that something was accepted
        health.worked(channel.pk, at=accepted_at)
    else:
        health.sent(channel.pk, at=accepted_at)


def _open(channel: Channel, afterwards: ExitStack) -> Sender:
    """The way out. Raises SendError."""
    try:
        settings = {**channel.settings, **driver_settings.unsealed(channel.sealed_settings)}
        way_out = drivers.get(channel.driver).open(settings)
        sender = way_out.__enter__()
    except SendError:
        raise
    except (UnknownName, CannotOpen) as exc:
        raise SendError(str(exc)) from exc
    except Exception as exc:
        logger.exception("The driver %s cannot be opened", channel.driver)
        raise SendError(f"The driver failed: {_said(exc)}") from exc
    afterwards.callback(_close, way_out, channel)
    return sender


def _close(way_out: AbstractContextManager[Sender], channel: Channel) -> None:
    try:
        way_out.__exit__(None, None, None)
    except Exception:  # what was accepted has been recorded: nothing is lost with a bad farewell
        logger.warning("The driver %s did not close well", channel.driver, exc_info=True)


def _send_next(sender: Sender, work: _Work) -> bool:
    """Send one and record it; whether the channel can take another one."""
    batch, at = work.batch, work.now()
    if batch.lease_until - at < RENEW_BELOW:
        batch.renew(work.rest, at=at)
    delivery = work.rest.pop(0)
    found = batch.mine(delivery).values_list("message__expires_at", "message__expired_because").first()
    if found is None:
        logger.warning("Delivery %s was taken over by another worker before it was sent", delivery.pk)
        return True
    if because := _untrue(delivery, *found, work=work, at=at):
        _record(work, delivery, state=DeliveryState.DROPPED.value, ended_at=at, error=because)
        return True
    try:
        letter, problem = rendering.letter(delivery, changed=work.changed, at=at)
        receipt = sender.send(letter)
    except SendError as exc:
        return _refused(work, delivery, exc)
    except Exception as exc:  # this letter's: recorded, tried again to a bound, and its neighbours go on
        logger.exception("Delivery %s cannot be sent", delivery.pk)
        return _refused(work, delivery, SendError(f"Unexpected: {_said(exc)}"))
    at = work.now()
    done = {"state": DeliveryState.SENT.value, "sent_at": at, "ended_at": at, "error": problem[:LONGEST_ERROR]}
    _record(work, delivery, provider_id=text(receipt.provider_id, limit=200), **done)
    work.sent, work.accepted_at, work.refused = work.sent + 1, at, False
    if batch.channel.failing_since is not None:
        health.worked(batch.channel.pk, at=at)  # at once: others may send again
        batch.channel.failing_since = None
    return True


def _untrue(delivery: Delivery, expires_at: datetime | None, because: str, *, work: _Work, at: datetime) -> str:
    if because or (expires_at is not None and expires_at <= at):  # `because` holds whatever the clocks say
        return because or TOO_LATE
    return UNSUBSCRIBED if delivery.pk in work.unsubscribed else ""


def _refused(work: _Work, delivery: Delivery, exc: SendError) -> bool:
    if exc.whole_channel:
        _channel_failed(work, exc, in_hand=delivery)
        return False
    if exc.permanent:
        _give_up(work.batch.mine(delivery), delivery, _said(exc), at=work.now())
    else:
        _try_later(work, delivery, exc)
    work.refused = True
    channel, final = work.batch.channel, exc.permanent or delivery.attempt >= MAX_ATTEMPTS
    since = health.refused(channel, _said(exc), final=final, accepted_at=work.accepted_at, at=work.now())
    channel.failing_since = since  # so that what is accepted after it ends it at once
    return True


def _channel_failed(work: _Work, exc: SendError, *, in_hand: Delivery | None = None) -> None:
    """The channel rests, and what was to be sent goes back untried.

    The one in hand may be what made a sound channel fail, or may have been accepted: that counts as a try, so that it
    cannot do so for ever. It goes behind the others.
    """
    channel, at, work.failed = work.batch.channel, work.now(), True
    until = health.failed(channel.pk, _said(exc), asked=exc.retry_after, at=at)
    if in_hand is None:
        return
    if channel.failing_since is None or exc.in_doubt:
        _try_later(work, in_hand, exc, not_before=until)
    else:
        work.batch.mine(in_hand).update(error=_said(exc))
        work.batch.give_back([in_hand], due_at=until + timedelta(seconds=1))


def _try_later(work: _Work, delivery: Delivery, exc: SendError, *, not_before: datetime | None = None) -> None:
    at = work.now()
    wait = delay_after(delivery.attempt, chance=random.random())  # noqa: S311 - spreads waits, guards nothing
    if wait is None:
        _give_up(work.batch.mine(delivery), delivery, f"{_said(exc)} (tried {delivery.attempt} times)", at=at)
        return
    asked = min(exc.retry_after or wait, LONGEST_ASKED_REST)
    due_at = max(at + max(wait, asked), not_before or at)
    _record(work, delivery, state=DeliveryState.PENDING.value, due_at=due_at, error=_said(exc))


def _record(work: _Work, delivery: Delivery, **changes: object) -> None:
    """Write what became of this attempt, unless the lease ran out and somebody else has made another one."""
    if work.batch.mine(delivery).update(lease_until=None, **changes) != 1:
        logger.warning("Delivery %s was taken over by another worker before it was recorded", delivery.pk)


def _give_up_waiting(pk: int, *, at: datetime) -> int:
    with transaction.atomic():
        waiting = Delivery.objects.filter(pk=pk, state=DeliveryState.PENDING.value)
        row = waiting.select_for_update(skip_locked=True, of=("self",)).select_related("message", "channel").first()
        if row is None:
            return 0
        if row.attempt >= MAX_ATTEMPTS:
            because = f"{row.error} (tried {row.attempt} times)"
        elif not row.channel.enabled:
            because = f"It has waited for a day, and the channel {row.channel} is switched off."
        else:
            because = f"The channel {row.channel} has been failing for a day: {row.channel.last_error}"
        return _give_up(Delivery.objects.filter(pk=pk), row, because, at=at)


def _give_up(mine: QuerySet[Delivery], delivery: Delivery, because: str, *, at: datetime) -> int:
    """Dead, with the reason; and the next way to the same person, if there is one."""
    with transaction.atomic():
        done = mine.update(state=DeliveryState.DEAD.value, ended_at=at, lease_until=None, error=because[:LONGEST_ERROR])
        if done and delivery.address == "" and delivery.message.kind != TEST_KIND:
            health.tell_place_lost(delivery.channel, because, at=at)
        if done:
            _fall_back(delivery, at=at)  # whoever gives up sends on, or wakes senders afterwards
    return done


def _fall_back(delivery: Delivery, *, at: datetime) -> int:
    """A delivery through the next address of the person; 0 when they hear of it already, or there is none."""
    person = reach.recipients([delivery.person_id]).get(delivery.person_id) if delivery.person_id else None
    if person is None:
        return 0
    others = Delivery.objects.filter(message=delivery.message_id, person=person.pk).exclude(pk=delivery.pk)
    alive = [DeliveryState.PENDING.value, DeliveryState.SENDING.value, DeliveryState.SENT.value]
    if others.filter(state__in=alive).exists():
        return 0
    used = {(channel, address.lower()) for channel, address in others.values_list("channel_id", "address")}
    used.add((delivery.channel_id, delivery.address.lower()))
    broken = {delivery.message.context.get("channel_id")} if delivery.message.kind == BROKEN_KIND else set()
    ways = [way for way in reach.all_ways() if way.channel not in broken]
    contacts = reach.contacts_of([person.pk]).get(person.pk, [])
    made = [
        Delivery(
            message=delivery.message,
            channel_id=target.channel,
            address=target.address,
            person_id=person.pk,
            name=person.name,
            zone=person.zone,
            fallback_of=delivery,
            due_at=due_at(delivery.message, person, at=at),
        )
        for target in first_of_all(ways, contacts, person.pk, but=used)
    ]
    Delivery.objects.bulk_create(made, ignore_conflicts=True)
    return len(made)


def _unsubscribed(batch: Batch, *, at: datetime) -> frozenset[int]:
    """The deliveries to those who ended their subscriptions after the fan-out and are told for no other reason."""
    by_message: dict[int, list[Delivery]] = {}
    for row in batch.deliveries:
        if row.message.audience.get("subscribers_of"):
            by_message.setdefault(row.message_id, []).append(row)
    ended = set[int]()
    for rows in by_message.values():
        people = {row.person_id for row in rows if row.person_id}
        gone = reach.no_longer_told(rows[0].message, people, at=at)
        ended |= {row.pk for row in rows if row.person_id in gone}
        outside = [row for row in rows if row.outside]
        wanted = Subscription.objects.filter(
            email__in=[row.address for row in outside],
            service__in=rows[0].message.audience["subscribers_of"],
            state=SubscriptionState.CONFIRMED.value,
        )
        still = set(wanted.order_by().values_list("email", flat=True).distinct())
        ended |= {row.pk for row in outside if row.address not in still}
    return frozenset(ended)


def _said(exc: Exception) -> str:
    """What an error says, without secrets, as it can be stored and shown."""
    words = str(exc) if isinstance(exc, SendError) else f"{type(exc).__name__}: {exc}"
    # A mail server that refuses a letter for its content may repeat the links by which its reader acts.
    return _SIGNED.sub(r"\g<1>…", redact(text(words, limit=LONGEST_ERROR)))


def _wake_sender() -> None:
    wake(SEND_TASK)
