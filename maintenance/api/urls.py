"""Addresses below /api/system/."""

from django.urls import URLPattern, URLResolver

from maintenance.api.feed import urls as feed_urls
from maintenance.api.series import urls as series_urls
from maintenance.api.views import WindowViewSet
from sysops.api.routers import Router

router = Router()
router.register("maintenance", WindowViewSet, basename="maintenance-window")

urls: list[URLPattern | URLResolver] = [*feed_urls, *series_urls, *router.urls]
