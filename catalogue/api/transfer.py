"""The whole catalogue over HTTP, as one document."""

from typing import ClassVar

from django.urls import URLPattern, path
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from catalogue import services
from catalogue.documents import FIELDS, KEYS, BadDocument
from catalogue.services import transfer
from sysops.api.problems import GENERAL, Conflict, invalid
from sysops.api.views import View


class ChangeSerializer(serializers.Serializer[transfer.Change]):
    """What is different about one entry."""

    what = serializers.CharField()
    before = serializers.DictField()
    after = serializers.DictField()


class OutcomeSerializer(serializers.Serializer[transfer.Outcome]):
    """What an import did, or would do."""

    created = serializers.ListField(child=serializers.CharField())
    changed = ChangeSerializer(many=True)
    removed = serializers.ListField(child=serializers.CharField())
    unchanged = serializers.IntegerField()
    dry_run = serializers.BooleanField()


_ENTRIES: dict[str, object] = {
    name: {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {field: {} for field in fields},
            "required": list(KEYS[name]),
            "additionalProperties": False,
        },
    }
    for name, fields in FIELDS.items()
}
# What catalogue.documents takes, as the published document says it.
_DOCUMENT = {"type": "object", "properties": _ENTRIES, "additionalProperties": False}


class CatalogueView(View):
    """The catalogue as a document: environments, hosts, people, teams, services, subscriptions and rotas."""

    rights: ClassVar[dict[str, str]] = {"get": "catalogue.view", "post": "catalogue.change"}

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        """The whole catalogue, as POST takes it."""
        return Response(transfer.export_catalogue())

    @extend_schema(
        parameters=[
            OpenApiParameter("dry_run", bool, description="Say what would change, and change nothing."),
            OpenApiParameter("prune", bool, description="Remove what the document's lists do not name."),
        ],
        request={"application/json": _DOCUMENT},
        responses=OutcomeSerializer,
    )
    def post(self, request: Request) -> Response:
        """Make the catalogue what the document says: all of it or nothing. What it does not name stays."""
        flags = _flags(request)
        try:
            outcome = transfer.import_catalogue(request.data, by=self.actor(), at=timezone.now(), **flags)
        except BadDocument as exc:
            raise invalid({name or GENERAL: text for name, text in exc.problems.items()}) from None
        except services.Overtaken as exc:
            raise Conflict(str(exc)) from None
        return Response(OutcomeSerializer(outcome).data)


def _flags(request: Request) -> dict[str, bool]:
    """`dry_run` and `prune` as the address names them."""
    flags, problems = {"dry_run": False, "prune": False}, {}
    for name, value in request.query_params.items():
        if name not in flags:
            problems[name] = "There is no such parameter. Known: dry_run, prune."
        elif value not in ("true", "false"):
            problems[name] = "Must be true or false."
        else:
            flags[name] = value == "true"
    if problems:
        raise invalid(problems)
    return flags


urls: list[URLPattern] = [path("catalogue", CatalogueView.as_view(), name="catalogue")]
