"""From a message to its deliveries: one row per person or place and channel, in the background."""

import logging
from collections.abc import Collection, Iterator
from datetime import datetime

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Case, When

from catalogue.rules import label
from notifications import reach
from notifications.audience import Audience
from notifications.models import Channel, Delivery, Message
from notifications.reach import Reach, Recipient
from notifications.rules import GIVE_UP_AFTER, DeliveryState, Level, Target, quiet_until, route
from notifications.services.channels import DEFAULT_CHANNEL, ensure_defaults
from notifications.services.health import BROKEN_KIND
from sysops.access.actors import Actor
from sysops.events import wake
from sysops.kernel.clock import Clock
from sysops.kernel.redaction import redact

logger = logging.getLogger(__name__)

BATCH = 2_000
SEND_TASK = "notifications.send"
MOST_SENDERS = 4
# In place of the address of whom no channel reaches; no driver is ever given it.
UNREACHED = "unreached:"
SUBSCRIBERS = f"{UNREACHED}*"
_PRESSING = Case(When(level=Level.CRITICAL.value, then=0), When(urgent=True, then=1), default=2)
TOO_LATE = "Its time had passed before anybody could be told."


def fan_out(*, now: Clock) -> int:
    """Make the deliveries of every message that waits, and return how many were made.

    Any number of these may run: each message is one transaction of one of them. One that cannot be fanned out holds up
    no other; it is tried again for a day.
    """
    made, failed = 0, set[int]()
    while True:
        at = now()
        pk = None
        try:
            with transaction.atomic():
                waiting = Message.objects.filter(fanned_out_at=None).exclude(pk__in=failed).order_by(_PRESSING, "pk")
                message = waiting.select_for_update(skip_locked=True).first()
                if message is None:
                    break
                pk = message.pk
                made += _fan_out(message, at=at)
        except Exception as exc:
            # Without a database nothing is wrong with the message. One that runs into a time limit of the database's
            # is known by the connection's being alive.
            if pk is None or (isinstance(exc, OperationalError | InterfaceError) and not connection.is_usable()):
                raise
            logger.exception("Message %s cannot be fanned out", pk)
            failed.add(pk)
            _give_up_old(pk, f"{type(exc).__name__}: {exc}", at=at)
    if made:
        wake_senders(made)
    return made


def wake_senders(deliveries: int) -> None:
    """Call as many senders as so many deliveries are worth; they share the work."""
    for _ in range(min(MOST_SENDERS, deliveries // 100 + 1)):
        if not wake(SEND_TASK, expires=60.0):
            return


def due_at(message: Message, person: Recipient, *, at: datetime) -> datetime:
    """When a person may be told: now, or when their quiet hours end."""
    if message.urgent or message.level == Level.CRITICAL.value:
        return at
    return quiet_until(at, starts=person.quiet_from, ends=person.quiet_until, zone=person.zone) or at


def tell_subscribers(message: Message, *, at: datetime) -> int:
    """Make the deliveries to subscribers from outside for whom there was no e-mail channel before; how many."""
    rows = list(_to_outside(message, _reach(message, at=at), told=set(), at=at))
    Delivery.objects.bulk_create(rows, batch_size=BATCH, ignore_conflicts=True)
    return len(rows)


def _fan_out(message: Message, *, at: datetime) -> int:
    if message.expired_because or (message.expires_at is not None and message.expires_at <= at):
        message.expired_because = message.expired_because or TOO_LATE
        rows: list[Delivery] = []
    else:
        rows = list(_deliveries(message, at=at))
        Delivery.objects.bulk_create(rows, batch_size=BATCH, ignore_conflicts=True)
    message.fanned_out_at, message.recipients = at, len(rows)
    message.save(update_fields=["fanned_out_at", "recipients", "expired_because"])
    return len(rows)


def _deliveries(message: Message, *, at: datetime) -> Iterator[Delivery]:
    found = _reach(message, at=at)
    targets, unreached = route(found.groups, contacts=found.contacts, ways=found.ways)
    for target in targets:
        yield _delivery(message, target, found, at=at)
    mailed = {target.address.lower() for target in targets if found.mail and target.channel == found.mail.channel}
    yield from _to_outside(message, found, told=mailed, at=at)
    if found.outside and not found.mail:
        unsent = f"{len(found.outside)} subscriber{'s' * (len(found.outside) > 1)}"
        yield _given_up(message, SUBSCRIBERS, unsent, "no e-mail channel is switched on", at=at)
    for pk in unreached:
        person = found.people[pk]
        because = f"none of their addresses in the catalogue ({_kinds(found, pk)}) fits a channel that is switched on"
        row = _given_up(message, UNREACHED + person.slug, person.name, because, at=at)
        row.person_id = pk
        yield row


def _reach(message: Message, *, at: datetime) -> Reach:
    broken = message.context.get("channel_id") if message.kind == BROKEN_KIND else None
    return reach.reach(Audience.from_json(message.audience), level=Level(message.level), at=at, but=broken)


def _to_outside(message: Message, found: Reach, *, told: Collection[str], at: datetime) -> Iterator[Delivery]:
    if found.mail:
        for email in found.outside:
            if email.lower() not in told:
                yield Delivery(message=message, channel_id=found.mail.channel, outside=True, address=email, due_at=at)


def _delivery(message: Message, target: Target, found: Reach, *, at: datetime) -> Delivery:
    row = Delivery(message=message, channel_id=target.channel, address=target.address, due_at=at)
    person = found.people.get(target.person) if target.person else None
    if person:
        row.person_id, row.name, row.zone = person.pk, person.name, person.zone
        row.due_at = due_at(message, person, at=at)
    return row


def _given_up(message: Message, address: str, name: str, because: str, *, at: datetime) -> Delivery:
    """A delivery that never had a way, so that it is seen among those that were given up, rather than nowhere."""
    return Delivery(
        message=message,
        channel=_any_channel(at),
        address=address,
        name=name,
        due_at=at,
        ended_at=at,
        state=DeliveryState.DEAD.value,
        error=f"Nobody knows how to reach {name}: {because}. Add an address or a channel, then send it again.",
    )


def _kinds(found: Reach, person: int) -> str:
    return ", ".join(dict.fromkeys(label(contact.kind) for contact in found.contacts.get(person, []))) or "none"


def _any_channel(at: datetime) -> Channel:
    """The channel that stands in the row of what had none: the e-mail channel if there is one."""
    ensure_defaults(by=Actor.system(), at=at)
    return Channel.objects.filter(slug=DEFAULT_CHANNEL).first() or Channel.objects.order_by("slug")[0]


def _give_up_old(pk: int, reason: str, *, at: datetime) -> None:
    """After a day of trying, the message is recorded as told to nobody."""
    said = redact(f"It could not be fanned out: {reason}")[:300]
    old = Message.objects.filter(pk=pk, fanned_out_at=None, posted_at__lt=at - GIVE_UP_AFTER)
    old.update(fanned_out_at=at, recipients=0, expired_because=said)
