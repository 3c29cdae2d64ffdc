"""The calendar page: a month or a week, in the reader's zone."""

from datetime import date, datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.http import HttpRequest
from django.urls import reverse

from catalogue.models import Person
from catalogue.rules import time_zone_problem
from maintenance import selectors
from maintenance.admin.forms import zones
from maintenance.admin.states import shown
from maintenance.calendar_grid import SLOTS, bounds, lay_out, month_days, step, week_days

MOST_IN_A_DAY = 6  # of a month; the rest is a number that leads to the week
MOST = 2_000


def zone_of(request: HttpRequest) -> ZoneInfo:
    """The zone that was asked for, else that of the person signed in, else UTC."""
    asked = request.GET.get("zone", "")
    if asked and time_zone_problem(asked) is None:
        return ZoneInfo(asked)
    own = Person.objects.filter(user__pk=str(request.user.pk or 0)).values_list("time_zone", flat=True).first()
    return ZoneInfo(own or "UTC")


def calendar_page(request: HttpRequest, *, now: datetime) -> dict[str, object]:
    """Everything the calendar's template shows. Two queries, however many windows there are."""
    zone = zone_of(request)
    week = request.GET.get("view") == "week"
    today = now.astimezone(zone).date()
    at = _date(request.GET.get("at", ""), otherwise=today)
    days = week_days(at) if week else month_days(at)
    windows = [shown(window, now=now) for window in selectors.between(*bounds(days, zone=zone))[:MOST]]
    laid = lay_out(windows, days=days, zone=zone, month=None if week else at.month)
    return {
        "title": f"{days[0]:%-d %B} – {days[-1]:%-d %B %Y}" if week else f"{at:%B %Y}",
        "week": week,
        "days": laid,
        "today": today,
        "most": MOST_IN_A_DAY,
        "hours": [(hour, hour * SLOTS // 24 + 1) for hour in range(0, 24, 2)],
        "zone": zone.key,
        "zones": zones(),
        "at": at,
        "before": _link(at=step(at, weeks=-1) if week else step(at, months=-1), week=week, zone=zone),
        "after": _link(at=step(at, weeks=1) if week else step(at, months=1), week=week, zone=zone),
        "here": _link(at=today, week=week, zone=zone),
        "as_month": _link(at=at, week=False, zone=zone),
        "as_week": _link(at=at if at.month != today.month else today, week=True, zone=zone),
        "nothing": not windows,
    }


def _date(text: str, *, otherwise: date) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return otherwise
    return found if 1971 <= found.year <= 2999 else otherwise


def _link(*, at: date, week: bool, zone: ZoneInfo) -> str:
    query = {"view": "week" if week else "month", "at": at.isoformat(), "zone": zone.key}
    return f"{reverse('admin:maintenance_window_calendar')}?{urlencode(query)}"
