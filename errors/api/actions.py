"""What people do about issues, over HTTP: parse, one service call, answer."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from catalogue.models import Person
from errors import selectors
from errors.api.refused import refused
from errors.api.serializers import ActivitySerializer, IssueDetailSerializer, shown
from errors.models import Grouping, Issue
from errors.rules import Severity
from errors.services import issues as services
from errors.services import merging
from sysops.access.actors import Actor
from sysops.api.forms import Form, Moment, Nothing
from sysops.api.problems import CONTENT_TYPE, invalid
from sysops.api.serializers import Named
from sysops.api.views import MOST_DIGITS, is_number
from sysops.kernel.clock import utc_now

CONFLICT = (409, CONTENT_TYPE)
_WRONG_STATE = OpenApiResponse(OpenApiTypes.OBJECT, description="Not in a status that allows it: `current_status`.")
_CANNOT = OpenApiResponse(OpenApiTypes.OBJECT, description="These cannot be merged, or not be split; it says why.")
_COUNT = 2**31 - 1


class ResolveIn(Form):
    """How it was resolved."""

    note = serializers.CharField(max_length=services.LONGEST_NOTE, required=False, allow_blank=True, default="")
    release = serializers.CharField(
        max_length=services.LONGEST_RELEASE,
        required=False,
        allow_blank=True,
        default="",
        help_text="The release that holds the fix; left out: it is fixed in whatever runs now",
    )
    in_next_release = serializers.BooleanField(
        required=False, default=False, help_text="Fixed in the one after `release`, or after the newest"
    )


class AssignIn(Form):
    """Whose it is."""

    assignee = Named(slug_field="slug", queryset=Person.objects.all(), allow_null=True, help_text="null: nobody's")


class IgnoreIn(Form):
    """Until when it is left alone: whichever comes first; none of these is for good."""

    until = Moment(required=False, allow_null=True, default=None)
    more_events = serializers.IntegerField(
        min_value=1, max_value=_COUNT, required=False, allow_null=True, default=None, help_text="Until so many more"
    )
    more_accounts = serializers.IntegerField(
        min_value=1, max_value=_COUNT, required=False, allow_null=True, default=None, help_text="Until so many more"
    )


class SeverityIn(Form):
    """How bad it is."""

    severity = serializers.ChoiceField(
        [severity.value for severity in Severity], allow_null=True, help_text="null: as the rules say"
    )


class CommentIn(Form):
    """What there is to say."""

    text = serializers.CharField(max_length=services.LONGEST_COMMENT)


class MergeIn(Form):
    """Which issues become one with this one."""

    issues = serializers.ListField(
        child=serializers.CharField(max_length=MOST_DIGITS), min_length=1, max_length=merging.MOST, help_text="Ids"
    )


class UnmergeIn(Form):
    """What is split off."""

    grouping = serializers.CharField(max_length=MOST_DIGITS, help_text="Its id, of the issue's `groupings`")


class IssueActions:
    """Steps of `/api/system/errors/{id}`, for a view set whose `get_object` is an issue the asker may see."""

    if TYPE_CHECKING:
        get_object: Callable[[], Issue]
        actor: Callable[[], Actor]

    @extend_schema(request=None, responses={200: IssueDetailSerializer, CONFLICT: _WRONG_STATE})
    @action(detail=True, methods=["put"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        """Somebody takes note: the SLA clock stops."""
        Nothing.validated(request.data)
        issue = self.get_object()
        with refused():
            services.acknowledge(issue, by=self.actor(), at=utc_now())
        return Response(shown(issue.pk))

    @extend_schema(request=ResolveIn, responses={200: IssueDetailSerializer, CONFLICT: _WRONG_STATE})
    @action(detail=True, methods=["put"])
    def resolve(self, request: Request, pk: str) -> Response:
        """It is done: now, in a release, or in the one after it. A later release that still has it brings it back."""
        given = ResolveIn.validated(request.data)
        issue = self.get_object()
        with refused():
            services.resolve(issue, **given, by=self.actor(), at=utc_now())
        return Response(shown(issue.pk))

    @extend_schema(request=IgnoreIn, responses={200: IssueDetailSerializer, CONFLICT: _WRONG_STATE})
    @action(detail=True, methods=["put"])
    def ignore(self, request: Request, pk: str) -> Response:
        """Leave it alone for a time, or until it has grown."""
        given = IgnoreIn.validated(request.data)
        issue = self.get_object()
        with refused():
            services.ignore(issue, **given, by=self.actor(), at=utc_now())
        return Response(shown(issue.pk))

    @extend_schema(request=None, responses={200: IssueDetailSerializer, CONFLICT: _WRONG_STATE})
    @action(detail=True, methods=["put"])
    def reopen(self, request: Request, pk: str) -> Response:
        """It is to be dealt with again; its SLA clock starts anew."""
        Nothing.validated(request.data)
        issue = self.get_object()
        with refused():
            services.reopen(issue, by=self.actor(), at=utc_now())
        return Response(shown(issue.pk))

    @extend_schema(request=AssignIn, responses=IssueDetailSerializer)
    @action(detail=True, methods=["put"])
    def assign(self, request: Request, pk: str) -> Response:
        """Give it to somebody, who is told, or to nobody."""
        given = AssignIn.validated(request.data)
        issue = self.get_object()
        with refused():
            services.assign(issue, given["assignee"], by=self.actor(), at=utc_now())
        return Response(shown(issue.pk))

    @extend_schema(request=SeverityIn, responses=IssueDetailSerializer)
    @action(detail=True, methods=["put"])
    def severity(self, request: Request, pk: str) -> Response:
        """Say how bad it is, which the rules then leave alone; null gives it back to them."""
        given = SeverityIn.validated(request.data)["severity"]
        issue = self.get_object()
        with refused():
            services.set_severity(issue, Severity(given) if given else None, by=self.actor(), at=utc_now())
        return Response(shown(issue.pk))

    @extend_schema(request=CommentIn, responses={201: ActivitySerializer})
    @action(detail=True, methods=["post"])
    def comments(self, request: Request, pk: str) -> Response:
        """Write something into its history."""
        given = CommentIn.validated(request.data)
        issue = self.get_object()
        with refused():
            entry = services.comment(issue, text=given["text"], by=self.actor(), at=utc_now())
        return Response(ActivitySerializer(entry).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=MergeIn, responses={200: IssueDetailSerializer, CONFLICT: _CANNOT})
    @action(detail=True, methods=["post"])
    def merge(self, request: Request, pk: str) -> Response:
        """Make other issues of its project part of this one; they are gone then."""
        given = MergeIn.validated(request.data)
        issue = self.get_object()
        others = _named(request, given["issues"])
        with refused():
            merging.merge(issue, others, by=self.actor(), at=utc_now())
        return Response(shown(issue.pk))

    @extend_schema(request=UnmergeIn, responses={201: IssueDetailSerializer, CONFLICT: _CANNOT})
    @action(detail=True, methods=["post"])
    def unmerge(self, request: Request, pk: str) -> Response:
        """Split one of its groupings off; the answer is the new issue."""
        given = UnmergeIn.validated(request.data)["grouping"]
        issue = self.get_object()
        known = Grouping.objects.filter(issue=issue)
        grouping = known.filter(pk=given).first() if is_number(given) else None
        if grouping is None:
            raise invalid({"grouping": f"The issue has no grouping {given!r}."})
        with refused():
            new = merging.unmerge(grouping, by=self.actor(), at=utc_now())
        headers = {"Location": f"/api/system/errors/{new.pk}"}
        return Response(shown(new.pk), status=status.HTTP_201_CREATED, headers=headers)


def _named(request: Request, ids: Sequence[str]) -> list[Issue]:
    """The issues with these ids that the asker may see; 400 names the first that is none."""
    wanted = [int(given) for given in ids if is_number(given)]
    found = {str(row.pk): row for row in selectors.visible_issues(request.user).filter(pk__in=wanted)}
    if missing := [given for given in ids if given not in found]:
        raise invalid({"issues": f"There is no issue {missing[0]!r}."})
    return [found[given] for given in dict.fromkeys(ids)]
