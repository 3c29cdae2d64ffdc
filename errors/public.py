"""The page behind the links in our messages about issues: no sign-in, no script, no cookie.

A GET only shows a button: mail scanners follow links. The POST needs no CSRF token, since the signed link is the
whole authority.
"""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from errors import links
from errors.services import linked
from sysops.kernel.clock import utc_now

_HEADERS = {
    "Referrer-Policy": "no-referrer",  # the address of the page is what its reader may do
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def act(request: HttpRequest, token: str) -> HttpResponse:
    """Show what the link offers, or do it."""
    at = utc_now()
    try:
        if request.method != "POST":
            return _page(request, "public_act.html", offer=linked.look(token, at=at))
        address = request.META.get("REMOTE_ADDR") or None
        return _page(request, "public_done.html", offer=linked.act(token, address=address, at=at))
    except links.OldLink as exc:
        return _wrong(request, f"{exc} Open the issue in Sysops instead.", HTTPStatus.GONE)
    except links.BadLink as exc:
        return _wrong(request, f"{exc} Copy the whole link from the message.", HTTPStatus.NOT_FOUND)
    except linked.NotNow as exc:
        return _wrong(request, str(exc), HTTPStatus.GONE)


def _page(
    request: HttpRequest, template: str, *, status: HTTPStatus = HTTPStatus.OK, **context: object
) -> HttpResponse:
    answer = render(request, f"errors/{template}", context, status=status)
    for name, value in _HEADERS.items():
        answer[name] = value
    setattr(answer, "_has_been_logged", True)  # noqa: B010 - Django would log a 404 with the token in its path
    return answer


def _wrong(request: HttpRequest, reason: str, status: HTTPStatus) -> HttpResponse:
    return _page(request, "public_wrong.html", status=status, reason=reason)
