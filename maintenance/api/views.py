"""Maintenance over HTTP: parse, one service call, answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import selectors
from maintenance.api import serializers as shapes
from maintenance.api.filters import WindowFilter
from maintenance.models import Window, WrongState
from maintenance.plans import Plan
from maintenance.rules import Status, Type
from maintenance.services import reports, running, scheduling
from maintenance.services.scheduling import BadWindow, Conflicts
from sysops.api.forms import Nothing
from sysops.api.problems import CONTENT_TYPE, Conflict, invalid
from sysops.api.views import NumberedViewSet
from sysops.kernel.clock import utc_now

CONFLICT = (409, CONTENT_TYPE)
_IN_THE_WAY = OpenApiResponse(
    OpenApiTypes.OBJECT,
    description="Not in a state that allows it (`current_status`), a gate is closed (`gates`), or other windows are in "
    "the way (`conflicts`, the windows).",
)


class WindowViewSet(NumberedViewSet[Window]):
    """`/api/system/maintenance`."""

    rights: ClassVar[dict[str, str]] = {
        "list": "maintenance.view",
        "retrieve": "maintenance.view",
        "report": "maintenance.view",
        "create": "maintenance.manage",
        "partial_update": "maintenance.manage",
        "start": "maintenance.manage",
        "complete": "maintenance.manage",
        "cancel": "maintenance.manage",
        "extend": "maintenance.manage",
        "updates": "maintenance.manage",
    }
    queryset = selectors.for_lists()
    serializer_class = shapes.WindowSerializer
    filterset_class = WindowFilter
    ordering_fields: ClassVar[dict[str, str]] = {
        "created_at": "created_at",
        "scheduled_start_time": "scheduled_start",
        "scheduled_end_time": "scheduled_end",
    }

    def get_queryset(self) -> QuerySet[Window]:
        return super().get_queryset().defer("report")  # large, and shown by its own address

    @extend_schema(request=shapes.WindowIn, responses={201: shapes.WindowDetailSerializer, CONFLICT: _IN_THE_WAY})
    def create(self, request: Request) -> Response:
        """Schedule a window; 409 names the windows in the way. An emergency is held up by nothing."""
        given = shapes.WindowIn.plan(request.data)
        with refused():
            window = scheduling.schedule(_plan(given), by=self.actor(), at=utc_now())
        headers = {"Location": f"/api/system/maintenance/{window.pk}"}
        return Response(shown(window.pk), status=status.HTTP_201_CREATED, headers=headers)

    @extend_schema(responses=shapes.WindowDetailSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """A window, with the others that meet it."""
        return Response(shapes.WindowDetailSerializer(self.get_object()).data)

    @extend_schema(request=shapes.WindowIn, responses={200: shapes.WindowDetailSerializer, CONFLICT: _IN_THE_WAY})
    def partial_update(self, request: Request, pk: str) -> Response:
        """Reschedule or edit a window while it is scheduled."""
        given = shapes.WindowIn.plan(request.data, partial=True)
        window = self.get_object()
        with refused(window):
            scheduling.change(window, given, by=self.actor(), at=utc_now())
        return Response(shown(window.pk))

    @extend_schema(request=None, responses={200: shapes.WindowDetailSerializer, CONFLICT: _IN_THE_WAY})
    @action(detail=True, methods=["put"])
    def start(self, request: Request, pk: str) -> Response:
        """Begin. 409 while a gate is closed, or prepares (`preparing`): ask again."""
        Nothing.validated(request.data)
        window = self.get_object()
        with refused(window):
            running.start(window.pk, by=self.actor(), at=utc_now)
        return Response(shown(window.pk))

    @extend_schema(request=None, responses={200: shapes.WindowDetailSerializer, CONFLICT: _IN_THE_WAY})
    @action(detail=True, methods=["put"])
    def complete(self, request: Request, pk: str) -> Response:
        """The work is done: its services go back to how they were, and its report is frozen."""
        Nothing.validated(request.data)
        window = self.get_object()
        with refused(window):
            running.complete(window, by=self.actor(), at=utc_now())
        return Response(shown(window.pk))

    @extend_schema(request=shapes.CancelIn, responses={200: shapes.WindowDetailSerializer, CONFLICT: _IN_THE_WAY})
    @action(detail=True, methods=["put"])
    def cancel(self, request: Request, pk: str) -> Response:
        """It will not take place. Only a scheduled window is cancelled."""
        given = shapes.CancelIn.validated(request.data)
        window = self.get_object()
        with refused(window):
            running.cancel(window, reason=given["reason"], by=self.actor(), at=utc_now())
        return Response(shown(window.pk))

    @extend_schema(request=shapes.ExtendIn, responses={200: shapes.WindowDetailSerializer, CONFLICT: _IN_THE_WAY})
    @action(detail=True, methods=["put"])
    def extend(self, request: Request, pk: str) -> Response:
        """Give it more time, counted from its scheduled start; 409 when another window has that time."""
        duration = shapes.ExtendIn.validated(request.data)["estimated_duration_seconds"]
        window = self.get_object()
        with refused(window):
            scheduling.extend(window, duration=duration, by=self.actor(), at=utc_now())
        return Response(shown(window.pk))

    @extend_schema(request=shapes.UpdateIn, responses={201: shapes.UpdateOut, CONFLICT: _IN_THE_WAY})
    @action(detail=True, methods=["post"])
    def updates(self, request: Request, pk: str) -> Response:
        """Tell everybody affected how it stands."""
        given = shapes.UpdateIn.validated(request.data)
        window = self.get_object()
        with refused(window):
            update = running.post_update(window, message=given["message"], by=self.actor(), at=utc_now())
        return Response(shapes.UpdateOut(update).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses={200: OpenApiTypes.OBJECT, CONFLICT: _IN_THE_WAY}, filters=False)
    @action(detail=True, methods=["get"], pagination_class=None, filterset_class=None)
    def report(self, request: Request, pk: str) -> Response:
        """What was planned and what happened, frozen at completion; 409 before."""
        window = self.get_object()
        if window.status != Status.COMPLETED:
            words = window.status.replace("_", " ")
            raise Conflict(
                f"Window {window.pk} is {words}; it has a report once it is completed.", current_status=window.status
            )
        return Response(reports.report(window, at=utc_now()))


def shown(window_id: int) -> object:
    """The window as it is now, as answers show it."""
    return shapes.WindowDetailSerializer(selectors.window(window_id)).data


@contextmanager
def refused(window: Window | None = None) -> Iterator[None]:
    """What services refuse with, as the problems of API.md."""
    try:
        yield
    except BadWindow as exc:
        raise invalid(exc.problems) from None
    except WrongState as exc:
        raise Conflict(str(exc), current_status=exc.current) from None
    except Conflicts as exc:
        found = selectors.for_lists().filter(pk__in=[other.pk for other in exc.windows])
        rows = shapes.WindowSerializer(found.order_by("scheduled_start", "pk"), many=True).data
        raise Conflict(str(exc), current_status=_status(window), conflicts=rows) from None
    except running.NotYet as exc:
        assert window is not None
        gates = shapes.GateOut(window.gates.order_by("pk"), many=True).data
        raise Conflict(str(exc), current_status=_status(window), preparing=exc.preparing, gates=gates) from None


def _status(window: Window | None) -> str | None:
    if window is None:
        return None
    return Window.objects.values_list("status", flat=True).get(pk=window.pk)


def _plan(given: dict[str, object]) -> Plan:
    values: dict[str, object] = {"maintenance_type": Type.PLANNED, "description": "", "start": None, **given}
    return Plan(**values)  # type: ignore[arg-type]
