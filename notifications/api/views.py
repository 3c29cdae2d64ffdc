"""Notifications over HTTP: parse, one service call, answer."""

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from notifications import lists
from notifications.api import serializers as shapes
from notifications.api.filters import DeliveryFilter
from notifications.looks import why_not_again
from notifications.models import Channel, Delivery
from notifications.services import channels, sending
from sysops.access.driver_settings import BadSettings
from sysops.api.forms import Nothing
from sysops.api.problems import Conflict, invalid
from sysops.api.views import NumberedViewSet, ReadViewSet
from sysops.kernel.clock import utc_now


class ChannelViewSet(ReadViewSet[Channel]):
    """`/api/system/notification-channels`."""

    rights: ClassVar[dict[str, str]] = {
        "list": "notifications.view",
        "retrieve": "notifications.view",
        "create": "notifications.configure",
        "partial_update": "notifications.configure",
    }
    queryset = Channel.objects.order_by("-created_at", "-pk")
    serializer_class = shapes.ChannelSerializer
    lookup_field = "slug"

    @extend_schema(request=shapes.ChannelIn, responses={201: shapes.ChannelSerializer})
    def create(self, request: Request) -> Response:
        """Add a way to reach people or a place; secrets in `settings` are write-only. Nothing is sent."""
        given = shapes.ChannelIn.validated(request.data)
        try:
            channel = channels.create_channel(**given, by=self.actor(), at=utc_now())
        except BadSettings as exc:
            raise invalid(exc.errors) from None
        location = {"Location": f"/api/system/notification-channels/{channel.slug}"}
        return Response(shapes.ChannelSerializer(channel).data, status=status.HTTP_201_CREATED, headers=location)

    @extend_schema(request=shapes.ChannelChange, responses=shapes.ChannelSerializer)
    def partial_update(self, request: Request, slug: str) -> Response:
        """Change a channel. `settings` replaces all of them; a secret given in asterisks stays as it was."""
        given = shapes.ChannelChange.validated(request.data)
        try:
            channel = channels.change_channel(self.get_object(), **given, by=self.actor(), at=utc_now())
        except BadSettings as exc:
            raise invalid(exc.errors) from None
        return Response(shapes.ChannelSerializer(channel).data)


class DeliveryViewSet(NumberedViewSet[Delivery]):
    """`/api/system/deliveries`."""

    rights: ClassVar[dict[str, str]] = {
        "list": "notifications.view",
        "retrieve": "notifications.view",
        "send_again": "notifications.view",
    }
    queryset = lists.deliveries()
    serializer_class = shapes.DeliverySerializer
    filterset_class = DeliveryFilter
    ordering_fields: ClassVar[dict[str, str]] = {"due_at": "due_at"}

    @extend_schema(request=None, responses={202: shapes.DeliverySerializer})
    @action(detail=True, methods=["post"], url_path="send-again")
    def send_again(self, request: Request, pk: str) -> Response:
        """Send what was sent or given up once more, under the same id; 409 while it is under way."""
        Nothing.validated(request.data)
        delivery = self.get_object()
        if not sending.send_again([delivery], by=self.actor(), at=utc_now()):
            delivery.refresh_from_db(fields=["state"])
            raise Conflict(why_not_again(delivery.state), current_status=delivery.state)
        fresh = self.get_queryset().get(pk=delivery.pk)
        location = {"Location": f"/api/system/deliveries/{fresh.pk}"}
        return Response(shapes.DeliverySerializer(fresh).data, status=status.HTTP_202_ACCEPTED, headers=location)
