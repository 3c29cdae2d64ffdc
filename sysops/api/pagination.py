"""Pages that neither repeat nor hide a row when rows come and go between them."""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import TypeVar

from django.core.exceptions import FieldDoesNotExist
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, models
from django.db.models import Q, QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param
from rest_framework.views import APIView

from sysops.api.problems import invalid

M = TypeVar("M", bound=models.Model)

CURSOR = "cursor"
PAGE_SIZE = "page_size"
DEFAULT_SIZE = 50
LARGEST_SIZE = 200
COUNT_UP_TO = 10_000  # beyond, counting costs more than the page: count is null


@dataclass(frozen=True)
class Cursor:
    """A place between two rows: the values of the ordering fields of the row it is next to."""

    ordering: tuple[str, ...]
    values: tuple[object, ...]
    backwards: bool = False
    inclusive: bool = False  # the row itself belongs to the page: the page before an empty one

    def encode(self) -> str:
        content = [list(self.ordering), list(self.values), int(self.backwards), int(self.inclusive)]
        raw = json.dumps(content, separators=(",", ":"), default=_as_text).encode()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Pages(BasePagination):
    """Keyset paging by the query's own ordering, which is completed by the key. Links in both directions.

    A view may set `count_up_to` (0 never counts).
    """

    def paginate_queryset(  # type: ignore[override]  # a sequence has no keys to page by
        self, queryset: QuerySet[M], request: Request, view: APIView | None = None
    ) -> list[M]:
        self.request = request
        size = _page_size(request)
        ordering = complete_ordering(queryset)
        cursor = _given_cursor(request, queryset.model, ordering)
        self.count = _count(queryset, getattr(view, "count_up_to", COUNT_UP_TO))
        backwards = cursor is not None and cursor.backwards
        ordered = queryset.order_by(*(_flipped(ordering) if backwards else ordering))
        if cursor is not None:
            ordered = ordered.filter(_beyond(cursor, queryset.model))
        rows = _fetch(ordered[: size + 1], guarded=cursor is not None)
        more, rows = len(rows) > size, rows[:size]
        if backwards:
            rows.reverse()
        self._set_links(rows, cursor, ordering, more)
        return rows

    def _set_links(self, rows: Sequence[M], cursor: Cursor | None, ordering: tuple[str, ...], more: bool) -> None:
        backwards = cursor is not None and cursor.backwards
        after = before = None
        if rows:
            after = Cursor(ordering, _values(rows[-1], ordering))
            before = Cursor(ordering, _values(rows[0], ordering), backwards=True)
        elif cursor is not None:
            after = Cursor(ordering, cursor.values, inclusive=not cursor.inclusive)
            before = Cursor(ordering, cursor.values, backwards=True, inclusive=not cursor.inclusive)
        self.next_cursor = after if (more if not backwards else True) else None
        self.previous_cursor = before if (more if backwards else cursor is not None) else None

    def get_paginated_response(self, data: object) -> Response:
        return Response(
            {
                "count": self.count,
                "next": self._link(self.next_cursor),
                "previous": self._link(self.previous_cursor),
                "results": data,
            }
        )

    def _link(self, cursor: Cursor | None) -> str | None:
        if cursor is None:
            return None
        url = remove_query_param(self.request.build_absolute_uri(), CURSOR)
        return str(replace_query_param(url, CURSOR, cursor.encode()))

    def get_paginated_response_schema(self, schema: Mapping[str, object]) -> dict[str, object]:
        link = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["count", "next", "previous", "results"],
            "properties": {
                "count": {"type": "integer", "nullable": True, "description": f"null beyond {COUNT_UP_TO}"},
                "next": link,
                "previous": link,
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, object]]:
        size = {"type": "integer", "minimum": 1, "maximum": LARGEST_SIZE, "default": DEFAULT_SIZE}
        # The cursor is left out on purpose: it is not made by clients, they follow `next` and `previous`.
        return [{"name": PAGE_SIZE, "in": "query", "required": False, "schema": size}]


def complete_ordering(queryset: QuerySet[M]) -> tuple[str, ...]:
    """The names a query is ordered by, ending in the primary key, so that no two rows are at the same place."""
    given = tuple(queryset.query.order_by) or tuple(queryset.model._meta.ordering or ())
    names = [name for name in given if isinstance(name, str)]
    if len(names) != len(given):
        raise TypeError(f"Pages needs an ordering by field names, not {given}")
    keys = {"pk", queryset.model._meta.pk.name}
    kept: list[str] = []
    for name in names:
        kept.append(name)
        if name.lstrip("-") in keys:
            return tuple(kept)
    return (*kept, "-pk" if not kept or kept[-1].startswith("-") else "pk")


