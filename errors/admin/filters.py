"""Filters of the lists, in the words of the pages."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from django.contrib import admin, messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from errors import looks
from errors.finding import is_overdue
from errors.models import Issue
from errors.rules import Status

OPEN = Q(status__in=(Status.UNRESOLVED.value, Status.ACKNOWLEDGED.value))
NEW = timedelta(days=1)
overdue = is_overdue  # as the first page asks for it
WAYS = {
    "open": "Open",
    "overdue": "Overdue",
    "mine": "Mine",
    "nobody": "Nobody's",
    "new": "New today",
    "back": "Came back",
    "ignored": "Ignored",
    "resolved": "Resolved",
    "all": "All",
}


def ways(request: HttpRequest, *, now: datetime) -> dict[str, Q]:
    """What each way to look at the list shows this person."""
    return {
        "open": OPEN,
        "overdue": is_overdue(now=now),
        "mine": OPEN & Q(assignee__user=request.user.pk),
        "nobody": OPEN & Q(assignee=None),
        "new": OPEN & Q(first_seen__gte=now - NEW),
        "back": OPEN & Q(regressed_at__isnull=False),
        "ignored": Q(status=Status.IGNORED.value),
        "resolved": Q(status=Status.RESOLVED.value),
        "all": Q(),
    }


def counts(issues: QuerySet[Issue], request: HttpRequest, *, now: datetime) -> dict[str, int]:
    """How many issues each way shows. One query."""
    asked = {f"n_{key}": Count("pk", filter=found) for key, found in ways(request, now=now).items() if found}
    found: dict[str, int] = issues.order_by().aggregate(n_all=Count("pk"), **asked)
    return {key: found[f"n_{key}"] for key in WAYS}


def chosen_way(request: HttpRequest) -> str:
    """What is shown: what was asked for; else what waits for somebody, or, of a search, everything that was found."""
    asked = request.GET.get("what", "")
    if asked in WAYS:
        return asked
    return "all" if request.GET.get("q") else "open"


def said_once(request: HttpRequest, words: str) -> None:
    """Say on the page what cannot be meant: once, however often the list asks for it."""
    known: set[str] = request.__dict__.setdefault("_said_once", set())
    if words not in known:
        known.add(words)
        messages.error(request, words)


def nobody_knows(request: HttpRequest, name: str, value: str, known: Mapping[str, str]) -> None:
    """Say that the address asks for a value of a filter that there is none of."""
    said_once(request, f"There is no {name} {value[:100]!r}, so it was not filtered by it. Known: {', '.join(known)}.")


class ByWhat(admin.SimpleListFilter):
    """One of several ways to look at the list. There is no "all" besides."""

    title, parameter_name = "what", "what"

    def __init__(
        self, request: HttpRequest, params: dict[str, list[str]], model: type[Model], model_admin: ModelAdmin[Model]
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.way = chosen_way(request)

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Model]) -> Sequence[tuple[str, str]]:
        return list(WAYS.items())

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, object]]:  # type: ignore[override]
        for key, said in WAYS.items():
            query = changelist.get_query_string({"what": key})
            yield {"selected": self.way == key, "query_string": query, "display": said}

    def queryset(self, request: HttpRequest, rows: QuerySet[Issue]) -> QuerySet[Issue]:
        if (asked := request.GET.get("what")) and asked not in WAYS:
            nobody_knows(request, "way to look at the list", asked, WAYS)
        return rows.filter(ways(request, now=timezone.now())[self.way])


class ByRelated(AutocompleteSelectFilter):
    """One of the related rows, looked up by typing: there may be thousands."""

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, object]]:
        """The form, which names what was chosen: only what this person sees in the list of these rows."""
        related = self.model_admin.admin_site.get_model_admin(self.field.remote_field.model)
        for choice in super().choices(changelist):
            choice["form"].fields[self.lookup_kwarg].queryset = related.get_queryset(self.request)
            yield choice


class ByValue(admin.SimpleListFilter):
    """One value of a column."""

    column: ClassVar[str]
    values: ClassVar[Mapping[str, str]]

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Model]) -> Sequence[tuple[str, str]]:
        return list(self.values.items())

    def queryset(self, request: HttpRequest, rows: QuerySet[Model]) -> QuerySet[Model]:
        value = self.value()
        if value and value not in self.values:
            nobody_knows(request, str(self.title), value, self.values)
        return rows.filter(**{self.column: value}) if value in self.values else rows


class BySeverity(ByValue):
    title, parameter_name, column = "severity", "severity", "severity"
    values: ClassVar = {severity.value: words for severity, (_, words) in looks.SEVERITIES.items()}


class ByLastSeen(admin.SimpleListFilter):
    """Seen within the last hour, day, week or month."""

    title, parameter_name = "last seen", "seen"
    HOURS: ClassVar = {"1": "In the last hour", "24": "In the last 24 hours", "168": "In the last 7 days"}

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Model]) -> Sequence[tuple[str, str]]:
        return list(self.HOURS.items())

    def queryset(self, request: HttpRequest, rows: QuerySet[Issue]) -> QuerySet[Issue]:
        hours = self.value()
        if hours and hours not in self.HOURS:
            nobody_knows(request, str(self.title), hours, self.HOURS)
        if hours not in self.HOURS:
            return rows
        return rows.filter(last_seen__gte=timezone.now() - timedelta(hours=int(hours)))
