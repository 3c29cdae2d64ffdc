"""Flower under /flower/, behind the same sign-in as everything else. Flower itself listens only to us."""

import logging
from collections.abc import Iterator
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from sysops.access import audit
from sysops.access.requests import request_actor
from sysops.access.rights import has_right

logger = logging.getLogger(__name__)

ROOT = "/flower"
_TIMEOUT = httpx.Timeout(connect=3, read=30, write=10, pool=5)
_SAFE = frozenset({"GET", "HEAD"})
_READING_POST = "/tasks/datatable"  # Flower's list of tasks; a POST only because its address would be too long
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
     "transfer-encoding", "upgrade"}
)  # fmt: skip
_FORWARDED = frozenset(
    {"accept", "accept-encoding", "accept-language", "content-type", "if-modified-since", "if-none-match", "range",
     "user-agent", "x-requested-with", "x-xsrftoken"}
)  # fmt: skip
_FLOWER_COOKIES = frozenset({"_xsrf"})  # Flower's own guard; our session and our guard are none of its business
_LARGEST_BODY = 1024 * 1024


@csrf_exempt  # Flower's pages cannot carry our token; `_same_origin` stands in for it
def proxy(request: HttpRequest, path: str | None = None) -> HttpResponseBase:
    """Flower's answer to the same request, for a signed-in person with the right to see or control the queue."""
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path(), str(settings.LOGIN_URL))
    reads = request.method in _SAFE or (request.method == "POST" and path == _READING_POST)
    if not has_right(request.user, "queue.view" if reads else "queue.control"):
        raise PermissionDenied
    if request.method not in _SAFE and not _same_origin(request):
        raise PermissionDenied("This request did not come from a page of Sysops.")
    if not path:
        return HttpResponseRedirect(f"{ROOT}/")
    if not reads:
        action = f"queue.{(request.method or '').lower()}"
        audit.record(action, by=request_actor(request), subject=f"{ROOT}{path}"[:200], at=timezone.now())
    return _forward(request, path)


def _forward(request: HttpRequest, path: str) -> HttpResponseBase:
    url: str | None = settings.ENV.flower_url
    if not url:
        return _away(request, "SYSOPS_FLOWER_URL is not set, and no running stack has told where Flower listens.")
    body = request.read(_LARGEST_BODY + 1)
    if len(body) > _LARGEST_BODY:
        return HttpResponse("Too large", status=413, content_type="text/plain")
    client, base = _client(url)
    address = base + request.get_full_path()
    upstream = client.build_request(request.method or "GET", address, headers=_request_headers(request), content=body)
    try:
        answer = client.send(upstream, stream=True)
    except httpx.HTTPError as exc:
        logger.warning("Flower did not answer %s %s: %s", request.method, path, exc)
        return _away(request, f"It did not answer: {type(exc).__name__}.")
    response = StreamingHttpResponse(_body(answer), status=answer.status_code)
    for name, value in answer.headers.multi_items():
        if name.lower() == "set-cookie":
            _copy_cookies(response, value)
        elif name.lower() not in _HOP_BY_HOP:
            response[name] = value
    response["X-Frame-Options"] = "DENY"
    return response


def _body(answer: httpx.Response) -> Iterator[bytes]:
    """As it comes, still compressed; a break in the middle ends it, and the connection is given back."""
    try:
        yield from answer.iter_raw()
    except httpx.HTTPError as exc:
        logger.warning("Flower broke off: %s", exc)
    finally:
        answer.close()


def _request_headers(request: HttpRequest) -> dict[str, str]:
    headers = {name: value for name, value in request.headers.items() if name.lower() in _FORWARDED}
    cookies = [f"{name}={value}" for name, value in request.COOKIES.items() if name in _FLOWER_COOKIES]
    if cookies:
        headers["Cookie"] = "; ".join(cookies)
    # Flower makes absolute links from these.
    return {**headers, "Host": request.get_host(), "X-Forwarded-Proto": request.scheme or "http"}


def _copy_cookies(response: HttpResponseBase, header: str) -> None:
    """Only Flower's own, and only for its own pages."""
    name, _, rest = header.partition("=")
    if name.strip() in _FLOWER_COOKIES:
        response.set_cookie(name.strip(), rest.split(";")[0], path=ROOT, samesite="Strict")


def _same_origin(request: HttpRequest) -> bool:
    """Whether the browser says that the request comes from our own pages. Browsers set both headers themselves; a
    request without either is no browser's, and a session cookie does not belong there."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc == request.get_host()


def _away(request: HttpRequest, why: str) -> HttpResponse:
    context = {**admin.site.each_context(request), "title": "Flower does not answer", "why": why}
    return render(request, "flower_away.html", context, status=502)


@lru_cache(maxsize=2)
def _client(url: str) -> tuple[httpx.Client, str]:
    """A client with its connections, and what to put before a path. `url` is http://… or unix:/path."""
    unix = url.startswith("unix:")
    socket = "/" + url.removeprefix("unix:").lstrip("/") if unix else None
    client = httpx.Client(transport=httpx.HTTPTransport(uds=socket), timeout=_TIMEOUT)
    # All people share this client: it must not keep one's cookies and send them for the next.
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))
    return client, "http://flower" if unix else url.rstrip("/")
