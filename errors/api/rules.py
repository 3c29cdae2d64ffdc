"""Severity levels, severity rules and assignment rules over HTTP: parse, one service call, answer."""

from typing import ClassVar

from django.db.models import Q, QuerySet
from django.utils.text import slugify
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from catalogue.models import Person, Service, Team
from errors import selectors
from errors.api.refused import refused
from errors.models import AssignmentRule, Project, SeverityLevel, SeverityRule
from errors.models.issues import SEVERITIES
from errors.rules import Severity
from errors.services import rulebook
from sysops.api.filters import FilterSet, Flag
from sysops.api.forms import Form
from sysops.api.serializers import Id, Named
from sysops.api.views import NumberedViewSet, ReadViewSet
from sysops.kernel.clock import utc_now
from sysops.kernel.words import read_span

LAST_POSITION = 32_767


def _slug_of(source: str) -> serializers.CharField:
    return serializers.CharField(source=f"{source}.slug", allow_null=True, default=None)


class LevelOut(serializers.ModelSerializer[SeverityLevel]):
    """What a severity means, and how fast somebody must respond to it."""

    severity = serializers.ChoiceField(SEVERITIES)

    class Meta:
        model = SeverityLevel
        fields = ["severity", "meaning", "respond_within_seconds", "near_percent"]
        read_only_fields = fields


@extend_schema_field(
    {
        "oneOf": [
            {"type": "integer", "minimum": 0, "maximum": rulebook.LONGEST_SECONDS},
            {"type": "string", "pattern": "[0-9]+ *[a-z]+", "example": "4h"},
        ],
        "description": "0: at once. Whole seconds, or a span such as 30m, 4h, 1h 30m or 1d; answered in seconds",
    }
)
class Span(serializers.Field[int, object, int, object]):
    """Seconds, or a span as people write it, up to a year."""

    def to_internal_value(self, data: object) -> int:
        seconds = read_span(data) if isinstance(data, str) else data
        if not isinstance(seconds, int) or isinstance(seconds, bool):
            raise serializers.ValidationError(
                "Must be whole seconds, such as 14400, or a span, such as 30m, 4h, 1h 30m or 1d."
            )
        if not 0 <= seconds <= rulebook.LONGEST_SECONDS:
            longest = rulebook.LONGEST_SECONDS
            raise serializers.ValidationError(f"Must be from 0 to {longest} seconds (366d), such as 14400 or 4h.")
        return seconds

    def to_representation(self, value: int) -> int:
        return value


class LevelChange(Form):
    """What is to change of a level."""

    meaning = serializers.CharField(max_length=1_000, required=False)
    respond_within_seconds = Span(required=False)
    near_percent = serializers.IntegerField(
        min_value=1, max_value=99, required=False, help_text="After this share of the time its deadline is near"
    )


class SeverityRuleOut(serializers.ModelSerializer[SeverityRule]):
    """When an issue is of which severity."""

    severity = serializers.ChoiceField(SEVERITIES)
    project = _slug_of("project")
    conditions = serializers.DictField()

    class Meta:
        model = SeverityRule
        fields = ["slug", "name", "position", "severity", "enabled", "project", "conditions"]
        read_only_fields = fields


class RuleChange(Form):
    """What is to change of a rule of either kind."""

    name = serializers.CharField(max_length=200, required=False)
    enabled = serializers.BooleanField(required=False)
    project = Named(
        slug_field="slug",
        queryset=Project.objects.filter(deleted_at=None),
        tells=False,
        allow_null=True,
        required=False,
        help_text="null: all",
    )


class SeverityRuleChange(RuleChange):
    """What is to change of a severity rule."""

    position = serializers.IntegerField(
        min_value=0, max_value=LAST_POSITION, required=False, help_text="Of equally bad ones the lowest counts"
    )
    severity = serializers.ChoiceField([severity.value for severity in Severity], required=False)
    conditions = serializers.DictField(required=False, help_text="All must hold; see docs/errors-rules.md")


class SeverityRuleIn(SeverityRuleChange):
    """A severity rule as it is wanted."""

    slug = serializers.RegexField(
        r"^[a-z0-9]+(?:-[a-z0-9]+)*$",
        max_length=64,
        required=False,
        help_text="Made from the name when left out; it never changes",
        error_messages={"invalid": "Use lower-case letters, digits and single hyphens, such as payment-fails."},
    )
    name = serializers.CharField(max_length=200)
    severity = serializers.ChoiceField([severity.value for severity in Severity])

    def validate(self, attrs: dict[str, object]) -> dict[str, object]:
        if "slug" not in attrs:
            attrs["slug"] = slugify(str(attrs["name"]))[:64].strip("-_")
            if not attrs["slug"]:
                raise serializers.ValidationError({"slug": ["Cannot be made from this name; give one."]})
        return attrs


class AssignmentRuleOut(serializers.ModelSerializer[AssignmentRule]):
    """Who gets a new issue."""

    id = Id()
    project = _slug_of("project")
    service = _slug_of("service")
    person = _slug_of("person")
    team = _slug_of("team")

    class Meta:
        model = AssignmentRule
        fields = [
            "id",
            "name",
            "position",
            "enabled",
            "project",
            "service",
            "path",
            "tag_key",
            "tag_value",
            "person",
            "team",
        ]
        read_only_fields = fields


