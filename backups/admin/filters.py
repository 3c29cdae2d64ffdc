"""Filters of the lists, in the words of the pages."""

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from backups.rules import BackupType
from backups.words import RUNGS, WORDS


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


def _words(kind: str) -> list[tuple[str, str]]:
    return [(str(value), words) for value, (_, words) in WORDS[kind].items()]


class ByStatus(ByValue):
    title, parameter_name, column, values = "status", "status", "status", _words("status")


class ByVerification(ByValue):
    title, parameter_name, column = "verification", "verification", "verification_status"
    values = _words("verification")


class ByType(ByValue):
    title, parameter_name, column = "type", "type", "backup_type"
    values = tuple((t.value, t.value.capitalize()) for t in BackupType)


class ByLook(ByValue):
    title, parameter_name, column, values = "outcome", "outcome", "status", _words("look")


class ByRung(ByValue):
    title, parameter_name, column = "how", "rung", "rung"
    values = tuple((str(rung), words) for rung, words in RUNGS.items())


class ByRestore(ByValue):
    title, parameter_name, column, values = "status", "status", "status", _words("restore")


class BySlot(ByValue):
    title, parameter_name, column, values = "outcome", "outcome", "outcome", _words("slot")


class ByAge(admin.SimpleListFilter):
    """Asked for within the last day, week or month."""

    title, parameter_name = "asked for", "age"
    DAYS: ClassVar = {"1": "In the last 24 hours", "7": "In the last 7 days", "30": "In the last 30 days"}

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Model]) -> Sequence[tuple[str, str]]:
        return list(self.DAYS.items())

    def queryset(self, request: HttpRequest, rows: QuerySet[Model]) -> QuerySet[Model]:
        days = self.value()
        if days not in self.DAYS:
            return rows
        return rows.filter(requested_at__gte=timezone.now() - timedelta(days=int(days)))
