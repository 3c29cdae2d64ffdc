"""Filters of the lists, in the words of the pages."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import ClassVar

from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from notifications import looks, templating
from notifications.rules import Level


class ByRelated(AutocompleteSelectFilter):
    """One of the related rows, looked up by typing: there may be thousands."""


class ByValue(admin.SimpleListFilter):
    """One value of a column."""

    column: ClassVar[str]
    values: ClassVar[Sequence[tuple[str, str]]]

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Model]) -> Sequence[tuple[str, str]]:
        return self.values

    def queryset(self, request: HttpRequest, rows: QuerySet[Model]) -> QuerySet[Model]:
        value = self.value()
        return rows.filter(**{self.column: value}) if value in dict(self.values) else rows


class Among(admin.SimpleListFilter):
    """One of several ways to look at a list, the first of them unless another is chosen; there is no "all" besides."""

    ways: ClassVar[Mapping[str, str]]

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Model]) -> Sequence[tuple[str, str]]:
        return list(self.ways.items())

    def value(self) -> str:
        chosen = super().value()
        return chosen if chosen is not None and chosen in self.ways else next(iter(self.ways))

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, object]]:  # type: ignore[override]
        for key, said in self.ways.items():
            query = changelist.get_query_string({str(self.parameter_name): key})
            yield {"selected": self.value() == key, "query_string": query, "display": said}


class ByLevel(ByValue):
    title, parameter_name, column = "level", "level", "level"
    values = tuple((level.value, level.value.capitalize()) for level in Level)


class OfMessageLevel(ByLevel):
    column = "message__level"


class ByState(ByValue):
    title, parameter_name, column = "state", "state", "state"
    values = tuple((state.value, said) for state, (_, said) in looks.STATES.items())


class ByPosted(admin.SimpleListFilter):
    """Posted within the last day, week or month."""

    title, parameter_name = "posted", "posted"
    column: ClassVar[str] = "posted_at"
    DAYS: ClassVar = {"1": "In the last 24 hours", "7": "In the last 7 days", "30": "In the last 30 days"}

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Model]) -> Sequence[tuple[str, str]]:
        return list(self.DAYS.items())

    def queryset(self, request: HttpRequest, rows: QuerySet[Model]) -> QuerySet[Model]:
        days = self.value()
        if days not in self.DAYS:
            return rows
        return rows.filter(**{f"{self.column}__gte": timezone.now() - timedelta(days=int(days))})


class OfPosted(ByPosted):
    title, column = "message posted", "message__posted_at"


class ByKind(ByValue):
    """A kind of message; those that words are shipped for."""

    title, parameter_name, column = "kind", "kind", "kind"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Model]) -> Sequence[tuple[str, str]]:
        return [(kind, looks.kind(kind)) for kind in templating.kinds()]

    def queryset(self, request: HttpRequest, rows: QuerySet[Model]) -> QuerySet[Model]:
        value = self.value()
        return rows.filter(**{self.column: value}) if value in templating.kinds() else rows


class OfMessageKind(ByKind):
    column = "message__kind"
