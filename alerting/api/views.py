"""Alerts over HTTP: read only."""

from typing import ClassVar

from alerting import selectors
from alerting.api.filters import AlertFilter
from alerting.api.serializers import AlertSerializer
from alerting.models import Alert
from sysops.api.views import NumberedViewSet


class AlertViewSet(NumberedViewSet[Alert]):
    """`/api/system/alerts`."""

    rights: ClassVar[dict[str, str]] = {"list": "alerts.view", "retrieve": "alerts.view"}
    queryset = selectors.for_lists()
    serializer_class = AlertSerializer
    filterset_class = AlertFilter
    ordering_fields = ("raised_at", "last_seen_at")
