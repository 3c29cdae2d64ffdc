"""Endpoints of tokens and of the audit log."""

from datetime import timedelta
from typing import ClassVar, cast

from django.contrib.auth.models import User
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from sysops.access import services
from sysops.access.api.filters import AuditFilter, TokenFilter
from sysops.access.api.serializers import AuditEntrySerializer, CreatedTokenSerializer, CreateToken, TokenSerializer
from sysops.access.models import ApiToken, AuditEntry
from sysops.access.principals import TokenPrincipal
from sysops.access.roles import Role
from sysops.api.problems import Conflict, invalid
from sysops.api.views import ReadViewSet


class TokenViewSet(ReadViewSet[ApiToken]):
    """API tokens. A token's own text is answered once, when it is made."""

    rights: ClassVar[dict[str, str]] = {
        "list": "tokens.view",
        "retrieve": "tokens.view",
        "create": "tokens.create",
        "destroy": "tokens.revoke",
    }
    queryset = ApiToken.objects.select_related("owner").order_by("-created_at", "-pk")
    serializer_class = TokenSerializer
    filterset_class = TokenFilter
    ordering_fields: ClassVar[tuple[str, ...]] = ("created_at", "name", "expires_at", "last_used_at")

    @extend_schema(request=CreateToken, responses={201: CreatedTokenSerializer})
    def create(self, request: Request) -> Response:
        given = CreateToken.validated(request.data)
        ttl = given.get("ttl_seconds")
        giver = cast(User | TokenPrincipal, request.user)  # HasRight let nobody else in
        try:
            token, plain = services.create_token(
                given["name"],
                role=Role(given["role"]),
                ttl=timedelta(seconds=ttl) if ttl is not None else None,
                by=self.actor(),
                at=timezone.now(),
                owner=giver if isinstance(giver, User) else giver.owner,
                giver=giver,
            )
        except services.BadToken as exc:
            raise invalid({exc.field: str(exc)}) from None
        except services.TooMuchPower as exc:
            raise PermissionDenied(str(exc)) from None
        body = {**TokenSerializer(token).data, "token": plain}
        return Response(body, status.HTTP_201_CREATED, headers={"Location": f"{request.path.rstrip('/')}/{token.pk}"})

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Revoke the token at once. Its record stays."""
        if not services.revoke_token(token=self.get_object(), by=self.actor(), at=timezone.now()):
            raise Conflict("The token has been revoked already.", current_status="revoked")
        return Response(status=status.HTTP_204_NO_CONTENT)


class AuditViewSet(ReadViewSet[AuditEntry]):
    """Who changed what, before and after, from where."""

    rights: ClassVar[dict[str, str]] = {"list": "audit.view", "retrieve": "audit.view"}
    queryset = AuditEntry.objects.order_by("-pk")
    serializer_class = AuditEntrySerializer
    filterset_class = AuditFilter
