"""JSON out, whatever the Accept header says: there is nothing else to choose from."""

from collections.abc import Iterable

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.renderers import JSONRenderer as DrfJSONRenderer
from rest_framework.request import Request


class JSONRenderer(DrfJSONRenderer):
    """Compact, UTF-8; NaN and Infinity, which are no JSON, raise instead of leaking out."""

    strict = True


class FirstUnlessAsked(DefaultContentNegotiation):
    """The renderer the client asked for if we have it; else our first one, instead of a 406 nobody can use."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        known = list(renderers)
        try:
            renderer, media_type = super().select_renderer(request, known, format_suffix)
        except NotAcceptable:
            return known[0], known[0].media_type or ""
        return renderer, media_type
