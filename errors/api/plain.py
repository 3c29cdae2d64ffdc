"""Errors reported as plain JSON, for scripts and whatever has no SDK: they go the way of all reports."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from errors import selectors
from errors.models import Project
from errors.rules import Kind
from errors.services import admitting, spooling
from sysops.access.actors import Actor
from sysops.api.forms import Form, Moment, Text
from sysops.api.problems import Away, TooLarge, invalid
from sysops.kernel.clock import utc_now

LEVELS = ("fatal", "error", "warning", "info", "debug")
LARGEST = 1024 * 1024  # bytes, as for any event
LONGEST_MESSAGE = 8_192
LONGEST_TRACE = 200_000
MOST_TAGS = 50


class ReportIn(Form):
    """An error somebody met."""

    project = serializers.CharField(max_length=64, help_text="Its slug")
    message = serializers.CharField(max_length=LONGEST_MESSAGE)
    type = serializers.CharField(max_length=200, required=False, help_text="What kind of error, such as TimeoutError")
    level = serializers.ChoiceField(LEVELS, required=False, default="error")
    stack_trace = serializers.CharField(
        max_length=LONGEST_TRACE, required=False, trim_whitespace=False, help_text="As text; it is shown as it is"
    )
    service = serializers.CharField(max_length=200, required=False, help_text="Kept as a tag")
    release = serializers.CharField(max_length=250, required=False)
    environment = serializers.CharField(max_length=64, required=False)
    account = serializers.CharField(max_length=200, required=False, help_text="Whom it hit; kept as a hash to count")
    occurred_at = Moment(required=False, help_text="Left out: now")
    fingerprint = serializers.ListField(
        child=serializers.CharField(max_length=200),
        required=False,
        min_length=1,
        max_length=20,
        help_text="Reports with the same one are one issue, whatever else they say",
    )
    tags = serializers.DictField(child=Text(max_length=200), required=False)
    extra = serializers.DictField(required=False, help_text="Whatever else helps to understand it")

    def validate_tags(self, value: dict[str, str]) -> dict[str, str]:
        if len(value) > MOST_TAGS:
            raise serializers.ValidationError(f"At most {MOST_TAGS} tags, not {len(value)}.")
        if any(not 0 < len(key) <= 64 for key in value):
            raise serializers.ValidationError("The name of a tag has 1 to 64 characters.")
        return value


class ReportedOut(serializers.Serializer[object]):
    """What was taken."""

    id = serializers.CharField(help_text="The event's id; its issue is there once it is digested, within seconds")


class PlainReports:
    """`POST /api/system/errors`, for the view set of issues."""

    if TYPE_CHECKING:
        actor: Callable[[], Actor]

    @extend_schema(request=ReportIn, responses={202: ReportedOut})
    def create(self, request: Request) -> Response:
        """Report an error. 202 means that it is stored; it is grouped into an issue within seconds."""
        project = _project(request, ReportIn.validated(request.data)["project"])
        assert isinstance(request.data, dict)  # as the parser of JSON leaves it
        body = json.dumps(_event(request.data)).encode()
        if len(body) > LARGEST:
            raise TooLarge(f"The report has {len(body)} bytes; at most {LARGEST} are taken. Shorten `extra`.")
        at = utc_now()
        _admit(project, at=at)
        event_id = spooling.spool(project, kind=Kind.PLAIN, body=body, remote=self.actor().address or "", at=at)
        return Response({"id": event_id.hex}, status=status.HTTP_202_ACCEPTED)


def _admit(project: Project, *, at: datetime) -> None:
    """Count the report. Answers 429 or 503 with Retry-After when it is not taken now."""
    try:
        admitting.admit(project, at=at)
    except admitting.TooMany as exc:
        raise exceptions.Throttled(wait=exc.seconds, detail=str(exc)) from None
    except admitting.NotNow as exc:
        away = Away(str(exc))
        away.wait = exc.seconds
        raise away from None


def _event(given: Mapping[str, object]) -> dict[str, object]:
    """The report as the digest takes it: as it was sent, with its service as a tag."""
    event = {name: value for name, value in given.items() if name not in ("project", "service")}
    tags = event.get("tags")
    if "service" in given:
        event["tags"] = {"service": given["service"], **(tags if isinstance(tags, dict) else {})}
    return event


def _project(request: Request, slug: str) -> Project:
    project = selectors.visible_projects(request.user).filter(slug=slug).first()
    if project is None:
        raise invalid({"project": f"There is no error project {slug!r}."})
    if not project.enabled:
        raise invalid({"project": "The project is switched off: nothing is taken for it."})
    return project
