"""The catalogue over HTTP: each action is one service call."""

from typing import ClassVar

import django_filters
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from catalogue import rules, selectors, services
from catalogue.api.serializers import (
    EnvironmentSerializer,
    HostSerializer,
    PersonSerializer,
    ServiceSerializer,
    TeamSerializer,
)
from catalogue.models import Environment, Host, Person, Service, Team
from catalogue.rules import Kind, State, label
from catalogue.services import Row
from sysops.api.filters import FilterSet, Name
from sysops.api.problems import Conflict
from sysops.api.views import ReadViewSet

_IN_USE = OpenApiResponse(description="Something refers to it; `used_by` names what.")


class _CatalogueViewSet(ReadViewSet[Row]):
    """List, create, read, change and delete rows of one kind."""

    kind: type[Row]
    lookup_field = "slug"
    rights: ClassVar[dict[str, str]] = {
        "list": "catalogue.view",
        "retrieve": "catalogue.view",
        "create": "catalogue.change",
        "partial_update": "catalogue.change",
        "destroy": "catalogue.change",
    }

    def create(self, request: Request) -> Response:
        """Add one."""
        form = self.get_serializer(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            row = services.create(self.kind, form.validated_data, by=self.actor(), at=timezone.now())
        except services.Overtaken as exc:
            raise Conflict(str(exc)) from None
        return Response(self._shown(row), status.HTTP_201_CREATED)

    def partial_update(self, request: Request, **_: str) -> Response:
        """Change the given fields."""
        row = self.get_object()
        form = self.get_serializer(row, data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        try:
            row = services.change(row, form.validated_data, by=self.actor(), at=timezone.now())
        except services.Overtaken as exc:
            raise Conflict(str(exc)) from None
        return Response(self._shown(row))

    @extend_schema(responses={204: None, 409: _IN_USE})
    def destroy(self, request: Request, **_: str) -> Response:
        """Delete it, unless something refers to it."""
        try:
            services.remove(self.get_object(), by=self.actor(), at=timezone.now())
        except services.InUse as exc:
            raise Conflict(str(exc), used_by=exc.used_by) from None
        except services.Overtaken as exc:
            raise Conflict(str(exc)) from None
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _shown(self, row: Row) -> object:
        return self.get_serializer(self.get_queryset().get(pk=row.pk)).data


class EnvironmentViewSet(_CatalogueViewSet[Environment]):
    kind = Environment
    serializer_class = EnvironmentSerializer
    queryset = selectors.environments()
    ordering_fields = ("created_at", "name", "slug")


class HostViewSet(_CatalogueViewSet[Host]):
    kind = Host
    lookup_field = "name"
    serializer_class = HostSerializer
    queryset = selectors.hosts()
    ordering_fields = ("created_at", "name", "last_seen_at")


class PersonViewSet(_CatalogueViewSet[Person]):
    kind = Person
    serializer_class = PersonSerializer
    queryset = selectors.people()
    ordering_fields = ("created_at", "name", "slug")


class TeamViewSet(_CatalogueViewSet[Team]):
    kind = Team
    serializer_class = TeamSerializer
    queryset = selectors.teams()
    ordering_fields = ("created_at", "name", "slug")


def _choices(values: type[Kind] | type[State]) -> list[tuple[str, str]]:
    return [(value.value, label(value)) for value in values]


class ServiceFilter(FilterSet):
    kind = django_filters.ChoiceFilter(choices=_choices(Kind))
    tier = django_filters.ChoiceFilter(choices=[(str(tier), str(tier)) for tier in rules.TIERS])
    state = django_filters.ChoiceFilter(choices=_choices(State))
    owner_team = Name(Team, field_name="owner_team")
    environment = Name(Environment, field_name="environment")

    class Meta:
        model = Service
        fields: ClassVar[list[str]] = []


class ServiceViewSet(_CatalogueViewSet[Service]):
    kind = Service
    serializer_class = ServiceSerializer
    queryset = selectors.services()
    filterset_class = ServiceFilter
    ordering_fields = ("created_at", "name", "slug", "tier")
