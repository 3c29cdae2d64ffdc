"""Addresses of tokens and of the audit log."""

from django.urls import include, path

from sysops.access.api.views import AuditViewSet, TokenViewSet
from sysops.api.routers import Router

router = Router()
router.register("tokens", TokenViewSet, basename="token")
router.register("audit", AuditViewSet, basename="audit")

urlpatterns = [path("api/system/", include(router.urls))]
