"""What every endpoint stands on. A view declares its `rights`; everything else comes from here."""

from typing import ClassVar, TypeVar

from django.db import models
from django.http import Http404
from rest_framework import status
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from sysops.access.actors import Actor
from sysops.access.requests import request_actor
from sysops.api.idempotency import HEADER, answered_once
from sysops.api.permissions import PUBLIC, HasRight
from sysops.api.problems import invalid
from sysops.api.renderers import FirstUnlessAsked
from sysops.api.serializers import LONGEST_QUOTED

__all__ = ["PUBLIC", "Guarded", "NumberedViewSet", "ReadViewSet", "View", "is_number", "nothing_called"]

M = TypeVar("M", bound=models.Model)
MOST_DIGITS = 18  # fits a bigint; Python refuses to read thousands of digits as a number


class Guarded(APIView):
    """Rights, refusal of text nobody can store, idempotent POST, and OPTIONS that tells the methods only."""

    rights: ClassVar[dict[str, str]] = {}
    permission_classes = (HasRight,)
    content_negotiation_class = FirstUnlessAsked

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        if any("\0" in str(part) for part in kwargs.values()):
            raise Http404
        if bad := [name for name, values in request.query_params.lists() if "\0" in name + "".join(values)]:
            raise invalid({name.replace("\0", "\ufffd"): "Must not contain a NUL character." for name in bad})
        if request.method == "POST" and HEADER in request.headers:
            # Found by DRF's dispatch in place of the method, after sign-in and rights were checked above.
            setattr(self, "post", answered_once(getattr(self, "post")))  # noqa: B009, B010 - mypy cannot see it

    def options(self, request: Request, *args: object, **kwargs: object) -> Response:  # type: ignore[override]
        return Response(status=status.HTTP_204_NO_CONTENT)  # DRF adds the header Allow

    def actor(self) -> Actor:
        """Who asks, for services."""
        return request_actor(self.request)


def is_number(given: str) -> bool:
    """Whether it can be the key of a row."""
    return given.isascii() and given.isdigit() and len(given) <= MOST_DIGITS


def nothing_called(model: type[models.Model], given: object) -> str:
    """What a 404 says of the row that was asked for; the same whether it is not there or not to be seen."""
    text = str(given)[:LONGEST_QUOTED]
    return f"There is no {model._meta.verbose_name} {text if text.isascii() and text.isdigit() else repr(text)}."


class View(Guarded):
    """An endpoint that is no list of rows: `rights = {"get": "health.view"}` by method."""


class ReadViewSet(Guarded, ListModelMixin, RetrieveModelMixin, GenericViewSet[M]):
    """A list and its rows: `rights = {"list": …, "retrieve": …}` by action. Set `queryset` (newest first),
    `serializer_class`, `filterset_class` and `ordering_fields`; add further actions with `@action` or `create`."""

    lookup_value_regex = "[^/]+"
    ordering_fields: ClassVar[tuple[str, ...] | dict[str, str]] = ()

    def get_object(self) -> M:
        try:
            return super().get_object()
        except Http404:
            given = self.kwargs[self.lookup_url_kwarg or self.lookup_field]
            raise Http404(nothing_called(self.get_queryset().model, given)) from None


class NumberedViewSet(ReadViewSet[M]):
    """Rows by number. Ids are opaque to clients; whatever is no key of ours is simply not there."""

    def get_object(self) -> M:
        given = str(self.kwargs["pk"])
        if not is_number(given):
            raise Http404(nothing_called(self.get_queryset().model, given))
        return super().get_object()
