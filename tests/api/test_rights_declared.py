"""Every endpoint says which right it needs; one that does not is refused, and found here."""

from collections.abc import Iterator

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from sysops.access.principals import TokenPrincipal
from sysops.access.rights import rights
from sysops.access.roles import Role
from sysops.api.permissions import PUBLIC, HasRight, key_of
from sysops.api.views import Guarded, View

METHODS = ("get", "post", "put", "patch", "delete")


def endpoints(patterns: list[URLPattern | URLResolver] | None = None) -> Iterator[tuple[str, type[APIView], list[str]]]:
    """Every DRF view of Sysops: its address, its class and the keys it must declare rights for."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            yield from endpoints(pattern.url_patterns)
            continue
        view = getattr(pattern.callback, "cls", None)
        if view is None or not issubclass(view, APIView):
            continue
        actions = getattr(pattern.callback, "actions", None)
        keys = sorted({a for m, a in actions.items() if m != "head"}) if actions else [
            method for method in METHODS if hasattr(view, method)
        ]  # fmt: skip
        yield str(pattern.pattern), view, keys


def problems() -> Iterator[str]:
    for address, view, keys in endpoints():
        declared = getattr(view, "rights", {})
        if not issubclass(view, Guarded) or HasRight not in view.permission_classes:
            yield f"{address}: {view.__name__} does not stand on sysops.api.views"
        for key in keys:
            right = declared.get(key)
            if right is None:
                yield f"{address}: {view.__name__} declares no right for {key}"
            elif right != PUBLIC and right not in rights:
                yield f"{address}: {view.__name__} needs {right}, which nobody declared"


def test_every_endpoint_declares_the_right_it_needs() -> None:
    assert list(problems()) == []
    assert len(list(endpoints())) >= 6


@pytest.mark.parametrize("role", Role)
def test_an_endpoint_that_declares_nothing_is_refused_for_everybody(role: Role) -> None:
    class Forgotten(View):
        rights = {"post": PUBLIC}

        def get(self, request: Request) -> Response:
            return Response({})

    request = APIRequestFactory().get("/")
    force_authenticate(request, user=TokenPrincipal(pk=1, name="t", role=role))  # type: ignore[arg-type]

    assert Forgotten.as_view()(request).status_code == 403


def test_head_needs_what_get_needs() -> None:
    assert key_of("HEAD", View()) == "get"
