"""The page behind the links in our messages about issues: no sign-in, no script, no cookie.

A GET only shows a button: mail scanners follow links. The POST needs no CSRF token, since the signed link is the
whole authority.
"""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from errors import links
from errors.services import linked
from sysops.access.requests import request_address
from sysops.kernel.clock import utc_now
from sysops.pages.outside import outside_page


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def act(request: HttpRequest, token: str) -> HttpResponse:
    """Show what the link offers, or do it."""
    at = utc_now()
    try:
        if request.method != "POST":
            return outside_page(request, "errors/public_act.html", offer=linked.look(token, at=at))
        done = linked.act(token, address=request_address(request), at=at)
        return outside_page(request, "errors/public_done.html", offer=done)
    except links.OldLink as exc:
        about = linked.About(exc.issue)
        return _wrong(request, f"{exc} Open the issue in Sysops instead.", HTTPStatus.GONE, about)
    except links.BadLink as exc:
        return _wrong(request, f"{exc} Copy the whole link from the message.", HTTPStatus.NOT_FOUND)
    except linked.Already as exc:  # nothing is wrong: somebody was quicker, or it is a second click
        return outside_page(request, "errors/public_already.html", already=str(exc), about=exc.about)
    except linked.NotNow as exc:
        return _wrong(request, str(exc), HTTPStatus.GONE, exc.about)


def _wrong(request: HttpRequest, reason: str, status: HTTPStatus, about: linked.About | None = None) -> HttpResponse:
    return outside_page(request, "errors/public_wrong.html", status=status, reason=reason, about=about)
