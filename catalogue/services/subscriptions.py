"""Who is told about a service: the only module that writes subscriptions.

An address from outside is written to only after its mailbox said yes (double opt-in). The audit log is never cut,
so it keeps the key of the subscription and not somebody's address.
"""

from collections.abc import Iterable
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import connection, transaction

from catalogue import links, subscribing
from catalogue.models import Person, Service, Subscription
from catalogue.rules import SubscriptionState as State
from catalogue.services.rows import one_change
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.events import publish

_HOUR = subscribing.ASK_AGAIN_AFTER * 4
_LOCK = 0x0CA7_5B5C  # advisory lock space: the subscriptions of one address


class Ended(Exception):
    """The subscription was ended, or never confirmed in time; a new sign-up is needed."""


def request(*, service: Service, email: str, by: Actor, at: datetime) -> None:
    """Somebody wants this address to be told about the service; a confirmation link is mailed where one is due.

    The caller learns nothing about the address: known or not, the outcome is the same. Raises ValidationError.
    """
    if problem := subscribing.email_problem(email):
        raise ValidationError({"email": [problem]})
    email = email.lower()
    with one_change(f"the subscriptions to {service.slug}"):
        _lock(email)
        # Ours, or a click on the link that comes just now would be overwritten.
        row = Subscription.objects.select_for_update(of=("self",)).filter(service=service, email=email).first()
        state = State(row.state) if row else State.PENDING
        recent = Subscription.objects.filter(email=email, asked_at__gt=at - _HOUR).count()
        asked_at = row.asked_at if row else None
        if not subscribing.may_ask(state, asked_at=asked_at, asked_this_hour=recent, now=at):
            return
        row = row or Subscription(service=service, email=email)
        row.state, row.requested_at, row.asked_at = State.PENDING.value, at, at
        row.confirmed_at = row.ended_at = None
        row.save()
        _tell("requested", [row], by=by, at=at)


def subscribe_person(*, service: Service, person: Person, by: Actor, at: datetime) -> Subscription:
    """The subscription of one of our people. No link is mailed: their addresses were entered by us."""
    with one_change(f"the subscriptions to {service.slug}"):
        row, created = Subscription.objects.select_for_update(of=("self",)).get_or_create(
            service=service, person=person, defaults={"requested_at": at}
        )
        if created or row.state != State.CONFIRMED:
            _confirm(row, by=by, at=at)
    return row


def confirm(token: str, *, by: Actor, at: datetime) -> Subscription:
    """The subscription, confirmed by whoever reads its mailbox; a second click finds it so already.

    Raises links.BadLink, links.OldLink and Ended.
    """
    key = links.read_confirm(token)
    with transaction.atomic():
        row = Subscription.objects.select_for_update(of=("self",)).select_related("service").filter(pk=key).first()
        if row is None or row.state == State.ENDED:
            raise Ended("This subscription has ended. Sign up again to be told.")
        if row.state == State.PENDING:
            _confirm(row, by=by, at=at)
    return row


def endable(token: str) -> list[Subscription]:
    """What the holder of this unsubscribe link can still end, by service. Raises links.BadLink."""
    what = links.read_end(token)
    rows = Subscription.objects.select_related("service").exclude(state=State.ENDED.value).order_by("service__name")
    if what.subscription is None:
        return list(rows.filter(email=what.email))
    return list(rows.filter(pk=what.subscription))


def end_signed(token: str, *, only: str | None = None, by: Actor, at: datetime) -> list[Subscription]:
    """What was ended by an unsubscribe link: all it stands for, or the one to the service with the slug `only`.

    Raises links.BadLink.
    """
    return end([row for row in endable(token) if only in (None, row.service.slug)], by=by, at=at)


def end(rows: Iterable[Subscription], *, by: Actor, at: datetime) -> list[Subscription]:
    """Those of these subscriptions that were ended by this call."""
    keys = [row.pk for row in rows]
    with transaction.atomic():
        ended = list(
            Subscription.objects.select_for_update(of=("self",))
            .select_related("service", "person")
            .filter(pk__in=keys)
            .exclude(state=State.ENDED.value)
            .order_by("pk")
        )
        for row in ended:
            row.state, row.ended_at = State.ENDED.value, at
        Subscription.objects.filter(pk__in=[row.pk for row in ended]).update(state=State.ENDED.value, ended_at=at)
        _tell("ended", ended, by=by, at=at)
    return ended


def clean_up(*, now: datetime) -> int:
    """Forget addresses that never confirmed, and those that ended; how many."""
    unconfirmed = Subscription.objects.filter(
        state=State.PENDING.value, requested_at__lt=now - subscribing.FORGET_UNCONFIRMED_AFTER
    )
    ended = Subscription.objects.filter(state=State.ENDED.value, ended_at__lt=now - subscribing.FORGET_ENDED_AFTER)
    return unconfirmed.delete()[0] + ended.delete()[0]


def _confirm(row: Subscription, *, by: Actor, at: datetime) -> None:
    row.state, row.confirmed_at, row.ended_at = State.CONFIRMED.value, at, None
    row.save(update_fields=["state", "confirmed_at", "ended_at"])
    _tell("confirmed", [row], by=by, at=at)


def _lock(email: str) -> None:
    """Two sign-ups of one address, one after the other: else both would find that no link was mailed yet."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK, email])


def _tell(what: str, rows: Iterable[Subscription], *, by: Actor, at: datetime) -> None:
    name, notes = f"catalogue.subscription.{what}", []
    for row in rows:
        facts = {"service": row.service.slug, "person": row.person.slug if row.person else None, "state": row.state}
        publish(name, subject=row.pk, at=at, data={**facts, "by": str(by)})
        notes.append(audit.Note(name, f"{row._meta.label_lower}:{row.pk}", after=facts))
    if notes:
        audit.record_many(notes, by=by, at=at)
