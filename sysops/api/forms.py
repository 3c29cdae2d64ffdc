"""Request bodies that are taken at their word: a field nobody knows is refused by name, instead of passed over.

Every body stands on `Form`, or on `OnlyKnown` where a ModelSerializer takes what it also shows.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from django.utils.dateparse import parse_datetime
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction
from rest_framework import serializers

from sysops.api.serializers import Serializer

MOST_NAMED = 20
T = TypeVar("T")


class OnlyKnown(serializers.BaseSerializer[T]):
    """What cannot be set is a 400 that names the field and those that can; in front of a serializer's other bases."""

    def to_internal_value(self, data: object) -> object:
        unknown = self._unknown(data) if isinstance(data, Mapping) else {}
        try:
            value = super().to_internal_value(data)
        except serializers.ValidationError as exc:
            if not unknown or not isinstance(exc.detail, dict):
                raise
            raise serializers.ValidationError({**exc.detail, **unknown}) from None
        if unknown:
            raise serializers.ValidationError(unknown)
        return value

    def _unknown(self, data: Mapping[object, object]) -> dict[str, list[str]]:
        assert isinstance(self, serializers.Serializer)
        known = [name for name, field in self.fields.items() if not field.read_only]
        rest = f" Known: {', '.join(known)}." if known else ""
        found = {}
        for name in [str(name) for name in data if name not in known][:MOST_NAMED]:
            why = "Is read-only." if name in self.fields else "There is no such field."
            found[name[:100]] = [why + rest]
        return found


class Form(OnlyKnown[object], Serializer[object]):
    """A request body."""

    @classmethod
    def validated(cls, data: object, *, partial: bool = False) -> dict[str, Any]:
        """What the fields made of `data`; raises the 400 that names each field with something wrong."""
        form = cls(data=data, partial=partial)
        form.is_valid(raise_exception=True)
        found: dict[str, Any] = form.validated_data
        return found


class Nothing(Form):
    """The body of a step that takes nothing: none, or an empty object."""


class FormSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """How bodies show in the document: they have no further properties. Answers may get some."""

    target_class = "sysops.api.forms.OnlyKnown"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, object]:
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)  # type: ignore[no-untyped-call]
        return {**schema, "additionalProperties": False} if direction == "request" else schema


class Moment(serializers.DateTimeField):
    """A time with its offset: one without would be read as UTC by us and as local time by whoever sent it."""

    default_error_messages = {"no_offset": "Must be a time with its offset, such as 2027-01-15T02:00:00Z."}

    def to_internal_value(self, value: object) -> datetime:
        try:
            found = parse_datetime(value) if isinstance(value, str) and "T" in value.upper() else None
        except ValueError:
            found = None
        if found is None or found.utcoffset() is None:
            self.fail("no_offset")
        return super().to_internal_value(value)  # type: ignore[arg-type]


class Text(serializers.CharField):
    """A text inside an object, where the base's look at JSON types does not reach: DRF would make "3" of 3."""

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("Must be a string.")
        return super().to_internal_value(data)
