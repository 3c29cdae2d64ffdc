"""What lists of tokens and audit entries can be filtered by."""

from typing import get_args

import django_filters

from sysops.access.actors import Kind
from sysops.access.models import ApiToken, AuditEntry
from sysops.access.roles import Role
from sysops.api.filters import FilterSet, Flag, period


class TokenFilter(FilterSet):
    role = django_filters.ChoiceFilter(choices=[(role.value, role.value) for role in Role])
    name = django_filters.CharFilter()
    revoked = Flag(field_name="revoked_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = ApiToken
        fields = ("role", "name", "revoked")


class AuditFilter(FilterSet):
    action = django_filters.CharFilter()
    actor = django_filters.CharFilter()
    actor_kind = django_filters.ChoiceFilter(choices=[(kind, kind) for kind in get_args(Kind)])
    subject = django_filters.CharFilter()
    locals().update(period("at"))

    class Meta:
        model = AuditEntry
        fields = ("action", "actor", "actor_kind", "subject", "from", "to")
