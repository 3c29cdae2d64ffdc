"""Request bodies that are taken at their word: a field nobody knows is refused by name, instead of passed over."""

from collections.abc import Mapping
from datetime import datetime

from django.utils.dateparse import parse_datetime
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction
from rest_framework import serializers

from sysops.api.serializers import Serializer

MOST_NAMED = 20


class Form(Serializer[object]):
    """A request body. What is no field of it is a 400 that names the field and those there are."""

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
        known = [name for name, field in self.fields.items() if not field.read_only]
        names = [str(name)[:100] for name in data if name not in known][:MOST_NAMED]
        text = f"There is no such field. Known: {', '.join(known)}." if known else "There is no such field."
        return {name: [text] for name in names}


class Nothing(Form):
    """The body of a step that takes nothing: none, or an empty object."""


class FormSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """How forms show in the document: they have no further properties."""

    target_class = "sysops.api.forms.Form"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, object]:
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)  # type: ignore[no-untyped-call]
        return {**schema, "additionalProperties": False}


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
