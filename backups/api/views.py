"""Backups over HTTP: parse, one service call, answer."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import ClassVar

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from backups import selectors
from backups.api import serializers as shapes
from backups.api.filters import BackupFilter, RestoreFilter, SourceFilter
from backups.engines.base import engines
from backups.models import Backup, Restore, Source, Verification, WrongState
from backups.rules import BackupType, Rung
from backups.services import config, requests, restores, verifications
from backups.workshop import check_source, here
from sysops.access.driver_settings import BadSettings
from sysops.api.forms import Nothing
from sysops.api.problems import Conflict, invalid
from sysops.api.views import NumberedViewSet, ReadViewSet, View
from sysops.kernel.clock import utc_now


def accepted(data: object, location: str) -> Response:
    """202 with the record, and where to poll it."""
    return Response(data, status=status.HTTP_202_ACCEPTED, headers={"Location": location})


class TakeBackup(View):
    """`POST /api/system/backup`."""

    rights = {"post": "backups.request"}

    @extend_schema(request=shapes.BackupIn, responses={202: shapes.BackupSerializer})
    def post(self, request: Request) -> Response:
        """Ask for a backup of a source; 409 while one is queued or running."""
        given = shapes.BackupIn.validated(request.data)
        try:
            backup = requests.request_backup(
                source=given["source"],
                backup_type=BackupType(given["backup_type"]),
                by=self.actor(),
                at=utc_now(),
            )
        except requests.Busy as exc:
            raise Conflict(str(exc), current_status=exc.active.status, active_backup=str(exc.active.pk)) from None
        except BadSettings as exc:
            raise invalid(exc.errors) from None
        data = shapes.BackupSerializer(backup).data
        return accepted(data, f"/api/system/backups/{backup.pk}")


class BackupViewSet(NumberedViewSet[Backup]):
    """`/api/system/backups`."""

    rights: ClassVar[dict[str, str]] = {
        "list": "backups.view",
        "retrieve": "backups.view",
        "verifications": "backups.view",
        "verify": "backups.request",
        "cancel": "backups.request",
        "hold": "backups.request",
        "release": "backups.release_hold",
        "restore": "backups.restore",
    }
    queryset = selectors.for_lists().order_by("-pk")
    serializer_class = shapes.BackupSerializer
    filterset_class = BackupFilter
    ordering_fields: ClassVar[dict[str, str]] = {"requested_at": "requested_at", "size_bytes": "size_bytes"}

    @extend_schema(request=shapes.VerifyIn, responses={202: shapes.VerificationSerializer})
    @action(detail=True, methods=["post"])
    def verify(self, request: Request, pk: str) -> Response:
        """Verify a stored backup now; what is pending or running already is given back."""
        given = shapes.VerifyIn.validated(request.data)
        try:
            verification = verifications.request_verification(
                backup=self.get_object(), rung=Rung(given["rung"]), by=self.actor(), at=utc_now()
            )
        except WrongState as exc:
            raise Conflict(str(exc), current_status=exc.current) from None
        data = shapes.VerificationSerializer(verification).data
        return accepted(data, f"/api/system/verifications/{verification.pk}")

    @extend_schema(responses=shapes.VerificationSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"], pagination_class=None, filterset_class=None)
    def verifications(self, request: Request, pk: str) -> Response:
        """The newest 100 verifications of a backup, each with its checks and figures."""
        rows = Verification.objects.filter(backup=self.get_object()).order_by("-pk")[:100]
        return Response(shapes.VerificationSerializer(rows, many=True).data)

    @extend_schema(request=shapes.RestoreIn, responses={202: shapes.RestoreSerializer})
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: str) -> Response:
        """Restore a backup to a new place; 409 for one that is known bad."""
        given = shapes.RestoreIn.validated(request.data)
        try:
            restore = restores.request_restore(
                backup=self.get_object(),
                restores_dir=settings.ENV.restores,
                by=self.actor(),
                at=utc_now(),
                target=given.get("target", ""),
                start_server=given["start_server"],
                paths=given.get("paths", ()),
            )
        except WrongState as exc:
            raise Conflict(str(exc), current_status=exc.current) from None
        except BadSettings as exc:
            raise invalid(exc.errors) from None
        data = shapes.RestoreSerializer(restore).data
        return accepted(data, f"/api/system/restores/{restore.pk}")

    @extend_schema(request=None, responses=shapes.BackupSerializer)
    @action(detail=True, methods=["put"])
    def cancel(self, request: Request, pk: str) -> Response:
        """End a queued or running backup."""
        Nothing.validated(request.data)
        try:
            backup = requests.cancel_backup(backup=self.get_object(), by=self.actor(), at=utc_now())
        except WrongState as exc:
            raise Conflict(str(exc), current_status=exc.current) from None
        return self._shown(backup.pk)

    @extend_schema(request=shapes.HoldIn, responses=shapes.BackupSerializer)
    @action(detail=True, methods=["put"])
    def hold(self, request: Request, pk: str) -> Response:
        """Keep a stored backup, and all it stands on, whatever its age."""
        given = shapes.HoldIn.validated(request.data)
        backup = self.get_object()
        try:
            requests.hold_backup(backup=backup, reason=given["reason"], by=self.actor(), at=utc_now())
        except WrongState as exc:
            raise Conflict(str(exc), current_status=exc.current) from None
        return self._shown(backup.pk)

    @extend_schema(request=None, responses=shapes.BackupSerializer)
    @action(detail=True, methods=["put"])
    def release(self, request: Request, pk: str) -> Response:
        """Let retention decide about a held backup again."""
        Nothing.validated(request.data)
        backup = self.get_object()
        try:
            requests.release_backup(backup=backup, by=self.actor(), at=utc_now())
        except WrongState as exc:
            raise Conflict(str(exc), current_status=exc.current) from None
        return self._shown(backup.pk)

    def _shown(self, pk: int) -> Response:
        return Response(shapes.BackupSerializer(selectors.for_lists().get(pk=pk)).data)


class VerificationViewSet(NumberedViewSet[Verification]):
    """`/api/system/verifications`: what `POST …/verify` answered, to be polled."""

    rights: ClassVar[dict[str, str]] = {"list": "backups.view", "retrieve": "backups.view"}
    queryset = Verification.objects.order_by("-pk")
    serializer_class = shapes.VerificationSerializer


class RestoreViewSet(NumberedViewSet[Restore]):
    """`/api/system/restores`."""

    rights: ClassVar[dict[str, str]] = {
        "list": "backups.view",
        "retrieve": "backups.view",
        "cancel": "backups.restore",
        "stop_server": "backups.restore",
    }
    queryset = Restore.objects.order_by("-pk")
    serializer_class = shapes.RestoreSerializer
    filterset_class = RestoreFilter

    @extend_schema(request=None, responses=shapes.RestoreSerializer)
    @action(detail=True, methods=["put"])
    def cancel(self, request: Request, pk: str) -> Response:
        """End a queued or running restore; what it wrote is removed."""
        Nothing.validated(request.data)
        restore = self.get_object()
        try:
            restores.cancel_restore(restore=restore, by=self.actor(), at=utc_now())
        except WrongState as exc:
            raise Conflict(str(exc), current_status=exc.current) from None
        restore.refresh_from_db()
        return Response(shapes.RestoreSerializer(restore).data)

    @extend_schema(request=None, responses={202: shapes.RestoreSerializer})
    @action(detail=True, methods=["put"], url_path="stop-server")
    def stop_server(self, request: Request, pk: str) -> Response:
        """Ask for the server that a restore left running to be stopped; the restored folder stays.

        Its worker does it: poll until `server_stopped_at` is set.
        """
        Nothing.validated(request.data)
        try:
            restore = restores.request_stop(restore=self.get_object(), by=self.actor(), at=utc_now())
        except WrongState as exc:
            raise Conflict(str(exc), current_status=exc.current) from None
        return accepted(shapes.RestoreSerializer(restore).data, f"/api/system/restores/{restore.pk}")


class SourceViewSet(ReadViewSet[Source]):
    """`/api/system/backup-sources`."""

    rights: ClassVar[dict[str, str]] = {
        "list": "backups.view",
        "retrieve": "backups.view",
        "create": "backups.configure",
        "partial_update": "backups.configure",
        "check": "backups.request",
    }
    queryset = Source.objects.select_related("policy", "service").order_by("-created_at", "-pk")
    serializer_class = shapes.SourceSerializer
    filterset_class = SourceFilter
    lookup_field = "slug"

    def get_serializer(self, *args: object, **kwargs: object) -> shapes.SourceSerializer:
        rows = args[0] if args else []
        sources: Sequence[Source] = [rows] if isinstance(rows, Source) else list(rows)  # type: ignore[call-overload]
        found = selectors.readiness(sources, now=utc_now())
        context = kwargs.pop("context", None) or self.get_serializer_context()
        context = {**context, "readiness": {r.source.pk: r for r in found}}  # type: ignore[dict-item]
        return shapes.SourceSerializer(*args, context=context, **kwargs)  # type: ignore[arg-type]

    @extend_schema(request=shapes.SourceIn, responses={201: shapes.SourceSerializer})
    def create(self, request: Request) -> Response:
        """Register something to back up; secrets in `settings` are write-only."""
        given = shapes.SourceIn.validated(request.data)
        try:
            source = config.create_source(**given, by=self.actor(), at=utc_now())
        except BadSettings as exc:
            raise invalid(exc.errors) from None
        location = {"Location": f"/api/system/backup-sources/{source.slug}"}
        return Response(self.get_serializer(source).data, status=status.HTTP_201_CREATED, headers=location)

    @extend_schema(request=shapes.SourceChange, responses=shapes.SourceSerializer)
    def partial_update(self, request: Request, slug: str) -> Response:
        """Change the given fields; a secret given as its mask stays as it was."""
        source = self.get_object()
        given = shapes.SourceChange.validated(request.data)
        try:
            config.change_source(source, **given, by=self.actor(), at=utc_now())
        except BadSettings as exc:
            raise invalid(exc.errors) from None
        return Response(self.get_serializer(source).data)

    @extend_schema(request=None, responses=shapes.CheckOut(many=True))
    @action(detail=True, methods=["post"])
    def check(self, request: Request, slug: str) -> Response:
        """Look from here whether the source can be reached and backed up; changes nothing."""
        Nothing.validated(request.data)
        checks = check_source(self.get_object(), here())
        return Response([shapes.check_out(asdict(check)) for check in checks])


class EngineList(View):
    """`GET /api/system/backup-engines`."""

    rights = {"get": "backups.view"}

    @extend_schema(responses=shapes.EngineOut(many=True))
    def get(self, request: Request) -> Response:
        """The engines here: the types each can do, and the JSON Schema of its settings."""
        found = [
            {
                "name": name,
                "label": engine.label,
                "types": sorted(engine.types),
                "settings_schema": engine.settings_schema,
            }
            for name, engine in engines
        ]
        return Response(found)
