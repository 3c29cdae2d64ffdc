"""What can be asked of alerts. Reads only."""

from collections.abc import Collection
from datetime import datetime

from django.db.models import Case, F, IntegerField, Q, QuerySet, Value, When

from alerting.models import Alert
from catalogue.rules import State
from notifications.rules import Level

# Held back, and still not told: the first time it was noticed, or that it has become worse since it was told.
WAITING = Q(resolved_at=None, held_back_at__isnull=False) & (Q(told_at=None) | Q(told_at__lt=F("held_back_at")))

WEIGHT = Case(
    When(level=Level.CRITICAL.value, then=Value(0)),
    When(level=Level.WARNING.value, then=Value(1)),
    default=Value(2),
    output_field=IntegerField(),
)


def for_lists() -> QuerySet[Alert]:
    """Every alert with its service, newest first."""
    return Alert.objects.select_related("service").order_by("-pk")


def open_alerts() -> QuerySet[Alert]:
    """What is wrong now: the worst first, then the oldest. Held-back ones are among them."""
    return Alert.objects.filter(resolved_at=None).select_related("service").order_by(WEIGHT, "raised_at", "pk")


def waiting_alerts() -> QuerySet[Alert]:
    """Held-back alerts that are still wrong and of which nobody was told."""
    return Alert.objects.filter(WAITING).select_related("service").order_by("pk")


def releasable() -> QuerySet[Alert]:
    """Waiting alerts whose service is out of maintenance (or is gone): they are told now."""
    return waiting_alerts().filter(Q(service=None) | ~Q(service__state=State.MAINTENANCE.value))


def held_back(service_ids: Collection[int], start: datetime, end: datetime) -> QuerySet[Alert]:
    """Alerts of these services that were held back from `start` until before `end`, oldest first."""
    held = Alert.objects.filter(service__in=service_ids, held_back_at__gte=start, held_back_at__lt=end)
    return held.select_related("service").order_by("held_back_at", "pk")


def during(services: Collection[str], start: datetime, end: datetime) -> QuerySet[Alert]:
    """Alerts of the services of these slugs that were open at any moment of the span, oldest first."""
    open_in_it = Q(raised_at__lt=end) & (Q(resolved_at=None) | Q(resolved_at__gte=start))
    found = Alert.objects.filter(open_in_it, service__slug__in=services)
    return found.select_related("service").order_by("raised_at", "pk")
