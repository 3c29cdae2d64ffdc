"""What reports say of alerts."""

from collections.abc import Mapping
from datetime import datetime

from django.db.models import Count, Q

from alerting import selectors
from alerting.models import Alert
from catalogue.sections import Span

MOST = 200


def alerts_during(span: Span) -> Mapping[str, object]:
    """The alerts of these services that were open in the span; those held back in it were recorded, not sent."""
    found = selectors.during(span.services, span.starts, span.ends)
    figures = found.order_by().aggregate(
        total=Count("pk"),
        raised=Count("pk", filter=Q(raised_at__gte=span.starts)),
        held_back=Count("pk", filter=Q(held_back_at__gte=span.starts, held_back_at__lt=span.ends)),
    )
    return {
        **figures,
        "alerts": [_alert(alert) for alert in found[:MOST]],
        "left_off": max(0, figures["total"] - MOST),
    }


def _alert(alert: Alert) -> dict[str, object]:
    return {
        "id": str(alert.pk),
        "title": alert.title,
        "level": alert.level,
        "service": alert.service.slug if alert.service else None,
        "count": alert.count,
        "raised_at": _time(alert.raised_at),
        "held_back_at": _time(alert.held_back_at),
        "told_at": _time(alert.told_at),
        "resolved_at": _time(alert.resolved_at),
    }


def _time(value: datetime | None) -> str | None:
    return value.isoformat().replace("+00:00", "Z") if value else None
