"""Serializers that take JSON at its word and say what could have been sent, and fields that the contract has an
opinion on.

DRF turns 0 into "0", "4" into 4 and "" into null, as HTML forms need it. The published document promises types, so
these refuse instead: use them in place of `rest_framework.serializers.Serializer` and `ModelSerializer`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from django.db import models
from rest_framework import fields, relations, serializers

T = TypeVar("T")
M = TypeVar("M", bound=models.Model)
MOST_NAMED = 20
LONGEST_QUOTED = 100


class Id(serializers.CharField):
    """A key as the opaque string clients see."""

    def __init__(self, *, source: str = "pk", help_text: str | None = None) -> None:
        super().__init__(read_only=True, source=source, help_text=help_text)


class Named(serializers.SlugRelatedField[M]):
    """One of the rows, by its slug or another name: "There is no service 'zed'. Known: api, shop."

    `tells`: whether those that exist are named. Not for rows that whoever asks may not see all of.
    """

    def __init__(self, *, slug_field: str, queryset: models.QuerySet[M], tells: bool = True, **kwargs: Any) -> None:
        self.tells = tells
        super().__init__(slug_field=slug_field, queryset=queryset, **kwargs)

    def to_internal_value(self, data: str) -> M:
        try:
            return super().to_internal_value(data)
        except serializers.ValidationError as exc:
            if exc.get_codes() != ["does_not_exist"]:
                raise
        rows = self.get_queryset()
        assert rows is not None  # it is required above
        raise serializers.ValidationError(
            there_is_no(rows, data, by=str(self.slug_field), tells=self.tells), code="does_not_exist"
        )


def there_is_no(rows: models.QuerySet[M], given: object, *, by: str = "slug", tells: bool = True) -> str:
    """That none of the rows has this name, and which names there are when they are few."""
    said = f"There is no {rows.model._meta.verbose_name} {str(given)[:LONGEST_QUOTED]!r}."
    if not tells:
        return said
    known = [str(name) for name in rows.order_by(by).values_list(by, flat=True)[: MOST_NAMED + 1]]
    return f"{said} Known: {', '.join(known)}." if 0 < len(known) <= MOST_NAMED else said


class _StrictTypes(serializers.BaseSerializer[T]):
    def get_fields(self) -> dict[str, fields.Field[Any, Any, Any, Any]]:
        found: dict[str, fields.Field[Any, Any, Any, Any]] = super().get_fields()  # type: ignore[misc]
        for field in found.values():
            _name_choices(field)
        return found

    def to_internal_value(self, data: object) -> object:
        """All that is wrong at once: types, and what the fields themselves complain about."""
        mismatches = self._mismatches(data) if isinstance(data, Mapping) else {}
        try:
            value: object = super().to_internal_value(data)
        except serializers.ValidationError as exc:
            if not mismatches or not isinstance(exc.detail, dict):
                raise
            raise serializers.ValidationError({**exc.detail, **mismatches}) from None
        if mismatches:
            raise serializers.ValidationError(mismatches)
        return value

    def _mismatches(self, data: Mapping[object, object]) -> dict[str, list[str]]:
        assert isinstance(self, serializers.Serializer)
        given = {name: field for name, field in self.fields.items() if name in data and not field.read_only}
        return {name: [text] for name, field in given.items() if (text := _mismatch(field, data[name]))}


class Serializer(_StrictTypes[T], serializers.Serializer[T]):
    """DRF's Serializer, strict about JSON types."""


class ModelSerializer(_StrictTypes[M], serializers.ModelSerializer[M]):
    """DRF's ModelSerializer, strict about JSON types."""


def _name_choices(field: object) -> None:
    """Let a refused choice be answered with those there are."""
    if isinstance(field, fields.ListField):
        _name_choices(field.child)
    elif isinstance(field, fields.ChoiceField):
        known = choose_from(field.choices).replace("{", "{{").replace("}", "}}")
        field.error_messages["invalid_choice"] = f"{known}; not {{input!r:.{LONGEST_QUOTED}}}."


def choose_from(choices: Iterable[object]) -> str:
    """What is said instead of a choice that there is not."""
    return f"Must be one of: {', '.join(str(choice) for choice in choices if choice not in ('', None))}"


def _mismatch(field: fields.Field[object, object, object, object], value: object) -> str | None:
    """Why the JSON value is not of the field's type; None when it is, or when the field itself will tell."""
    if value is None:
        return None  # allowed or not: the field knows
    match field:
        case fields.BooleanField():
            return None if isinstance(value, bool) else "Must be true or false."
        case fields.IntegerField():
            return None if isinstance(value, int) and not isinstance(value, bool) else "Must be a whole number."
        case fields.FloatField():
            return None if isinstance(value, int | float) and not isinstance(value, bool) else "Must be a number."
        case fields.MultipleChoiceField() | fields.ListField() | relations.ManyRelatedField():
            return _list_mismatch(field, value)
        case fields.ChoiceField():
            return (
                None if type(value) in {type(choice) for choice in field.choices} else f"{choose_from(field.choices)}."
            )
        case fields.CharField() | fields.DateTimeField() | fields.DateField() | fields.UUIDField():
            return None if isinstance(value, str) else "Must be a string."
        case relations.SlugRelatedField():
            return None if isinstance(value, str) and value else "Must be a string, and not empty."
        case fields.DictField():
            return None if isinstance(value, dict) else "Must be an object."
    return None


def _list_mismatch(field: object, value: object) -> str | None:
    if not isinstance(value, list):
        return "Must be a list."
    inner = getattr(field, "child", None) or getattr(field, "child_relation", None)
    if inner is None:
        return None
    texts = [text for item in value if (text := _mismatch(inner, item) or ("" if item is not None else "Is null."))]
    return f"Each: {texts[0]}" if texts else None
