"""The first page: what is wrong and what to do about it, what runs, what is due, how ready each source is."""

from datetime import datetime

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from backups import selectors
from backups.admin.progress import under_way
from backups.selectors import Readiness
from monitoring.selectors import health_summary, report
from sysops.access.rights import has_right
from sysops.dashboard import backups, errors, maintenance, people, platform
from sysops.dashboard.parts import Step, Wrong
from sysops.kernel.clock import utc_now

LATEST = 10
READY = 25
SLOTS = 8


def callback(request: HttpRequest, context: dict[str, object]) -> dict[str, object]:
    """What unfold asks for to fill the first page."""
    return {**context, **_running(request), **_overview(request)}


def running(request: HttpRequest) -> HttpResponse:
    """What runs now, for the script that follows it."""
    if not any(has_right(request.user, right) for right in ("backups.view", "maintenance.view")):
        raise PermissionDenied
    return _part(request, "sysops/running.html", _running(request))


def overview(request: HttpRequest) -> HttpResponse:
    """The rest of the first page, for the script that follows it at leisure."""
    return _part(request, "sysops/overview.html", _overview(request))


def _part(request: HttpRequest, template: str, context: dict[str, object]) -> HttpResponse:
    return TemplateResponse(request, template, context, headers={"Cache-Control": "no-store"})


def _running(request: HttpRequest) -> dict[str, object]:
    rights = {name for name in ("backups.request", "backups.restore") if has_right(request.user, name)}
    return {
        "may_see": has_right(request.user, "backups.view"),
        "under_way": under_way(now=utc_now()) if has_right(request.user, "backups.view") else None,
        "windows": maintenance.running() if has_right(request.user, "maintenance.view") else [],
        "cancel_rights": rights,
    }


def _overview(request: HttpRequest) -> dict[str, object]:
    now = utc_now()
    may_see = has_right(request.user, "backups.view")
    ready = selectors.readiness(now=now) if may_see else []
    wrong, checked_at = _wrong(request, ready, now=now)
    coming = [
        *(backups.coming(now=now) if may_see else ()),
        *(maintenance.coming(now=now) if has_right(request.user, "maintenance.view") else ()),
    ]
    return {
        "may_see": may_see,
        "may_request": has_right(request.user, "backups.request"),
        "wrong": sorted(wrong, key=lambda w: not w.critical),
        "checked_at": checked_at,
        "errors": errors.summary(request.user, now=now) if has_right(request.user, "errors.view") else None,
        "coming": sorted(coming, key=lambda c: (c.at, c.title))[:SLOTS],
        "ready": ready[:READY],
        "ready_more": len(ready) - READY,
        "ready_good": sum(r.state == "good" for r in ready),
        "ready_total": len(ready),
        "latest": selectors.for_lists().order_by("-pk")[:LATEST] if may_see else [],
    }


def _wrong(request: HttpRequest, ready: list[Readiness], *, now: datetime) -> tuple[list[Wrong], datetime]:
    """What this person may see of what is wrong, and when that was looked at."""

    def may(right: str) -> bool:
        return has_right(request.user, right)

    # First: what nobody can be told of by message is read here or not at all.
    found: list[Wrong] = people.unreached() if may("notifications.view") else []
    checked_at = now
    if may("health.view"):
        health = report()
        checked_at = health.at
        found += [
            Wrong(p.severity == "critical", p.title, p.detail, None, (Step(p.action_label, p.url),))
            for p in health_summary(health)
        ]
    found += backups.wrong(ready, now=now) if may("backups.view") else []
    found += maintenance.wrong(now=now) if may("maintenance.view") else []
    found += errors.wrong(request.user, now=now) if may("errors.view") else []
    found += people.alerts() if may("alerts.view") else []
    found += people.wrong(now=now) if may("notifications.view") else []
    found += platform.wrong(now=now) if may("events.view") else []
    return found, checked_at
