"""Error projects and their keys over HTTP: parse, one service call, answer."""

from typing import ClassVar

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from catalogue.models import Environment, Service
from errors import project_rules, selectors
from errors.api.of_project import OfProject
from errors.api.refused import refused
from errors.models import Key, Project
from errors.services import projects as services
from sysops.access.models import ApiToken
from sysops.access.rights import has_right
from sysops.api.filters import FilterSet, Flag, Name
from sysops.api.forms import Form
from sysops.api.serializers import Id, Named
from sysops.api.views import ReadViewSet, is_number, nothing_called
from sysops.kernel.clock import utc_now

MOST_PER_MINUTE = 10_000_000


class KeyOut(serializers.ModelSerializer[Key]):
    """What an SDK signs in with. It allows reporting, and nothing else."""

    id = Id()
    dsn = serializers.SerializerMethodField(help_text="To be set as SENTRY_DSN")

    class Meta:
        model = Key
        fields = ["id", "public", "dsn", "label", "enabled", "quota_per_minute", "created_at", "created_by"]
        read_only_fields = fields

    @extend_schema_field(serializers.CharField())
    def get_dsn(self, row: Key) -> str:
        return services.dsn(row)


class KeyIn(Form):
    """A key as it is wanted."""

    label = serializers.CharField(max_length=100, required=False, allow_blank=True)  # type: ignore[assignment]
    quota_per_minute = serializers.IntegerField(
        min_value=0, max_value=MOST_PER_MINUTE, required=False, allow_null=True, help_text="null: no limit"
    )


class KeyChange(KeyIn):
    """What is to change of a key."""

    enabled = serializers.BooleanField(required=False)


class ProjectOut(serializers.ModelSerializer[Project]):
    """One application that reports errors."""

    id = Id()
    service = serializers.CharField(source="service.slug", allow_null=True, default=None)
    environment = serializers.CharField(source="environment.slug", allow_null=True, default=None)
    allowed_origins = serializers.ListField(child=serializers.CharField())
    scrub_fields = serializers.ListField(child=serializers.CharField())
    readers = serializers.SerializerMethodField(help_text="User names; null for who may not configure projects")
    reader_tokens = serializers.SerializerMethodField(help_text="Ids; null for who may not configure projects")
    keys = serializers.SerializerMethodField(help_text="null for who may not configure projects")

    class Meta:
        model = Project
        fields = [
            "id",
            "slug",
            "name",
            "service",
            "environment",
            "enabled",
            "quota_per_minute",
            "retention_days",
            "events_per_issue",
            "allowed_origins",
            "scrub_fields",
            "scrub_personal_data",
            "restricted",
            "readers",
            "reader_tokens",
            "keys",
            "created_at",
            "created_by",
        ]
        read_only_fields = fields

    @extend_schema_field(KeyOut(many=True, allow_null=True))
    def get_keys(self, row: Project) -> object:
        return KeyOut(row.keys.all(), many=True).data if self._tells_all() else None

    @extend_schema_field(serializers.ListField(child=serializers.CharField(), allow_null=True))
    def get_readers(self, row: Project) -> list[str] | None:
        return [user.get_username() for user in row.readers.all()] if self._tells_all() else None

    @extend_schema_field(serializers.ListField(child=serializers.CharField(), allow_null=True))
    def get_reader_tokens(self, row: Project) -> list[str] | None:
        return [str(token.pk) for token in row.reader_tokens.all()] if self._tells_all() else None

    def _tells_all(self) -> bool:
        return has_right(self.context["request"].user, "errors.configure")


@extend_schema_field(OpenApiTypes.STR)
class TokenId(serializers.CharField):
    """A token by its id."""

    def to_internal_value(self, data: str) -> ApiToken:  # type: ignore[override]
        given = super().to_internal_value(data)
        token = ApiToken.objects.filter(pk=given).first() if is_number(given) else None
        if token is None:
            raise serializers.ValidationError(f"There is no token {given[:50]!r}.")
        return token


class ProjectChange(Form):
    """What is to change of a project."""

    name = serializers.CharField(max_length=200, required=False)
    service = Named(slug_field="slug", queryset=Service.objects.all(), allow_null=True, required=False)
    environment = Named(slug_field="slug", queryset=Environment.objects.all(), allow_null=True, required=False)
    enabled = serializers.BooleanField(required=False, help_text="false: nothing it sends is taken")
    quota_per_minute = serializers.IntegerField(
        min_value=0, max_value=MOST_PER_MINUTE, allow_null=True, required=False, help_text="null: no limit"
    )
    retention_days = serializers.IntegerField(min_value=1, max_value=730, required=False)
    events_per_issue = serializers.IntegerField(min_value=10, max_value=10_000_000, required=False)
    allowed_origins = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Web pages that may report; empty: any"
    )
    scrub_fields = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Masked besides those that always are"
    )
    scrub_personal_data = serializers.BooleanField(required=False)
    restricted = serializers.BooleanField(required=False, help_text="Only its readers, and admins, see its errors")
    readers = Named(
        slug_field="username", queryset=get_user_model().objects.all(), tells=False, many=True, required=False
    )
    reader_tokens = serializers.ListField(child=TokenId(), required=False, help_text="Ids of tokens")


