"""JSON is taken at its word: nothing is turned into another type on the way in."""

import pytest
from rest_framework import serializers as drf

from sysops.api.serializers import Serializer


class Form(Serializer[object]):
    name = drf.CharField(required=False, allow_null=True)
    count = drf.IntegerField(required=False)
    share = drf.FloatField(required=False)
    on = drf.BooleanField(required=False)
    kind = drf.ChoiceField(choices=["a", "b"], required=False)
    tier = drf.ChoiceField(choices=[1, 2], required=False)
    names = drf.ListField(child=drf.CharField(), required=False)
    options = drf.DictField(required=False)
    when = drf.DateTimeField(required=False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 0), ("name", True), ("name", ["x"]), ("count", "4"), ("count", True), ("count", 1.0), ("count", ""),
        ("share", "0.5"), ("share", False), ("on", 0), ("on", "true"), ("on", []), ("kind", 1), ("kind", {}),
        ("tier", "1"), ("tier", True), ("names", "x"), ("names", {}), ("names", [1]), ("names", [None]),
        ("options", []), ("when", 0),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(field: str, value: object) -> None:
    form = Form(data={field: value})

    assert not form.is_valid()
    assert list(form.errors) == [field]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "0"), ("name", None), ("count", 4), ("share", 1), ("share", 0.5), ("on", False), ("kind", "a"),
        ("tier", 1), ("names", ["x"]), ("names", []), ("options", {"a": 1}), ("when", "2026-01-01T00:00:00Z"),
    ],
)  # fmt: skip
def test_a_value_of_the_right_type_passes(field: str, value: object) -> None:
    assert Form(data={field: value}).is_valid()
