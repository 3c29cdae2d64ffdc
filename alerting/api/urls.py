"""Addresses below /api/system/."""

from django.urls import URLPattern, URLResolver

from alerting.api.views import AlertViewSet
from sysops.api.routers import Router

router = Router()
router.register("alerts", AlertViewSet, basename="alert")

urls: list[URLPattern | URLResolver] = [*router.urls]