class ProjectIn(ProjectChange):
    """A project as it is wanted."""

    slug = serializers.RegexField(
        f"^{project_rules.SLUG}$",
        max_length=project_rules.LONGEST_SLUG,
        help_text="Others refer to it by this; it never changes",
        error_messages={"invalid": project_rules.NO_SLUG, "max_length": project_rules.NO_SLUG},
    )
    name = serializers.CharField(max_length=200)


class ProjectFilter(FilterSet):
    service = Name(Service, field_name="service")
    environment = Name(Environment, field_name="environment")
    enabled = Flag(field_name="enabled")

    class Meta:
        model = Project
        fields: ClassVar[list[str]] = []


class ProjectViewSet(ReadViewSet[Project]):
    """`/api/system/error-projects`."""

    rights: ClassVar[dict[str, str]] = {
        "list": "errors.view",
        "retrieve": "errors.view",
        "create": "errors.configure",
        "partial_update": "errors.configure",
        "destroy": "errors.configure",
    }
    queryset = Project.objects.none()
    serializer_class = ProjectOut
    filterset_class = ProjectFilter
    ordering_fields: ClassVar[tuple[str, ...]] = ("created_at", "name", "slug")
    lookup_field = "slug"

    def get_queryset(self) -> QuerySet[Project]:
        if getattr(self, "swagger_fake_view", False):
            return Project.objects.none()
        rows = selectors.visible_projects(self.request.user).select_related("service", "environment")
        return rows.prefetch_related("keys", "readers", "reader_tokens").order_by("-created_at", "-pk")

    @extend_schema(request=ProjectIn, responses={201: ProjectOut})
    def create(self, request: Request) -> Response:
        """Add a project, with one key."""
        given = ProjectIn.validated(request.data)
        with refused():
            row = services.create_project(**given, by=self.actor(), at=utc_now())
        headers = {"Location": f"/api/system/error-projects/{row.slug}"}
        return Response(self._shown(row), status=status.HTTP_201_CREATED, headers=headers)

    @extend_schema(request=ProjectChange, responses=ProjectOut)
    def partial_update(self, request: Request, slug: str) -> Response:
        """Change the given fields."""
        row = self.get_object()
        given = ProjectChange.validated(request.data, partial=True)
        with refused():
            row = services.change_project(row, given, by=self.actor(), at=utc_now())
        return Response(self._shown(row))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, slug: str) -> Response:
        """Delete it with all its issues and events: it is gone at once, its rows within minutes."""
        with refused():
            services.delete_project(self.get_object(), by=self.actor(), at=utc_now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _shown(self, row: Project) -> object:
        return self.get_serializer(self.get_queryset().get(pk=row.pk)).data


class KeyViewSet(OfProject[Key]):
    """`/api/system/error-projects/{slug}/keys`. A key is switched off, not deleted: what was sent with it is known."""

    rights: ClassVar[dict[str, str]] = {
        "list": "errors.configure",
        "create": "errors.configure",
        "partial_update": "errors.configure",
    }
    queryset = Key.objects.none()
    serializer_class = KeyOut

    def get_queryset(self) -> QuerySet[Key]:
        if getattr(self, "swagger_fake_view", False):
            return Key.objects.none()
        return Key.objects.filter(project=self.project()).order_by("-pk")

    @extend_schema(request=KeyIn, responses={201: KeyOut})
    def create(self, request: Request, slug: str) -> Response:
        """Add a key."""
        given = KeyIn.validated(request.data)
        with refused():
            row = services.add_key(self.project(), **given, by=self.actor(), at=utc_now())
        return Response(KeyOut(row).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=KeyChange, responses=KeyOut)
    def partial_update(self, request: Request, slug: str, pk: str) -> Response:
        """Change the given fields."""
        row = self.get_queryset().filter(pk=pk).first() if is_number(pk) else None
        if row is None:
            raise Http404(nothing_called(Key, pk))
        given = KeyChange.validated(request.data, partial=True)
        with refused():
            row = services.change_key(row, given, by=self.actor(), at=utc_now())
        return Response(KeyOut(row).data)