class AssignmentRuleChange(RuleChange):
    """What is to change of an assignment rule."""

    position = serializers.IntegerField(
        min_value=0, max_value=LAST_POSITION, required=False, help_text="The lowest that fits counts"
    )
    service = Named(slug_field="slug", queryset=Service.objects.all(), allow_null=True, required=False)
    path = serializers.CharField(
        max_length=300, allow_blank=True, required=False, help_text="A pattern for files of the stack trace: shop/*"
    )
    tag_key = serializers.CharField(max_length=64, allow_blank=True, required=False)
    tag_value = serializers.CharField(max_length=200, allow_blank=True, required=False, help_text="A pattern: eu-*")
    person = Named(slug_field="slug", queryset=Person.objects.all(), allow_null=True, required=False)
    team = Named(
        slug_field="slug",
        queryset=Team.objects.all(),
        allow_null=True,
        required=False,
        help_text="Whoever is on call for it; either this or a person",
    )


class AssignmentRuleIn(AssignmentRuleChange):
    """An assignment rule as it is wanted."""

    name = serializers.CharField(max_length=200)


class LevelViewSet(ReadViewSet[SeverityLevel]):
    """`/api/system/severity-levels`: the four there are."""

    rights: ClassVar[dict[str, str]] = {
        "list": "errors.view",
        "retrieve": "errors.view",
        "partial_update": "errors.configure",
    }
    queryset = SeverityLevel.objects.order_by("respond_within_seconds", "severity")
    serializer_class = LevelOut
    filterset_class = FilterSet
    lookup_field = "severity"

    @extend_schema(request=LevelChange, responses=LevelOut)
    def partial_update(self, request: Request, severity: str) -> Response:
        """Change the given fields. Clocks that run already keep their deadlines."""
        given = LevelChange.validated(request.data, partial=True)
        with refused():
            row = rulebook.change(self.get_object(), given, by=self.actor(), at=utc_now())
        return Response(LevelOut(row).data)


def _seen_by(user: object) -> Q:
    """Rules of all projects, and those of projects this person may see."""
    return Q(project=None) | Q(project__in=selectors.visible_projects(user))


class RuleFilter(FilterSet):
    enabled = Flag(field_name="enabled")


class SeverityRuleViewSet(ReadViewSet[SeverityRule]):
    """`/api/system/severity-rules`."""

    rights: ClassVar[dict[str, str]] = {
        "list": "errors.view",
        "retrieve": "errors.view",
        "create": "errors.configure",
        "partial_update": "errors.configure",
        "destroy": "errors.configure",
    }
    queryset = SeverityRule.objects.none()
    serializer_class = SeverityRuleOut
    filterset_class = RuleFilter
    ordering_fields: ClassVar[tuple[str, ...]] = ("position", "slug", "name")
    lookup_field = "slug"

    def get_queryset(self) -> QuerySet[SeverityRule]:
        if getattr(self, "swagger_fake_view", False):
            return SeverityRule.objects.none()
        return SeverityRule.objects.filter(_seen_by(self.request.user)).select_related("project").order_by("-pk")

    @extend_schema(request=SeverityRuleIn, responses={201: SeverityRuleOut})
    def create(self, request: Request) -> Response:
        """Add a rule."""
        given = SeverityRuleIn.validated(request.data)
        with refused():
            row = rulebook.create(SeverityRule, given, by=self.actor(), at=utc_now())
        headers = {"Location": f"/api/system/severity-rules/{row.slug}"}
        return Response(SeverityRuleOut(row).data, status=status.HTTP_201_CREATED, headers=headers)

    @extend_schema(request=SeverityRuleChange, responses=SeverityRuleOut)
    def partial_update(self, request: Request, slug: str) -> Response:
        """Change the given fields. What it decided stays decided until the issue grows."""
        row = self.get_object()
        given = SeverityRuleChange.validated(request.data, partial=True)
        with refused():
            row = rulebook.change(row, given, by=self.actor(), at=utc_now())
        return Response(SeverityRuleOut(row).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, slug: str) -> Response:
        """Delete a rule."""
        with refused():
            rulebook.remove(self.get_object(), by=self.actor(), at=utc_now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class AssignmentRuleViewSet(NumberedViewSet[AssignmentRule]):
    """`/api/system/assignment-rules`."""

    rights: ClassVar[dict[str, str]] = SeverityRuleViewSet.rights
    queryset = AssignmentRule.objects.none()
    serializer_class = AssignmentRuleOut
    filterset_class = RuleFilter
    ordering_fields: ClassVar[tuple[str, ...]] = ("position", "name")

    def get_queryset(self) -> QuerySet[AssignmentRule]:
        if getattr(self, "swagger_fake_view", False):
            return AssignmentRule.objects.none()
        rows = AssignmentRule.objects.filter(_seen_by(self.request.user)).select_related(
            "project", "service", "person", "team"
        )
        return rows.order_by("-pk")

    @extend_schema(request=AssignmentRuleIn, responses={201: AssignmentRuleOut})
    def create(self, request: Request) -> Response:
        """Add a rule: to a person, or to whoever is on call for a team."""
        given = AssignmentRuleIn.validated(request.data)
        with refused():
            row = rulebook.create(AssignmentRule, given, by=self.actor(), at=utc_now())
        headers = {"Location": f"/api/system/assignment-rules/{row.pk}"}
        return Response(AssignmentRuleOut(row).data, status=status.HTTP_201_CREATED, headers=headers)

    @extend_schema(request=AssignmentRuleChange, responses=AssignmentRuleOut)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the given fields."""
        row = self.get_object()
        given = AssignmentRuleChange.validated(request.data, partial=True)
        with refused():
            row = rulebook.change(row, given, by=self.actor(), at=utc_now())
        return Response(AssignmentRuleOut(row).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a rule."""
        with refused():
            rulebook.remove(self.get_object(), by=self.actor(), at=utc_now())
        return Response(status=status.HTTP_204_NO_CONTENT)