def _page_size(request: Request) -> int:
    given = request.query_params.get(PAGE_SIZE)
    if given is None:
        return DEFAULT_SIZE
    if not re.fullmatch(r"[0-9]{1,3}", given, re.ASCII) or not 1 <= int(given) <= LARGEST_SIZE:
        raise invalid({PAGE_SIZE: f"Must be a whole number from 1 to {LARGEST_SIZE}."})
    return int(given)


def _count(queryset: QuerySet[M], up_to: int) -> int | None:
    if not up_to:
        return None
    count = queryset.order_by()[: up_to + 1].count()
    return count if count <= up_to else None


def _fetch(queryset: QuerySet[M], *, guarded: bool) -> list[M]:
    """A forged cursor may hold values of the right type that the database cannot compare (year 0, say)."""
    if not guarded:
        return list(queryset)
    try:
        return list(queryset)
    except (DataError, ValueError, OverflowError):
        raise _bad_cursor() from None


def _beyond(cursor: Cursor, model: type[models.Model]) -> Q:
    """Rows strictly after the cursor in its direction: later in the first field, or equal there and later in the
    second, and so on. PostgreSQL sorts null as larger than everything."""
    names = _flipped(cursor.ordering) if cursor.backwards else cursor.ordering
    alternatives, equal = [], Q()
    for name, value in zip(names, cursor.values, strict=True):
        plain = name.lstrip("-")
        alternatives.append(equal & _later(name, value, nullable=_nullable(model, plain)))
        equal &= Q(**{f"{plain}__isnull": True}) if value is None else Q(**{plain: value})
    if cursor.inclusive:
        alternatives.append(equal)
    # Implied by the rest, and what lets PostgreSQL enter the index at the right place.
    nullable = _nullable(model, names[0].lstrip("-"))
    entry = _later(names[0], cursor.values[0], nullable=nullable, or_equal=True)
    return entry & reduce(or_, alternatives)


def _later(name: str, value: object, *, nullable: bool, or_equal: bool = False) -> Q:
    field, nothing = name.lstrip("-"), Q(pk__in=[])
    if name.startswith("-"):
        if value is None:
            return Q() if or_equal else Q(**{f"{field}__isnull": False})
        return Q(**{f"{field}__{'lte' if or_equal else 'lt'}": value})
    if value is None:
        return Q(**{f"{field}__isnull": True}) if or_equal else nothing
    larger = Q(**{f"{field}__{'gte' if or_equal else 'gt'}": value})
    return larger | Q(**{f"{field}__isnull": True}) if nullable else larger


def _flipped(ordering: Sequence[str]) -> tuple[str, ...]:
    return tuple(name[1:] if name.startswith("-") else f"-{name}" for name in ordering)


def _values(row: object, ordering: Sequence[str]) -> tuple[object, ...]:
    return tuple(_value(row, name.lstrip("-")) for name in ordering)


def _value(row: object, path: str) -> object:
    if isinstance(row, Mapping):  # a query of values()
        return row[path] if path in row else row["id"]
    for part in path.split("__"):
        row = getattr(row, part, None)
    return row


def _given_cursor(request: Request, model: type[models.Model], ordering: tuple[str, ...]) -> Cursor | None:
    text = request.query_params.get(CURSOR)
    if text is None:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        names, values, backwards, inclusive = json.loads(raw)
        if tuple(names) != ordering or len(values) != len(ordering):
            raise ValueError("made for another ordering")
        typed = tuple(_typed(model, name.lstrip("-"), value) for name, value in zip(ordering, values, strict=True))
    except (ValueError, TypeError, AttributeError, RecursionError, binascii.Error, DjangoValidationError):
        raise _bad_cursor() from None
    return Cursor(ordering, typed, bool(backwards), bool(inclusive))


def _fields(model: type[models.Model], path: str) -> list["models.Field[object, object]"]:
    """The fields a path such as `source__name` goes through."""
    found: list[models.Field[object, object]] = []
    for name in path.split("__"):
        field = model._meta.pk if name == "pk" else model._meta.get_field(name)
        if not isinstance(field, models.Field):
            raise FieldDoesNotExist(path)
        found.append(field)
        model = field.related_model if isinstance(field.related_model, type) else model
    return found


def _nullable(model: type[models.Model], path: str) -> bool:
    return any(field.null for field in _fields(model, path))


def _typed(model: type[models.Model], path: str, value: object) -> object:
    """A cursor's value as the field has it; the cursor comes from outside and may hold anything."""
    if value is None:
        return None
    field = _fields(model, path)[-1]
    if not isinstance(value, str | int | float) or (isinstance(value, str) and "\0" in value):
        raise ValueError("not a value")
    typed = field.to_python(value)
    if typed is None or (isinstance(typed, datetime) and typed.tzinfo is None):
        raise ValueError("not a value of this field")
    return typed


def _bad_cursor() -> Exception:
    return invalid({CURSOR: "Not a cursor of this list. Take the one from the link `next` or `previous`."})


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
