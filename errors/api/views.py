"""Issues and their events over HTTP: reading. What is done to issues is in actions.py and plain.py."""

from typing import ClassVar, TypeVar

from django.db import models
from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from errors import selectors
from errors.api import serializers as shapes
from errors.api.actions import IssueActions
from errors.api.filters import EventFilter, IssueFilter
from errors.api.plain import PlainReports
from errors.models import ActivityEntry, Event, Issue
from errors.search import event_id as read_event_id
from errors.services.merging import merged_into
from sysops.api.filters import FilterSet
from sysops.api.views import NumberedViewSet, ReadViewSet, is_number

M = TypeVar("M", bound=models.Model)

NO_ISSUE = "There is no such issue."
NO_EVENT = "The issue has no such event."
_ISSUE = OpenApiParameter("issue", str, OpenApiParameter.PATH, description="The issue's id.")
_EVENT = OpenApiParameter("event_id", str, OpenApiParameter.PATH, description="As its SDK knows it.")


class IssueViewSet(PlainReports, IssueActions, NumberedViewSet[Issue]):
    """`/api/system/errors`."""

    rights: ClassVar[dict[str, str]] = {
        "list": "errors.view",
        "retrieve": "errors.view",
        "create": "errors.report",
        "resolve": "errors.manage",
        "acknowledge": "errors.manage",
        "assign": "errors.manage",
        "ignore": "errors.manage",
        "reopen": "errors.manage",
        "severity": "errors.manage",
        "comments": "errors.manage",
        "merge": "errors.manage",
        "unmerge": "errors.manage",
    }
    queryset = Issue.objects.none()
    serializer_class = shapes.IssueSerializer
    filterset_class = IssueFilter
    ordering_fields = ("first_seen", "last_seen", "event_count", "affected_accounts", "respond_by")

    def get_queryset(self) -> QuerySet[Issue]:
        """The newest issue first: that order, unlike the one by last_seen, stays as it is while somebody pages."""
        if getattr(self, "swagger_fake_view", False):
            return Issue.objects.none()
        return selectors.visible_issues(self.request.user).order_by("-pk")

    def get_object(self) -> Issue:
        try:
            return super().get_object()
        except Http404:
            raise Http404(self._missing(str(self.kwargs["pk"]))) from None

    def _missing(self, pk: str) -> str:
        """Why there is none; where it went, when the asker may see that."""
        target = merged_into(int(pk)) if is_number(pk) else None
        if target is None or not self.get_queryset().filter(pk=target).exists():
            return NO_ISSUE
        return f"Issue {pk} is part of issue {target} now."

    @extend_schema(responses=shapes.IssueDetailSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """An issue with its latest event, its tags and its trend."""
        return Response(shapes.IssueDetailSerializer(self.get_object()).data)


class OfIssue(ReadViewSet[M]):
    """Rows of the issue in the address, when the asker may see it."""

    def of_issue(self) -> Issue:
        given = str(self.kwargs["issue"])
        if not is_number(given):
            raise Http404(NO_ISSUE)
        found = selectors.visible_issues(self.request.user).filter(pk=given).first()
        if found is None:
            raise Http404(NO_ISSUE)
        return found


class EventViewSet(OfIssue[Event]):
    """`/api/system/errors/{id}/events`: the stored events of an issue, newest first."""

    rights: ClassVar[dict[str, str]] = {"list": "errors.view", "retrieve": "errors.view"}
    queryset = Event.objects.none()
    serializer_class = shapes.EventSerializer
    filterset_class = EventFilter

    def get_queryset(self) -> QuerySet[Event]:
        if getattr(self, "swagger_fake_view", False):
            return Event.objects.none()
        return selectors.events_of(self.of_issue())

    @extend_schema(parameters=[_ISSUE])
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """The events of an issue."""
        return super().list(request, *args, **kwargs)

    @extend_schema(parameters=[_ISSUE, _EVENT], responses=shapes.EventDetailSerializer)
    def retrieve(self, request: Request, issue: str, event_id: str) -> Response:
        """One event of an issue, with all that was reported."""
        known = read_event_id(event_id)
        try:
            if known is None:
                raise Http404(NO_EVENT)
            found = selectors.event(self.of_issue(), known)
        except Event.DoesNotExist:
            raise Http404(NO_EVENT) from None
        return Response(shapes.EventDetailSerializer(found).data)


class ActivityViewSet(OfIssue[ActivityEntry]):
    """`/api/system/errors/{id}/activity`: what was done about an issue, and what was written, newest first."""

    rights: ClassVar[dict[str, str]] = {"list": "errors.view"}
    queryset = ActivityEntry.objects.none()
    serializer_class = shapes.ActivitySerializer
    filterset_class = FilterSet

    def get_queryset(self) -> QuerySet[ActivityEntry]:
        if getattr(self, "swagger_fake_view", False):
            return ActivityEntry.objects.none()
        return selectors.activity_of(self.of_issue())

    @extend_schema(parameters=[_ISSUE])
    def list(self, request: Request, *args: object, **kwargs: object) -> Response:
        """The history of an issue."""
        return super().list(request, *args, **kwargs)
