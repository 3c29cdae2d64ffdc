"""Both `/api/x` and `/api/x/` answer, without a redirect, which would lose the body of a write."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve
from django.views.decorators.csrf import csrf_exempt

from sysops.api.problems import not_found


@csrf_exempt  # for DRF's views only, which check it themselves where a session is used
def without_slash(request: HttpRequest, path: str) -> HttpResponse:
    """What the same address without its last slash answers; put this behind all other addresses of the API."""
    try:
        match = resolve(f"/{path}")
    except Resolver404 as exc:
        return not_found(request, exc)
    if not hasattr(match.func, "cls"):
        return not_found(request)
    request.resolver_match = match
    view: Callable[..., HttpResponse] = match.func
    return view(request, *match.args, **match.kwargs)


@csrf_exempt  # nothing is done here, and Django's answer to a missing token is a page
def nothing_here(request: HttpRequest) -> HttpResponse:
    """A problem instead of Django's page, in development too."""
    return not_found(request)
