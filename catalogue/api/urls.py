"""Addresses of the catalogue below /api/system/."""

from django.urls import URLPattern, URLResolver, path

from catalogue.api import oncall, public, transfer, views
from sysops.api.routers import Router

_router = Router()
_router.register("services", views.ServiceViewSet, basename="service")
_router.register("teams", views.TeamViewSet, basename="team")
_router.register("people", views.PersonViewSet, basename="person")
_router.register("hosts", views.HostViewSet, basename="host")
_router.register("environments", views.EnvironmentViewSet, basename="environment")

urls: list[URLPattern | URLResolver] = [
    path(
        "services/<str:slug>/subscriptions",
        public.SubscriptionViewSet.as_view({"get": "list", "post": "create"}),
        name="subscription-list",
    ),
    path(
        "services/<str:slug>/subscriptions/<str:pk>",
        public.SubscriptionViewSet.as_view({"delete": "destroy"}),
        name="subscription-detail",
    ),
    path("services/<str:slug>/mode", public.ModeView.as_view(), name="service-mode"),
    *oncall.urls,
    *transfer.urls,
    *_router.urls,
]
