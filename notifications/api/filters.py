"""What the lists of this API can be narrowed to."""

import django_filters

from notifications.models import Channel, Delivery
from notifications.rules import DeliveryState
from sysops.api.filters import FilterSet, Name, period


class DeliveryFilter(FilterSet):
    """`?state= &channel= &from= &to=` (from and to hold against the time its message was posted)."""

    state = django_filters.ChoiceFilter(choices=[(state.value, state.value) for state in DeliveryState])
    channel = Name(Channel, label="channel")
    locals().update(period("message__posted_at"))

    class Meta:
        model = Delivery
        fields: list[str] = []
