"""The section `backups` of reports: what was backed up of some services in a span of time.

Registered in wiring: `sections.register("backups", backups_during)`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db.models import Q, QuerySet

from backups import selectors
from backups.models import Backup, Source
from backups.rules import Status
from catalogue.sections import Span

MOST_SHOWN = 200


def backups_during(span: Span) -> Mapping[str, object]:
    """The backups of the services, and of what they stand on, that ran in the span; and the last good one before it."""
    sources = selectors.sources_behind(span.services)
    if not sources:
        why = "No backup source belongs to these services or to what they depend on"
        return {"count": None, "why": why, "taken": [], "before": []}
    ran = _ran_during(sources, span)
    shown = list(ran.order_by("started_at", "pk")[:MOST_SHOWN])
    count = len(shown) if len(shown) < MOST_SHOWN else ran.count()
    return {
        "count": count,
        "taken": [_as_json(backup) for backup in shown],
        "before": [_as_json(backup) for backup in _newest_before(sources, span.starts)],
    }


def _ran_during(sources: Sequence[Source], span: Span) -> QuerySet[Backup]:
    return selectors.for_lists().filter(
        Q(completed_at__isnull=True) | Q(completed_at__gte=span.starts),
        source__in=sources,
        started_at__lt=span.ends,
    )


def _newest_before(sources: Sequence[Source], starts: datetime) -> list[Backup]:
    """Per source the newest backup that was stored when the span began: what there was to go back to."""
    stored = [Status.SUCCEEDED.value, Status.EXPIRED.value]
    rows = selectors.for_lists().filter(source__in=sources, status__in=stored, completed_at__lt=starts)
    return list(rows.order_by("source__slug", "-completed_at", "-pk").distinct("source__slug"))


def _as_json(backup: Backup) -> dict[str, object]:
    return {
        "id": str(backup.pk),
        "source": backup.source.slug,
        "backup_type": backup.backup_type,
        "status": backup.status,
        "failure_reason": backup.failure_reason or None,
        "started_at": _moment(backup.started_at),
        "completed_at": _moment(backup.completed_at),
        "size_bytes": backup.size_bytes,
        "verification": backup.verification_status,
        "proven_at": _moment(backup.proven_at),
    }


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
