"""Who is on call, over HTTP: asked, planned and overridden below a team's address."""

from datetime import datetime, timedelta
from typing import ClassVar

from django.http import Http404
from django.urls import URLPattern, path
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from catalogue import records, rota, selectors_oncall, services
from catalogue.api.serializers import ContactSerializer
from catalogue.models import OnCallOverride, Person, Rota, Team
from catalogue.rota import parse_moment
from catalogue.services import oncall
from sysops.api.forms import Form
from sysops.api.problems import Conflict, invalid
from sysops.api.serializers import Id, Named
from sysops.api.views import View

LONGEST_LOOK_DAYS = 92


class OnCallPersonSerializer(serializers.Serializer[Person]):
    """Somebody on call, and how to reach them."""

    slug = serializers.CharField()
    name = serializers.CharField()
    time_zone = serializers.CharField()
    contacts = ContactSerializer(many=True, help_text="In the order they are tried.")


class ShiftSerializer(serializers.Serializer[object]):
    """The same people from `starts_at` until just before `ends_at`."""

    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    people = serializers.ListField(child=serializers.CharField(), help_text="Their slugs.")
    because = serializers.CharField()


class OnCallSerializer(serializers.Serializer[object]):
    """Who is on call for a team at a moment, and why. Empty only for a team without members and lead."""

    team = serializers.CharField()
    at = serializers.DateTimeField()
    people = OnCallPersonSerializer(many=True)
    because = serializers.CharField(help_text="In words: the override, the rotation, or why it is the whole team.")
    shifts = ShiftSerializer(many=True, help_text="What follows, for the `days` asked for; else empty.")


class RotationSerializer(Form):
    """People who take turns."""

    name = serializers.CharField(max_length=100)
    people = Named(
        slug_field="slug", queryset=Person.objects.all(), many=True, help_text="In the order of their turns."
    )
    starts_on = serializers.DateField(help_text="The day of the first handover.")
    handover_at = serializers.TimeField(help_text="The wall-clock time of each handover.")
    turn_days = serializers.IntegerField(required=False, default=7, min_value=1, max_value=rota.LONGEST_TURN_DAYS)
    daily_from = serializers.TimeField(required=False, allow_null=True, default=None)
    daily_until = serializers.TimeField(required=False, allow_null=True, default=None)


class RotaSerializer(Form):
    """A team's rota, as a whole: the first rotation that covers a moment says who is on call."""

    time_zone = serializers.CharField(max_length=64, required=False, default="UTC")
    rotations = RotationSerializer(many=True)


class OverrideSerializer(Form):
    """Somebody on call instead of whoever the rota names."""

    id = Id()
    person = Named(slug_field="slug", queryset=Person.objects.all())
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    reason = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class _TeamView(View):
    def team(self, slug: str) -> Team:
        found = Team.objects.filter(slug=slug).first()
        if found is None:
            raise Http404(f"There is no team {slug!r}.")
        return found


class OnCallView(_TeamView):
    """Who is on call."""

    rights: ClassVar[dict[str, str]] = {"get": "catalogue.view"}

    @extend_schema(
        parameters=[
            OpenApiParameter("at", datetime, description="Default: now."),
            OpenApiParameter("days", int, description=f"Also what follows, 1 to {LONGEST_LOOK_DAYS} days."),
        ],
        responses=OnCallSerializer,
    )
    def get(self, request: Request, slug: str) -> Response:
        """Who is on call for the team, now or at a time, and why."""
        team = self.team(slug)
        at, days = _asked(request)
        found = selectors_oncall.on_call([team.pk], at=at)[team.pk]
        shifts = selectors_oncall.shifts(team, start=at, end=at + timedelta(days=days)) if days else []
        shown = {
            "team": team.slug,
            "at": at,
            "people": found.people,
            "because": found.because,
            "shifts": [{**vars(shift), "people": [person.slug for person in shift.people]} for shift in shifts],
        }
        return Response(OnCallSerializer(shown).data)


