"""What arrives beside events, over HTTP: check-ins, sessions and what people wrote. Reading only."""

from typing import ClassVar, TypeVar

from django.db import models
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from errors.api.of_project import OfProject
from errors.models import CheckIn, Feedback, SessionCount
from sysops.api.serializers import Id

M = TypeVar("M", bound=models.Model)

_PROJECT = OpenApiParameter("slug", str, OpenApiParameter.PATH, description="The project.")


class CheckInOut(serializers.ModelSerializer[CheckIn]):
    """A job that reported itself: begun, done or failed."""

    id = Id()
    check_in_id = serializers.SerializerMethodField(help_text="As its SDK knows it: the same when begun and when done")

    class Meta:
        model = CheckIn
        fields = [
            "id",
            "check_in_id",
            "monitor",
            "status",
            "environment",
            "duration_seconds",
            "monitor_config",
            "received_at",
        ]
        read_only_fields = fields

    def get_check_in_id(self, row: CheckIn) -> str:
        return row.check_in_id.hex


class SessionsOut(serializers.ModelSerializer[SessionCount]):
    """Sessions of a release in an hour, by how they ended."""

    id = Id()

    class Meta:
        model = SessionCount
        fields = ["id", "hour", "release", "environment", "started", "exited", "errored", "crashed", "abnormal"]
        read_only_fields = fields


class ProjectFeedbackOut(serializers.ModelSerializer[Feedback]):
    """What somebody who met an error wrote."""

    id = Id()
    event_id = serializers.SerializerMethodField(help_text="The event it is about; null when it is about none")

    class Meta:
        model = Feedback
        fields = ["id", "event_id", "name", "email", "message", "url", "received_at"]
        read_only_fields = fields

    def get_event_id(self, row: Feedback) -> str | None:
        return row.event_id.hex if row.event_id else None


class _Arrived(OfProject[M]):
    """Whoever sees the project sees what arrived; the latest first."""

    rights: ClassVar[dict[str, str]] = {"list": "errors.view"}


class CheckInViewSet(_Arrived[CheckIn]):
    """`/api/system/error-projects/{slug}/check-ins`."""

    queryset = CheckIn.objects.none()
    serializer_class = CheckInOut

    def get_queryset(self) -> QuerySet[CheckIn]:
        if getattr(self, "swagger_fake_view", False):
            return CheckIn.objects.none()
        return CheckIn.objects.filter(project=self.project()).order_by("-received_at", "-pk")

    @extend_schema(parameters=[_PROJECT])
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """What jobs reported of themselves."""
        return super().list(request, *args, **kwargs)


class SessionsViewSet(_Arrived[SessionCount]):
    """`/api/system/error-projects/{slug}/sessions`."""

    queryset = SessionCount.objects.none()
    serializer_class = SessionsOut

    def get_queryset(self) -> QuerySet[SessionCount]:
        if getattr(self, "swagger_fake_view", False):
            return SessionCount.objects.none()
        return SessionCount.objects.filter(project=self.project()).order_by("-hour", "-pk")

    @extend_schema(parameters=[_PROJECT])
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Sessions by release and hour."""
        return super().list(request, *args, **kwargs)


class FeedbackViewSet(_Arrived[Feedback]):
    """`/api/system/error-projects/{slug}/feedback`."""

    queryset = Feedback.objects.none()
    serializer_class = ProjectFeedbackOut

    def get_queryset(self) -> QuerySet[Feedback]:
        if getattr(self, "swagger_fake_view", False):
            return Feedback.objects.none()
        return Feedback.objects.filter(project=self.project()).order_by("-received_at", "-pk")

    @extend_schema(parameters=[_PROJECT])
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """What people who met errors wrote."""
        return super().list(request, *args, **kwargs)
