"""The pages behind the links in our messages: no sign-in, no script, no cookie.

A GET only shows a button: mail scanners follow links. The POST needs no CSRF token, since the signed link is the
whole authority, and mail programs unsubscribe with a POST of their own (RFC 8058).
"""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from catalogue import links
from catalogue.services import subscriptions
from sysops.access.requests import request_actor
from sysops.pages.outside import outside_page

_shown_or_done = require_http_methods(["GET", "HEAD", "POST"])


@csrf_exempt
@_shown_or_done
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Prove whose mailbox it is."""
    try:
        if request.method != "POST":
            links.read_confirm(token)
            return outside_page(request, "catalogue/public_confirm.html")
        row = subscriptions.confirm(token, by=request_actor(request), at=timezone.now())
    except links.OldLink:
        return _wrong(request, "This link is older than three days. Sign up again to get a new one.", HTTPStatus.GONE)
    except links.BadLink as exc:
        return _wrong(request, f"{exc} Copy the whole link from the message.", HTTPStatus.NOT_FOUND)
    except subscriptions.Ended as exc:
        return _wrong(request, str(exc), HTTPStatus.GONE)
    return outside_page(request, "catalogue/public_confirmed.html", service=row.service)


@csrf_exempt
@_shown_or_done
def end(request: HttpRequest, token: str) -> HttpResponse:
    """Unsubscribe from one service, or from all the link stands for."""
    try:
        if request.method != "POST":
            return outside_page(request, "catalogue/public_end.html", rows=subscriptions.endable(token))
        only = request.POST.get("service")  # a one-click POST names none and means all
        ended = subscriptions.end_signed(token, only=only, by=request_actor(request), at=timezone.now())
        return outside_page(request, "catalogue/public_ended.html", ended=ended, rows=subscriptions.endable(token))
    except links.BadLink as exc:
        return _wrong(request, f"{exc} Copy the whole link from the message.", HTTPStatus.NOT_FOUND)


def _wrong(request: HttpRequest, reason: str, status: HTTPStatus) -> HttpResponse:
    return outside_page(request, "catalogue/public_wrong.html", status=status, reason=reason)
