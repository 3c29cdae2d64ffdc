"""What the first page says of alerts, and of messages that do not reach people."""

from datetime import datetime, timedelta
from functools import reduce
from operator import or_

from django.db.models import Count, Max, Min, Q
from django.urls import reverse

from alerting import selectors as alerting
from notifications.models import Channel, Delivery
from notifications.rules import DeliveryState, Level
from sysops.dashboard.parts import Step, Wrong, first

# What these are about is told on the first page already, with its own next steps.
TOLD_ELSEWHERE = (
    *("backups.source:", "backups.rpo:", "backups.bad:", "maintenance."),
    *("errors.issue:", "errors.critical:"),
)
MOST = 50
LATE = timedelta(minutes=15)
DEAD = timedelta(days=1)


def alerts() -> list[Wrong]:
    """Open alerts that no other part of the page tells of."""
    others = alerting.open_alerts().exclude(reduce(or_, (Q(key__startswith=prefix) for prefix in TOLD_ELSEWHERE)))
    found = [
        Wrong(
            alert.level == Level.CRITICAL.value,
            alert.title,
            f"Held back by maintenance. {alert.detail}" if alert.waits else alert.detail,
            alert.raised_at,
            (Step("Look at it", alert.link or reverse("admin:alerting_alert_change", args=[alert.pk])),),
        )
        for alert in others[:MOST]
    ]
    return first(found, "more alerts are open", "admin:alerting_alert_changelist")


def wrong(*, now: datetime) -> list[Wrong]:
    """Messages that were given up, and messages that wait too long."""
    return [*_dead(now), *_waiting(now)]


def unreached() -> list[Wrong]:
    """Channels that do not work: while they do not, nobody hears of anything else."""
    failing = Channel.objects.filter(enabled=True, failing_since__isnull=False).order_by("failing_since", "pk")
    return [
        Wrong(
            True,
            f"Nobody is reached through {channel.name}",
            f"{_sentence(channel.last_error)} What it should send {'is given up' if channel.refuses else 'waits'}.",
            channel.failing_since,
            (Step("Look at the channel", reverse("admin:notifications_channel_change", args=[channel.pk])),),
        )
        for channel in failing[:10]
    ]


def _sentence(text: str) -> str:
    """What somebody else's program said, with an end."""
    text = text.strip()
    return text if not text or text.endswith((".", "!", "?", "…")) else f"{text}."


def _dead(now: datetime) -> list[Wrong]:
    dead = Delivery.objects.filter(state=DeliveryState.DEAD.value, ended_at__gte=now - DEAD)
    found = dead.aggregate(count=Count("pk"), last=Max("pk"))
    if not found["count"]:
        return []
    last = Delivery.objects.get(pk=found["last"])
    url = f"{reverse('admin:notifications_delivery_changelist')}?state={DeliveryState.DEAD.value}"
    title = f"{found['count']} message{' was' if found['count'] == 1 else 's were'} given up in the last day"
    return [Wrong(False, title, f"The last one: {last.error}", None, (Step("See which and send again", url),))]


def _waiting(now: datetime) -> list[Wrong]:
    """Of channels that work: those of a failing one are told of with it."""
    late = Delivery.objects.filter(
        state=DeliveryState.PENDING.value, due_at__lt=now - LATE, channel__failing_since=None, channel__enabled=True
    )
    found = late.aggregate(count=Count("pk"), oldest=Min("due_at"))
    if not found["count"]:
        return []
    url = f"{reverse('admin:notifications_delivery_changelist')}?state={DeliveryState.PENDING.value}"
    detail = f"{found['count']} wait; no worker sends them."
    return [Wrong(True, "Messages are not sent", detail, found["oldest"], (Step("See which", url),))]
