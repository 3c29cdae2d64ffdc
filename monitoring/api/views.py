"""Health over HTTP. None of these may hang: what is frozen is what they are asked about."""

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from monitoring import selectors
from monitoring.api.serializers import HealthSerializer, LiveSerializer, ReadySerializer
from monitoring.rules import Status
from sysops.access.rights import has_right
from sysops.api.views import PUBLIC, View

_FRESH = {"Cache-Control": "no-store"}


class _OpenView(View):
    """Answers anybody, and looks nobody up before it answers: that would ask the database."""

    rights: ClassVar[dict[str, str]] = {"get": PUBLIC}

    def perform_authentication(self, request: Request) -> None:
        """Nobody yet; `request.user` looks up who it is when it is read."""


class HealthView(_OpenView):
    @extend_schema(responses={200: HealthSerializer, 503: HealthSerializer})
    def get(self, request: Request) -> Response:
        """How Sysops is. The public sees `status` alone; whoever may see health sees every part.

        While the database does not answer nobody can be looked up, and everybody sees what the public sees.
        """
        report = selectors.report()
        full = report.database.answers and has_right(request.user, "health.view")
        body = report.as_json() if full else {"status": report.status}
        bad = report.status is Status.UNHEALTHY
        return Response(body, status.HTTP_503_SERVICE_UNAVAILABLE if bad else status.HTTP_200_OK, headers=_FRESH)


class LiveView(_OpenView):
    @extend_schema(responses={200: LiveSerializer}, auth=[])
    def get(self, request: Request) -> Response:
        """The process answers. Nothing else is looked at."""
        return Response({"status": "alive"}, headers=_FRESH)


class ReadyView(_OpenView):
    @extend_schema(responses={200: ReadySerializer, 503: ReadySerializer}, auth=[])
    def get(self, request: Request) -> Response:
        """Whether requests can be served: the database answers and its tables are those of this version.

        The broker is not needed for that: what is asked for while it is away is stored and taken up later.
        """
        missing = selectors.missing_to_serve()
        if missing:
            body = {"status": "not ready", "missing": missing}
            return Response(body, status.HTTP_503_SERVICE_UNAVAILABLE, headers=_FRESH)
        return Response({"status": "ready", "missing": []}, headers=_FRESH)
