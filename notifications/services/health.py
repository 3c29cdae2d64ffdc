"""How channels are: one that fails as a whole rests, longer each time, and people are told through another one."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from notifications.audience import Audience
from notifications.models import Channel
from notifications.rules import BROKEN_AFTER, Level, rest_after
from notifications.services import messages
from sysops.events import publish

BROKEN_KIND = "notifications.channel_broken"
WORKS_KIND = "notifications.channel_works"


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


def worked(channel_id: int, *, at: datetime) -> None:
    """Record that something was accepted. A channel that was told of as broken is told of as recovered."""
    with transaction.atomic():
        ailing = Channel.objects.filter(pk=channel_id, failing_since__isnull=False)
        channel = ailing.select_for_update(no_key=True).first()
        if channel is not None:
            told, since = channel.told_broken_at, channel.failing_since or at
            channel.failures, channel.failing_since, channel.resting_until = 0, None, None
            channel.told_broken_at, channel.last_error = None, ""
            channel.save(update_fields=["failures", "failing_since", "resting_until", "told_broken_at", "last_error"])
            if told:
                publish("notifications.channel.recovered", subject=channel.pk, at=at, data={"slug": channel.slug})
                messages.expire(thread=_thread(channel), kinds=[BROKEN_KIND], because="The channel works again.", at=at)
                _post(channel, WORKS_KIND, f"works:{told.isoformat()}", level=Level.WARNING, since=since, at=at)
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
        _post(channel, BROKEN_KIND, f"broken:refused:{at.date()}", error=error, since=at, at=at)


def _tell_if_broken(channel: Channel, *, at: datetime) -> bool:
    since = channel.failing_since
    if since is None or channel.told_broken_at is not None or at - since < BROKEN_AFTER:
        return False
    channel.told_broken_at = at
    channel.save(update_fields=["told_broken_at"])
    facts = {"slug": channel.slug, "since": since.isoformat(), "error": channel.last_error}
    publish("notifications.channel.broken", subject=channel.pk, at=at, data=facts)
    _post(channel, BROKEN_KIND, f"broken:{since.isoformat()}", error=channel.last_error, since=since, at=at)
    return True


def _post(
    channel: Channel,
    kind: str,
    what: str,
    *,
    since: datetime,
    at: datetime,
    error: str = "",
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
            "url": f"/admin/notifications/channel/{channel.pk}/change/",
        },
        audience=Audience(operators=True),
        at=at,
        thread=_thread(channel),
    )


def _thread(channel: Channel) -> str:
    return f"channel:{channel.pk}"
