"""What became of a window (SPEC M11), as JSON, frozen at its completion."""

import logging
from collections.abc import Mapping
from datetime import datetime

from django.db.models import Count

from catalogue.sections import Section, Span, sections
from maintenance import records
from maintenance.models import Notice, Window
from maintenance.rules import Status
from notifications.models import Delivery

logger = logging.getLogger(__name__)

# What a report is asked for (SPEC M11); other sections that are registered follow.
EXPECTED = {
    "alerts": "No app that raises alerts is installed.",
    "backups": "No app that takes backups is installed.",
    "errors": "No app that collects errors is installed.",
    "operations": "Windows do not carry operations yet.",
    "checks": "No app that checks services is installed.",
}


def report(window: Window, *, at: datetime) -> dict[str, object]:
    """The window's report: the frozen one once it is completed, before that how it stands at `at`.

    Messages are still on their way when it is frozen: how many arrived is as of now, while the deliveries are kept.
    """
    if window.report is not None:
        told = _notices(window)
        return {**window.report, **({"notices": told} if any(notice["deliveries"] for notice in told) else {})}
    return _build(window, at=at)


def freeze(window: Window, *, at: datetime) -> None:
    """Build the completed window's report and keep it for good; the first one stays. Outside any transaction."""
    made = _build(window, at=at)
    if Window.objects.filter(pk=window.pk, status=Status.COMPLETED.value, report__isnull=True).update(report=made):
        window.report = made
    else:
        window.refresh_from_db(fields=["report"])


def _build(window: Window, *, at: datetime) -> dict[str, object]:
    found, why_not = _sections(window, at=at)
    return {
        "made_at": records.moment(at),
        "window": {
            "id": str(window.pk),
            "title": window.title,
            "description": window.description,
            "maintenance_type": window.maintenance_type,
            "status": window.status,
            "created_by": window.created_by,
            "created_at": records.moment(window.created_at),
            "series": window.series.slug if window.series else None,
            "note": window.note,
        },
        "times": _times(window, at=at),
        "services": _services(window),
        "updates": [
            {
                "id": str(row.pk),
                "message": row.message,
                "author": row.author,
                "created_at": records.moment(row.created_at),
            }
            for row in window.updates.order_by("pk")
        ],
        "gates": [
            {
                "gate": row.gate,
                "settings": row.settings,
                "state": row.state,
                "reason": row.reason,
                "facts": row.facts,
                "asked_at": records.moment(row.asked_at),
            }
            for row in window.gates.order_by("pk")
        ],
        "notices": _notices(window),
        "sections": found,
        "not_known": why_not,
    }


def _times(window: Window, *, at: datetime) -> dict[str, object]:
    ended = window.completed_at or (at if window.status == Status.IN_PROGRESS else None)
    taken = late = None
    if window.actual_start is not None and ended is not None:
        taken = int((ended - window.actual_start).total_seconds())
        late = max(0, int((ended - window.scheduled_end).total_seconds()))
    return {
        "planned_start_at": records.moment(window.planned_start),
        "planned_duration_seconds": window.planned_duration_seconds,
        "scheduled_start_at": records.moment(window.scheduled_start),
        "scheduled_end_at": records.moment(window.scheduled_end),
        "estimated_duration_seconds": window.estimated_duration_seconds,
        "actual_start_at": records.moment(window.actual_start),
        "completed_at": records.moment(window.completed_at),
        "actual_duration_seconds": taken,
        "overrun_seconds": late,
        "overrunning_since_at": records.moment(window.overrunning_since),
    }


def _services(window: Window) -> list[dict[str, object]]:
    rows = window.affected.select_related("service").order_by("-direct", "service__name", "service")
    return [
        {
            "slug": row.service.slug,
            "name": row.service.name,
            "direct": row.direct,
            "state_before": row.state_before or None,
            "state_after": row.service.state if window.status == Status.COMPLETED else None,
        }
        for row in rows
    ]


def _notices(window: Window) -> list[dict[str, object]]:
    """Each notice with how many deliveries of it are in which state; null while its message has not been fanned out."""
    counted = (
        Delivery.objects.filter(message__thread=records.thread(window))
        .values("message__key", "state")
        .annotate(count=Count("pk"))
        .order_by("message__key", "state")
    )
    deliveries: dict[str, dict[str, int]] = {}
    for row in counted:
        deliveries.setdefault(row["message__key"], {})[row["state"]] = row["count"]
    rows = Notice.objects.filter(window=window).order_by("due_at", "pk")
    return [
        {
            "kind": row.kind,
            "due_at": records.moment(row.due_at),
            "state": row.state,
            "settled_at": records.moment(row.settled_at),
            "reason": row.reason,
            "deliveries": deliveries.get(records.message_key(row)),
        }
        for row in rows
    ]


def _sections(window: Window, *, at: datetime) -> tuple[dict[str, object], dict[str, str]]:
    """What other apps know of the window's time; null, and why, where nobody does."""
    begins = window.actual_start or window.scheduled_start
    span = Span(begins, max(begins, window.completed_at or at), tuple(_slugs(window)))
    found: dict[str, object] = dict.fromkeys(EXPECTED)
    why_not = {name: why for name, why in EXPECTED.items() if name not in sections}
    for name, section in sections:
        answer = _ask(name, section, span)
        found[name] = None if isinstance(answer, str) else dict(answer)
        if isinstance(answer, str):
            why_not[name] = answer
    return found, why_not


def _ask(name: str, section: Section, span: Span) -> Mapping[str, object] | str:
    try:
        return records.storable(section(span))
    except Exception as exc:  # another app's; a report without its section is still a report, and says so
        logger.exception("Section %s of a report could not be read", name)
        return f"It could not be read: {type(exc).__name__}: {exc}"[:500]


def _slugs(window: Window) -> list[str]:
    return [*records.slugs(window), *records.slugs(window, direct=False)]
