"""Pages for people who come by a link of a message and may have no account: nothing keeps them or their address."""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

_HEADERS = {
    "Referrer-Policy": "no-referrer",  # the address of the page is what its reader may do
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


def outside_page(
    request: HttpRequest, template: str, *, status: HTTPStatus = HTTPStatus.OK, **context: object
) -> HttpResponse:
    """The template as a page without scripts, that no cache, index or log keeps."""
    answer = render(request, template, context, status=status)
    for name, value in _HEADERS.items():
        answer[name] = value
    setattr(answer, "_has_been_logged", True)  # noqa: B010 - Django would log a 404 with the token in its path
    return answer
