"""How channels are: what fails is told of through another one.

One that cannot be reached rests, longer each time, and what it should send waits. One that answers and takes nothing
(its URL is gone, its token was withdrawn) does not rest: each message is tried, and given up for its own reason.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from notifications.audience import Audience
from notifications.channels.base import drivers
from notifications.models import Channel, Delivery
from notifications.rules import BROKEN_AFTER, DeliveryState, Level, Untaken, refuses_since, rest_after
from notifications.services import messages
from notifications.services.channels import TEST_KIND
from notifications.services.claims import DIED
from sysops.events import publish

BROKEN_KIND = "notifications.channel_broken"
WORKS_KIND = "notifications.channel_works"
MOST = 500  # untaken messages looked at: more of them say the same


def failed(channel_id: int, error: str, *, asked: timedelta | None, at: datetime) -> datetime:
    """Record that nobody can be reached through the channel; when it may be tried again."""
    with transaction.atomic():
        channel = Channel.objects.select_for_update(no_key=True).get(pk=channel_id)
        channel.failures += 1
        channel.failing_since = channel.failing_since or at
        channel.resting_until = at + rest_after(channel.failures, asked=asked)
        channel.last_error = error
        channel.save(update_fields=["failures", "failing_since", "resting_until", "last_error"])
        _tell_if_broken(channel, at=at)
    return channel.resting_until


def refused(
    channel: Channel, error: str, *, final: bool, accepted_at: datetime | None, at: datetime
) -> datetime | None:
    """Record that the channel answered and did not take a message (`final`: that is given up); since when it fails.

    Call it when the delivery is recorded. `accepted_at`: when the caller last had one accepted, recorded or not. People
    are told by `tell_broken`: what comes next in the same batch may be accepted.
    """
    one_place = drivers.get(channel.driver).reaches == ""
    if not (one_place or final):
        return channel.failing_since  # a mailbox that is full says nothing about the others
    with transaction.atomic():
        channel = Channel.objects.select_for_update(no_key=True).get(pk=channel.pk)
        if channel.failing_since is None:
            accepted = max((moment for moment in (channel.last_sent_at, accepted_at) if moment), default=None)
            untaken = _untaken(channel, one_place=one_place)
            channel.failing_since = refuses_since(untaken, one_place=one_place, accepted_at=accepted, at=at)
        elif one_place and final:
            channel.failures = 0  # it could not be reached before; now it can be
        if one_place or channel.refuses:
            channel.last_error = error
        channel.save(update_fields=["failing_since", "failures", "last_error"])
    return channel.failing_since


def worked(channel_id: int, *, at: datetime) -> None:
    """Record that something was accepted. A channel that was told of as broken is told of as recovered."""
    with transaction.atomic():
        ailing = Channel.objects.filter(Q(failing_since__isnull=False) | ~Q(last_error=""), pk=channel_id)
        channel = ailing.select_for_update(no_key=True).first()
        if channel is not None:
            told, since, refusing = channel.told_broken_at, channel.failing_since or at, channel.refuses
            channel.failures, channel.failing_since, channel.resting_until = 0, None, None
            channel.told_broken_at, channel.last_error = None, ""
            channel.save(update_fields=["failures", "failing_since", "resting_until", "told_broken_at", "last_error"])
            if told:
                publish("notifications.channel.recovered", subject=channel.pk, at=at, data={"slug": channel.slug})
                messages.expire(thread=_thread(channel), kinds=[BROKEN_KIND], because="The channel works again.", at=at)
                what = f"works:{told.isoformat()}"
                _post(channel, WORKS_KIND, what, level=Level.WARNING, since=since, refused=refusing, at=at)
    sent(channel_id, at=at)


def sent(channel_id: int, *, at: datetime) -> None:
    """Record when something was accepted, and nothing else: what came after it was not."""
    Channel.objects.filter(Q(last_sent_at=None) | Q(last_sent_at__lt=at), pk=channel_id).update(last_sent_at=at)


def go_on(channel_id: int, *, at: datetime) -> None:
    """End the rest of a failing channel: the one who tried it learnt nothing of the channel as a whole."""
    Channel.objects.filter(pk=channel_id, failing_since__isnull=False).update(resting_until=at)


def tell_broken(*, now: datetime) -> int:
    """Tell of every channel that has been failing for two minutes, once each; how many."""
    told = 0
    overdue = Channel.objects.filter(told_broken_at=None, failing_since__lte=now - BROKEN_AFTER, enabled=True)
    for pk in overdue.values_list("pk", flat=True):
        with transaction.atomic():
            channel = Channel.objects.select_for_update(no_key=True).get(pk=pk)
            told += _tell_if_broken(channel, at=now)
    return told


def tell_place_lost(channel: Channel, error: str, *, at: datetime) -> None:
    """Tell that the one place this channel leads to refused a message for good. At most once a day."""
    with transaction.atomic():
        told = Channel.objects.values_list("told_broken_at", flat=True).get(pk=channel.pk)
        if told is None or told.date() < at.date():
            _post(channel, BROKEN_KIND, f"broken:refused:{at.date()}", error=error, since=at, refused=True, at=at)


def _untaken(channel: Channel, *, one_place: bool) -> list[Untaken]:
    """What was tried through it and not taken; a test somebody makes, and what ended workers, is not the channel's."""
    dead, waits = DeliveryState.DEAD.value, [DeliveryState.PENDING.value, DeliveryState.SENDING.value]
    tried = Delivery.objects.filter(channel=channel, state__in=[dead, *(waits if one_place else [])], attempt__gt=0)
    theirs = tried.exclude(Q(message__kind=TEST_KIND) | Q(error="") | Q(error__startswith=DIED)).order_by("-pk")
    rows = theirs.values_list("address", "attempt", "first_tried_at", "ended_at", "due_at", "state")[:MOST]
    return [
        Untaken(address, tries, tried_at or due_at, ended_at if state == dead else None)
        for address, tries, tried_at, ended_at, due_at, state in rows
    ]


def _tell_if_broken(channel: Channel, *, at: datetime) -> bool:
    since = channel.failing_since
    if since is None or channel.told_broken_at is not None or at - since < BROKEN_AFTER:
        return False
    channel.told_broken_at = at
    channel.save(update_fields=["told_broken_at"])
    facts = {"slug": channel.slug, "since": since.isoformat(), "error": channel.last_error}
    publish("notifications.channel.broken", subject=channel.pk, at=at, data=facts)
    what, error = f"broken:{since.isoformat()}", channel.last_error
    _post(channel, BROKEN_KIND, what, error=error, since=since, refused=channel.refuses, at=at)
    messages.expire(thread=_thread(channel), kinds=[WORKS_KIND], because="The channel fails again.", at=at)
    return True


def _post(
    channel: Channel,
    kind: str,
    what: str,
    *,
    since: datetime,
    at: datetime,
    error: str = "",
    refused: bool = False,
    level: Level = Level.CRITICAL,
) -> None:
    messages.post(
        key=f"channel:{channel.pk}:{what}",
        kind=kind,
        level=level,
        context={
            "channel_id": channel.pk,
            "channel": channel.name,
            "since_at": since.isoformat(),
            "error": error,
            "refused": refused,
            "url": f"/admin/notifications/channel/{channel.pk}/change/",
        },
        audience=Audience(operators=True),
        at=at,
        thread=_thread(channel),
    )


def _thread(channel: Channel) -> str:
    return f"channel:{channel.pk}"
