"""What lists of backups, restores and sources can be narrowed to."""

import django_filters
from django.db.models import Q, QuerySet

from backups.models import Backup, Restore, Source
from backups.rules import BackupType, RestoreStatus, Status, VerificationStatus
from sysops.api.filters import FilterSet, Flag, Name, period


class BackupFilter(FilterSet):
    """`?source= &type= &status= &verified= &from= &to=` (from and to hold against the request's time)."""

    source = Name(Source, label="source")
    type = django_filters.ChoiceFilter(field_name="backup_type", choices=[(t.value, t.value) for t in BackupType])
    status = django_filters.ChoiceFilter(choices=[(s.value, s.value) for s in Status])
    verified = Flag(method="only_verified")
    locals().update(period("requested_at"))

    class Meta:
        model = Backup
        fields: list[str] = []

    def only_verified(self, rows: QuerySet[Backup], _: str, wanted: bool) -> QuerySet[Backup]:
        passed = Q(verification_status=VerificationStatus.PASSED.value)
        return rows.filter(passed if wanted else ~passed)


class RestoreFilter(FilterSet):
    """`?source= &status= &from= &to=`."""

    source = Name(Source, field_name="backup__source", label="source")
    status = django_filters.ChoiceFilter(choices=[(s.value, s.value) for s in RestoreStatus])
    locals().update(period("requested_at"))

    class Meta:
        model = Restore
        fields: list[str] = []


class SourceFilter(FilterSet):
    """`?engine=`."""

    engine = django_filters.CharFilter()

    class Meta:
        model = Source
        fields: list[str] = []
