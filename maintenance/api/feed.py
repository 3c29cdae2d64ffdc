"""`GET /api/system/maintenance.ics`: windows for calendar programs."""

from datetime import datetime, timedelta
from typing import ClassVar

from django.conf import settings
from django.db.models import Prefetch
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.cache import get_conditional_response
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.http import http_date
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from catalogue.models import Service
from maintenance import calendar_feed
from maintenance.models import Window, WindowService
from sysops.api.problems import invalid
from sysops.api.views import PUBLIC, View
from sysops.kernel.clock import utc_now

ADDRESS = "/api/system/maintenance.ics"
_SALT = "sysops.maintenance.calendar"
_CALENDAR = OpenApiResponse(
    OpenApiTypes.STR, description="iCalendar (RFC 5545): windows of the last 30 days, and all that are to come."
)
_SECRET = OpenApiResponse(description="The feed is secret, and this is not its key.")


def feed_key(secret: str | None = None) -> str:
    """What opens the feed where it is secret: `?key=…`. It changes with SYSOPS_SECRET_KEY only."""
    return salted_hmac(_SALT, "key", secret=secret, algorithm="sha256").hexdigest()[:40]


def entries(*, now: datetime, service: Service | None = None) -> list[calendar_feed.Entry]:
    """What the feed tells now, of one service or of all. Two queries."""
    affected = Prefetch("affected", WindowService.objects.select_related("service").order_by("service__name", "pk"))
    windows = Window.objects.filter(scheduled_end__gte=now - calendar_feed.KEPT)
    if service is not None:
        windows = windows.filter(affected__service=service)
    rows = windows.prefetch_related(affected).defer("report").order_by("scheduled_start", "pk")
    return [_entry(window) for window in rows]


class FeedView(View):
    """The feed. SYSOPS_CALENDAR_FEED says who may read it."""

    authentication_classes = ()  # calendar programs have no tokens; a stale one must not shut them out
    rights: ClassVar[dict[str, str]] = {"get": PUBLIC}

    @extend_schema(
        parameters=[
            OpenApiParameter("service", str, description="Only windows that affect the service with this slug."),
            OpenApiParameter("key", str, description="Needed where the feed is secret: `sysops calendar-link`."),
        ],
        responses={(200, "text/calendar"): _CALENDAR, 304: None, 403: _SECRET},
        auth=[],
    )
    def get(self, request: Request) -> HttpResponse:
        """Windows as an iCalendar feed."""
        asked = _query(request)
        _refuse_unless_open(asked.get("key", ""))
        service = _service(asked["service"]) if "service" in asked else None
        now = utc_now()
        found = entries(now=now, service=service)
        name = f"Maintenance of {service.name}" if service else "Maintenance"
        return _conditional(request, found, name, now=now)


urls: list[URLPattern] = [path("maintenance.ics", FeedView.as_view(), name="maintenance-feed")]


def _conditional(request: Request, found: list[calendar_feed.Entry], name: str, *, now: datetime) -> HttpResponse:
    """304 for who has this very text already; it is not even made then."""
    etag = calendar_feed.etag(found, name=name)
    changed = max((entry.changed_at for entry in found), default=None)
    # Whole seconds only: while one lasts, a second change in it would look like none.
    settled = changed is not None and now - changed > timedelta(seconds=2)
    stamp = int(changed.timestamp()) if changed and settled else None
    plain: HttpRequest = request._request
    answer = None
    if {"HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE"} & set(request.META):
        answer = get_conditional_response(plain, etag=etag, last_modified=stamp)
    if answer is None:
        answer = HttpResponse(calendar_feed.calendar_text(found, name=name), content_type=calendar_feed.CONTENT_TYPE)
        answer.headers["Content-Disposition"] = 'inline; filename="maintenance.ics"'
    answer.headers["ETag"] = etag
    answer.headers["Cache-Control"] = "private, no-cache"  # kept by programs, asked for each time
    if stamp is not None:
        answer.headers["Last-Modified"] = http_date(stamp)
    return answer


def _query(request: Request) -> dict[str, str]:
    """The parameters given. One that is unknown, empty, or there twice is refused rather than guessed at."""
    wrong: dict[str, str] = {}
    for name, values in request.query_params.lists():
        if name not in ("service", "key"):
            wrong[name] = "There is no such parameter; known are service and key."
        elif len(values) != 1 or not values[0]:
            wrong[name] = "Give it once, and not empty."
    if wrong:
        raise invalid(wrong)
    return {name: values[0] for name, values in request.query_params.lists()}


def _refuse_unless_open(key: str) -> None:
    mode = settings.ENV.calendar_feed
    if mode == "off":
        raise Http404("The calendar feed is switched off (SYSOPS_CALENDAR_FEED).")
    if mode == "secret" and not any(
        constant_time_compare(key, feed_key(secret)) for secret in [None, *settings.SECRET_KEY_FALLBACKS]
    ):
        raise PermissionDenied("The calendar feed is read by its secret link only; `sysops calendar-link` prints it.")


def _service(slug: str) -> Service:
    found: Service | None = Service.objects.filter(slug=slug).first()
    if found is None:
        raise Http404(f"There is no service {slug!r}.")
    return found


def _entry(window: Window) -> calendar_feed.Entry:
    affected = list(window.affected.all())
    return calendar_feed.Entry(
        uid=window.uid,
        sequence=window.sequence,
        title=window.title,
        description=window.description,
        kind=window.maintenance_type,
        status=window.status,
        zone=window.time_zone,
        start=window.scheduled_start,
        end=window.scheduled_end,
        created_at=window.created_at,
        changed_at=window.changed_at,
        services=tuple(row.service.name for row in affected if row.direct),
        reached=tuple(row.service.name for row in affected if not row.direct),
        note=window.note,
        cancel_reason=window.cancel_reason,
    )
