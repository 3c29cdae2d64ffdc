"""What lists of issues and events can be narrowed to."""

from datetime import datetime

import django_filters
from django.db.models import QuerySet

from catalogue.models import Person, Service
from errors.finding import NOBODY, search_issues, with_release
from errors.models import Event, Issue
from errors.models.issues import SEVERITIES, STATUSES
from errors.search import BadQuery, parse
from errors.selectors import visible_projects
from sysops.api.filters import FilterSet, Moment, Name, period
from sysops.api.problems import invalid
from sysops.kernel.clock import utc_now


class IssueFilter(FilterSet):
    """`?severity= &status= &service= &project= &assignee= &release= &environment= &q= &from= &to=`.

    `severity` and `status` may be given several times. `from` and `to` find what was seen, at least once, between
    the two.
    """

    severity = django_filters.MultipleChoiceFilter(choices=SEVERITIES, distinct=False)
    status = django_filters.MultipleChoiceFilter(choices=STATUSES, distinct=False)
    service = Name(Service, label="service")
    project = django_filters.CharFilter(method="of_project")
    assignee = django_filters.CharFilter(method="assigned_to", help_text="The slug of a person, or none")
    release = django_filters.CharFilter(method="seen_in_release")
    environment = django_filters.CharFilter(help_text="Of the latest event")
    q = django_filters.CharFilter(method="found", help_text="Words, tag:value, severity:high, is:open, !not …")
    # Python has taken the word `from`.
    locals()["from"] = Moment(field_name="last_seen", lookup_expr="gte")
    to = Moment(method="seen_before")

    class Meta:
        model = Issue
        fields: list[str] = []

    def of_project(self, rows: QuerySet[Issue], _: str, slug: str) -> QuerySet[Issue]:
        """One that may not be seen is answered as one that does not exist."""
        project = visible_projects(self.request.user).filter(slug=slug).first()
        if project is None:
            raise invalid({"project": f"There is no error project {slug!r}."})
        return rows.filter(project=project)

    def assigned_to(self, rows: QuerySet[Issue], _: str, slug: str) -> QuerySet[Issue]:
        if slug == NOBODY:
            return rows.filter(assignee=None)
        person = Person.objects.filter(slug=slug).first()
        if person is None:
            raise invalid({"assignee": f"There is no person {slug!r}; {NOBODY} finds what nobody has."})
        return rows.filter(assignee=person)

    def seen_in_release(self, rows: QuerySet[Issue], _: str, version: str) -> QuerySet[Issue]:
        return rows.filter(with_release(version))

    def seen_before(self, rows: QuerySet[Issue], _: str, moment: datetime) -> QuerySet[Issue]:
        return rows.filter(first_seen__lt=moment)

    def found(self, rows: QuerySet[Issue], _: str, text: str) -> QuerySet[Issue]:
        try:
            return search_issues(rows, parse(text), now=utc_now(), projects=visible_projects(self.request.user))
        except BadQuery as exc:
            raise invalid({"q": str(exc)}) from None


class EventFilter(FilterSet):
    """`?release= &environment= &level= &from= &to=`, by the time it was received."""

    release = django_filters.CharFilter()
    environment = django_filters.CharFilter()
    level = django_filters.CharFilter()
    locals().update(period("received_at"))

    class Meta:
        model = Event
        fields: list[str] = []
