"""Addresses of projects, what belongs to them, and rules below /api/system/."""

from django.urls import URLPattern, URLResolver, path

from errors.api.beside import CheckInViewSet, FeedbackViewSet, SessionsViewSet
from errors.api.projects import KeyViewSet, ProjectViewSet
from errors.api.rules import AssignmentRuleViewSet, LevelViewSet, SeverityRuleViewSet
from sysops.api.routers import Router

_router = Router()
_router.register("error-projects", ProjectViewSet, basename="error-project")
_router.register("severity-levels", LevelViewSet, basename="severity-level")
_router.register("severity-rules", SeverityRuleViewSet, basename="severity-rule")
_router.register("assignment-rules", AssignmentRuleViewSet, basename="assignment-rule")

urls: list[URLPattern | URLResolver] = [
    path(
        "error-projects/<str:slug>/check-ins", CheckInViewSet.as_view({"get": "list"}), name="error-project-check-ins"
    ),
    path("error-projects/<str:slug>/sessions", SessionsViewSet.as_view({"get": "list"}), name="error-project-sessions"),
    path("error-projects/<str:slug>/feedback", FeedbackViewSet.as_view({"get": "list"}), name="error-project-feedback"),
    path(
        "error-projects/<str:slug>/keys",
        KeyViewSet.as_view({"get": "list", "post": "create"}),
        name="error-project-keys",
    ),
    path(
        "error-projects/<str:slug>/keys/<str:pk>",
        KeyViewSet.as_view({"patch": "partial_update"}),
        name="error-project-key",
    ),
    *_router.urls,
]
