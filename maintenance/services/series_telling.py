"""What people are told of a series: one message for all its occurrences instead of one each."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from maintenance import records, selectors, series_plans
from maintenance.models import Notice, Series, Window
from maintenance.recurrence import Occurrence
from maintenance.rules import NoticeKind, NoticeState, Status
from maintenance.series_plans import SeriesPlan
from maintenance.services import notices
from notifications.audience import Audience
from notifications.rules import Level
from notifications.services import messages
from sysops.kernel.words import span_words

_SHOWN = 5
_FOR_ALL = "Told once for the whole series"
_NO_FACTS: Mapping[str, object] = {}


def scheduled(series: Series, plan: SeriesPlan, first: Window, *, at: datetime) -> None:
    """Tell of the series in place of its first occurrence. In the transaction that scheduled that one."""
    notices.withdraw(first, [NoticeKind.SCHEDULED], because=_FOR_ALL, at=at)
    _post(series, plan, first, NoticeKind.SCHEDULED, at=at)


def changed(series: Series, plan: SeriesPlan, first: Window, target: Occurrence, *, at: datetime) -> None:
    """Tell once that occurrences take place at other times, or affect other services; `first` still as it was."""
    facts: dict[str, object] = {
        "start_at": records.moment(target.start),
        "end_at": records.moment(target.end),
        "duration_words": span_words(target.end - target.start),
        "previous_start_at": records.moment(first.scheduled_start),
        "previous_end_at": records.moment(first.scheduled_end),
    }
    _post(series, plan, first, NoticeKind.RESCHEDULED, mark=at.isoformat(), at=at, facts=facts)


def cancelled(series: Series, plan: SeriesPlan, first: Window, *, count: int, reason: str, at: datetime) -> None:
    """Tell once that the occurrences still to come do not take place."""
    words = f"{reason} All {count} occurrences that were scheduled are cancelled." if count > 1 else reason
    facts: dict[str, object] = {"reason": words, "status": Status.CANCELLED.value}
    _post(series, plan, first, NoticeKind.CANCELLED, mark=at.isoformat(), at=at, facts=facts)


def keep_to_the_series(window: Window, kind: NoticeKind, *, at: datetime) -> None:
    """Withdraw what was just told of one occurrence, as its series tells it; not where people heard of that very one.

    In the transaction in which it was told.
    """
    heard = Notice.objects.filter(window=window, kind=NoticeKind.AHEAD.value, state=NoticeState.POSTED.value)
    if not heard.exists():
        notices.withdraw(window, [kind], because=_FOR_ALL, at=at)


def _post(
    series: Series,
    plan: SeriesPlan,
    first: Window,
    kind: NoticeKind,
    *,
    mark: str = "",
    at: datetime,
    facts: Mapping[str, object] = _NO_FACTS,
) -> None:
    reached = selectors.reach(plan.services)
    # Also those of services that the series works on no more.
    audience = {service.pk for service in [*plan.services, *reached]}
    audience |= set(first.affected.values_list("service_id", flat=True))
    services, thread = tuple(sorted(audience)), f"series:{series.pk}"
    messages.post(
        key=":".join(filter(None, [thread, kind.value, mark])),
        kind=notices.template(kind),
        level=Level.WARNING,
        context={
            "window_id": first.pk,
            "series": series.slug,
            "title": plan.title,
            "description": plan.description if kind is NoticeKind.CANCELLED else _description(plan, at=at),
            "maintenance_type": first.maintenance_type,
            "status": first.status,
            "time_zone": plan.time_zone,
            "start_at": records.moment(first.scheduled_start),
            "end_at": records.moment(first.scheduled_end),
            "actual_start_at": None,
            "completed_at": None,
            "duration_words": span_words(first.estimated_duration_seconds),
            "services": sorted(service.name for service in plan.services),
            "reached": sorted(service.name for service in reached),
            "update": "",
            "author": "",
            "previous_start_at": None,
            "previous_end_at": None,
            "reason": "",
            "url": records.path(first),
            "starts_itself": plan.starts_itself,
            "recurs": True,
            **facts,
        },
        audience=Audience(subscribers_of=services, owners_of=services),
        at=at,
        thread=thread,
    )


def _description(plan: SeriesPlan, *, at: datetime) -> str:
    """What is done, how it repeats, and when next: in any template."""
    ahead = series_plans.coming(plan, after=at + timedelta(seconds=1), most=_SHOWN)
    zone = series_plans.zone_of(plan)
    dates = ", ".join(f"{each.start.astimezone(zone):%a %d %b %Y %H:%M}" for each in ahead)
    notes = [each.note for each in ahead if each.note]
    parts = [plan.description, f"It repeats {series_plans.in_words(plan)}. Next: {dates}.", *notes]
    return "\n\n".join(part for part in parts if part)
