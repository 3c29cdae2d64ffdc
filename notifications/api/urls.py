"""Addresses below /api/system/."""

from django.urls import URLPattern, URLResolver

from notifications.api.views import ChannelViewSet, DeliveryViewSet
from sysops.api.routers import Router

router = Router()
router.register("notification-channels", ChannelViewSet, basename="notification-channel")
router.register("deliveries", DeliveryViewSet, basename="notification-delivery")

urls: list[URLPattern | URLResolver] = [*router.urls]
