"""What the list of alerts can be narrowed to."""

import django_filters
from django.db.models import QuerySet

from alerting.models import Alert
from catalogue.models import Service
from notifications.rules import Level
from sysops.api.filters import FilterSet, Name


class AlertFilter(FilterSet):
    """`?status=open|resolved &service= &level=`."""

    status = django_filters.ChoiceFilter(
        method="by_status", choices=[("open", "open"), ("resolved", "resolved")], help_text="Held-back ones are open"
    )
    service = Name(Service, label="service")
    level = django_filters.ChoiceFilter(choices=[(level.value, level.value) for level in Level])

    class Meta:
        model = Alert
        fields: list[str] = []

    def by_status(self, rows: QuerySet[Alert], _: str, wanted: str) -> QuerySet[Alert]:
        return rows.filter(resolved_at__isnull=wanted == "open")
