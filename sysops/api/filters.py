"""Filters and orderings that refuse what they do not know, instead of answering as if it had not been asked."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import django_filters
from django.db import models
from django.db.models import QuerySet
from django.forms import CharField, ChoiceField, Field
from django.forms import ValidationError as FormValidationError
from django.utils.dateparse import parse_datetime
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request
from rest_framework.views import APIView

from sysops.api.pagination import CURSOR, PAGE_SIZE, complete_ordering
from sysops.api.problems import invalid
from sysops.api.serializers import choose_from, there_is_no

__all__ = ["FilterSet", "Flag", "Moment", "Name", "StrictFilterBackend", "StrictOrdering", "period"]

M = TypeVar("M", bound=models.Model)

ORDERING = "ordering"
_EVERY_LIST = frozenset({CURSOR, PAGE_SIZE, ORDERING})


class _FlagField(Field):
    def to_python(self, value: object) -> bool | None:
        if value in (None, ""):
            return None
        if value not in ("true", "false"):
            raise FormValidationError("Must be true or false.")
        return value == "true"


@extend_schema_field(OpenApiTypes.BOOL)
class Flag(django_filters.Filter):
    """`?verified=true` or `false`; anything else is a 400."""

    field_class = _FlagField


class _MomentField(CharField):
    def to_python(self, value: object) -> object:  # type: ignore[override]
        if value in (None, ""):
            return None
        try:
            moment = parse_datetime(str(value)) if "T" in str(value).upper() else None
            if moment is None or moment.utcoffset() is None:
                raise ValueError
        except ValueError:
            raise FormValidationError("Must be a time as 2026-01-31T12:00:00Z (RFC 3339, with offset).") from None
        return _in_utc(moment)


def _in_utc(moment: datetime) -> datetime:
    """The first and the last day of the calendar reach beyond it in UTC; there, a few hours make no difference."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return moment.replace(tzinfo=UTC)


@extend_schema_field(OpenApiTypes.DATETIME)
class Moment(django_filters.Filter):
    """A time in RFC 3339 with offset. A `+` that arrives as a space, because nobody escaped it, is a 400."""

    field_class = _MomentField


@extend_schema_field(OpenApiTypes.STR)
class Name(django_filters.Filter):
    """One of the names (slugs) of the related rows: `Name(Service, to="slug")`; an unknown one is a 400 that tells
    which there are. Not for rows that whoever asks may not see all of."""

    field_class = CharField

    def __init__(self, model: type[models.Model], *, to: str = "slug", **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.related, self.to = model, to

    def filter(self, qs: QuerySet[models.Model], value: str) -> QuerySet[models.Model]:
        if value in ("", None):
            return qs
        rows = self.related._default_manager.all()
        row = rows.filter(**{self.to: value}).first()
        if row is None:
            own = next(name for name, known in self.parent.filters.items() if known is self)
            raise invalid({own: there_is_no(rows, value, by=self.to)})
        return qs.filter(**{self.field_name: row})


def period(field_name: str) -> dict[str, django_filters.Filter]:
    """`?from=` (inclusive) and `?to=` (exclusive). Python has taken the word `from`, so in a FilterSet's body:
    `locals().update(period("started_at"))`."""
    return {
        "from": Moment(field_name=field_name, lookup_expr="gte"),
        "to": Moment(field_name=field_name, lookup_expr="lt"),
    }


class StrictFilterBackend(DjangoFilterBackend):
    """django-filter, with unknown, doubled and empty parameters refused by name."""

    def get_filterset(self, request: Request, queryset: QuerySet[M], view: APIView) -> FilterSet | None:
        found: FilterSet | None = super().get_filterset(request, queryset, view)
        for field in found.form.fields.values() if found is not None else ():
            if isinstance(field, ChoiceField):
                choices: Iterable[tuple[object, object]] = field.choices  # type: ignore[assignment]
                known = choose_from(value for value, _ in choices).replace("%", "%%")
                field.error_messages["invalid_choice"] = f"{known}; not '%(value)s'."
        return found

    def filter_queryset(self, request: Request, queryset: QuerySet[M], view: APIView) -> QuerySet[M]:
        if getattr(view, "action", "list") != "list":
            return queryset
        filterset = self.get_filterset(request, queryset, view)
        filters: Mapping[str, django_filters.Filter] = filterset.filters if filterset is not None else {}
        self._check_names(request, filters, extra=getattr(view, "query_parameters", ()))
        filtered: QuerySet[M] = super().filter_queryset(request, queryset, view)
        return filtered

    def _check_names(
        self, request: Request, filters: Mapping[str, django_filters.Filter], *, extra: Sequence[str]
    ) -> None:
        errors: dict[str, str | list[str]] = {}
        for name, values in request.query_params.lists():
            if name not in filters and name not in _EVERY_LIST and name not in extra:
                known = ", ".join(sorted({*filters, *_EVERY_LIST, *extra}))
                errors[name] = f"There is no such parameter. Known: {known}."
            elif len(values) > 1 and not isinstance(filters.get(name), django_filters.MultipleChoiceFilter):
                errors[name] = "Must be given once."
            elif name in filters and "" in values:
                errors[name] = "Must not be empty; leave it out instead."
        if errors:
            raise invalid(errors)


class StrictOrdering(BaseFilterBackend):
    """`?ordering=-started_at,name`, from the view's `ordering_fields`; the key is added at the end.

    `ordering_fields` are public names, or a mapping of those to the model's ("source": "source__slug").
    """

    def filter_queryset(  # type: ignore[override]
        self, request: Request, queryset: QuerySet[M], view: APIView
    ) -> QuerySet[M]:
        if getattr(view, "action", "list") != "list":
            return queryset
        given = request.query_params.get(ORDERING)
        if given is None:
            return queryset.order_by(*complete_ordering(queryset))
        known = fields_of(view)
        names = []
        for part in given.split(","):
            if part.removeprefix("-") not in known:
                raise invalid({ORDERING: f"Cannot order by {part!r}. Known: {', '.join(sorted(known)) or 'none'}."})
            names.append(("-" if part.startswith("-") else "") + known[part.removeprefix("-")])
        ordered = queryset.order_by(*names)
        return ordered.order_by(*complete_ordering(ordered))

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, object]]:
        known = sorted(fields_of(view))
        if not known:
            return []
        one = f"-?({'|'.join(re.escape(name) for name in known)})"
        return [
            {
                "name": ORDERING,
                "in": "query",
                "required": False,
                "description": f"Comma separated, `-` for descending: {', '.join(known)}.",
                "schema": {"type": "string", "pattern": f"^{one}(,{one})*$"},
            }
        ]


def fields_of(view: APIView) -> dict[str, str]:
    """The public names a list can be ordered by, and the model's fields they mean."""
    fields = getattr(view, "ordering_fields", None) or ()
    return dict(fields) if isinstance(fields, Mapping) else {name: name for name in fields}
