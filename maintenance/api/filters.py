"""What lists of windows can be narrowed to."""

from datetime import datetime

import django_filters
from django.db.models import Q, QuerySet

from catalogue.models import Service
from maintenance.models import Window
from maintenance.rules import Status, Type
from sysops.api.filters import FilterSet, Moment, Name


class WindowFilter(FilterSet):
    """`?status= &service= &type= &from= &to=`.

    `service` finds what works on it and what reaches it; `from` and `to` find what takes place, at least in part,
    between the two.
    """

    status = django_filters.ChoiceFilter(choices=[(status.value, status.value) for status in Status])
    service = Name(Service, field_name="affected__service", label="service")  # once per window: no row is doubled
    type = django_filters.ChoiceFilter(
        field_name="maintenance_type", choices=[(kind.value, kind.value) for kind in Type]
    )
    # Python has taken the word `from`.
    locals()["from"] = Moment(method="still_on_after")
    to = Moment(field_name="scheduled_start", lookup_expr="lt")

    class Meta:
        model = Window
        fields: list[str] = []

    def still_on_after(self, rows: "QuerySet[Window]", name: str, moment: datetime) -> "QuerySet[Window]":
        """One that overruns is still on, whatever its estimated end."""
        return rows.filter(Q(scheduled_end__gt=moment) | Q(status=Status.IN_PROGRESS.value))