class RotaView(_TeamView):
    """The plan behind it."""

    rights: ClassVar[dict[str, str]] = {
        "get": "catalogue.view",
        "put": "catalogue.change",
        "delete": "catalogue.change",
    }

    @extend_schema(responses=RotaSerializer)
    def get(self, request: Request, slug: str) -> Response:
        """The team's rota; 404 when it has none and the whole team is on call."""
        row = Rota.objects.select_related("team").filter(team=self.team(slug)).first()
        if row is None:
            raise Http404("This team has no on-call rota: the whole team is on call.")
        return Response(_shown(row))

    @extend_schema(request=RotaSerializer, responses=RotaSerializer)
    def put(self, request: Request, slug: str) -> Response:
        """Set the rota as a whole."""
        team, given = self.team(slug), RotaSerializer.validated(request.data)
        rotations = [
            rota.Rotation(members=tuple(person.pk for person in people), **rest)
            for people, rest in ((one.pop("people"), one) for one in map(dict, given["rotations"]))
        ]
        try:
            row = oncall.set_rota(
                team, time_zone=given["time_zone"], rotations=rotations, by=self.actor(), at=timezone.now()
            )
        except services.Overtaken as exc:
            raise Conflict(str(exc)) from None
        return Response(_shown(row))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, slug: str) -> Response:
        """The team has no rota from now on: the whole team is on call."""
        oncall.remove_rota(self.team(slug), by=self.actor(), at=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class OverridesView(_TeamView):
    """Exceptions from it."""

    rights: ClassVar[dict[str, str]] = {"get": "catalogue.view", "post": "catalogue.override"}

    @extend_schema(responses=OverrideSerializer(many=True))
    def get(self, request: Request, slug: str) -> Response:
        """The overrides that have not ended, soonest first."""
        rows = selectors_oncall.overrides_of(self.team(slug), after=timezone.now())
        return Response([OverrideSerializer(row).data for row in rows])

    @extend_schema(request=OverrideSerializer, responses={201: OverrideSerializer})
    def post(self, request: Request, slug: str) -> Response:
        """Put somebody on call for a while, whatever the rota says; of two that overlap the later made wins."""
        team, given = self.team(slug), OverrideSerializer.validated(request.data)
        try:
            row = oncall.add_override(team, **given, by=self.actor(), at=timezone.now())
        except services.Overtaken as exc:
            raise Conflict(str(exc)) from None
        return Response(OverrideSerializer(row).data, status.HTTP_201_CREATED)


class OverrideView(_TeamView):
    """One of them."""

    rights: ClassVar[dict[str, str]] = {"delete": "catalogue.override"}

    @extend_schema(responses={204: None, 409: OpenApiResponse(description="It has ended already.")})
    def delete(self, request: Request, slug: str, pk: str) -> Response:
        """The rota decides again from now on."""
        rows = OnCallOverride.objects.select_related("team", "person").filter(team=self.team(slug))
        row = rows.filter(pk=int(pk)).first() if pk.isdecimal() and len(pk) < 18 else None
        if row is None:
            raise Http404(f"This team has no override {pk!r}.")
        try:
            oncall.end_override(row, by=self.actor(), at=timezone.now())
        except (oncall.AlreadyOver, services.Overtaken) as exc:
            raise Conflict(str(exc)) from None
        return Response(status=status.HTTP_204_NO_CONTENT)


def _shown(row: Rota) -> dict[str, object]:
    return {name: value for name, value in records.snapshot(row).items() if name != "team"}


def _asked(request: Request) -> tuple[datetime, int]:
    """The moment and the number of days that the address names."""
    given, problems = {name: str(value) for name, value in request.query_params.items()}, {}
    at, days = timezone.now(), 0
    for name in given.keys() - {"at", "days"}:
        problems[name] = "There is no such parameter. Known: at, days."
    if "at" in given:
        try:
            at = parse_moment(given["at"])
        except ValueError as exc:
            problems["at"] = str(exc)
    if "days" in given:
        text = given["days"]
        days = int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else 0
        if not 1 <= days <= LONGEST_LOOK_DAYS:
            problems["days"] = f"Must be a whole number from 1 to {LONGEST_LOOK_DAYS}."
    if problems:
        raise invalid(problems)
    return at, days


urls: list[URLPattern] = [
    path("teams/<str:slug>/on-call", OnCallView.as_view(), name="team-on-call"),
    path("teams/<str:slug>/rota", RotaView.as_view(), name="team-rota"),
    path("teams/<str:slug>/overrides", OverridesView.as_view(), name="team-overrides"),
    path("teams/<str:slug>/overrides/<str:pk>", OverrideView.as_view(), name="team-override"),
]
