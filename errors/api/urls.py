"""Addresses below /api/system/."""

from django.urls import URLPattern, URLResolver, path

from errors.api.views import ActivityViewSet, EventViewSet, IssueViewSet
from errors.api.writing_urls import urls as writing_urls
from sysops.api.routers import Router

router = Router()
router.register("errors", IssueViewSet, basename="issue")

_events = EventViewSet.as_view({"get": "list"})
_event = EventViewSet.as_view({"get": "retrieve"})
_activity = ActivityViewSet.as_view({"get": "list"})

urls: list[URLPattern | URLResolver] = [
    path("errors/<str:issue>/events", _events, name="issue-events"),
    path("errors/<str:issue>/events/<str:event_id>", _event, name="issue-event"),
    path("errors/<str:issue>/activity", _activity, name="issue-activity"),
    *writing_urls,
    *router.urls,
]
