"""The report of a window as a page, also for paper. Linked from the window's page; JSON comes from the API."""

from zoneinfo import ZoneInfo

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from catalogue.models import Person
from catalogue.rules import time_zone_problem
from maintenance import records, report_words
from maintenance.models import Window
from maintenance.rules import Status
from maintenance.services import reports
from sysops.access.rights import has_right
from sysops.kernel.clock import utc_now

LARGEST_ID = 2**63 - 1


@require_safe
def report_page(request: HttpRequest, pk: int) -> HttpResponse:
    """What was planned and what happened, in the reader's zone (`?zone=` names another); so far, while it is open."""
    if not has_right(request.user, "maintenance.view"):
        raise PermissionDenied
    window = get_object_or_404(Window, pk=min(pk, LARGEST_ID))
    now, zone = utc_now(), _zone(request)
    context = {
        "window": window,
        "window_url": records.path(window),
        "status_words": window.status.replace("_", " "),
        "completed": window.status == Status.COMPLETED,
        "parts": report_words.parts(reports.report(window, at=now), zone=zone),
        "zone": zone,
        "now": now.astimezone(ZoneInfo(zone)),
    }
    return render(request, "maintenance/report.html", context)


def _zone(request: HttpRequest) -> str:
    asked = request.GET.get("zone", "")
    if asked and time_zone_problem(asked) is None:
        return asked
    own = Person.objects.filter(user_id=request.user.pk or 0).values_list("time_zone", flat=True).first()
    return own or "UTC"
