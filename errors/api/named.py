"""Others by their slugs, in what is sent; an unknown one is refused by what it should have been."""

from typing import TypeVar

from django.db import models
from rest_framework import serializers

M = TypeVar("M", bound=models.Model)


class Named(serializers.SlugRelatedField[M]):
    """One of the rows, by its slug or another name: "There is no service 'zed'."."""

    def to_internal_value(self, data: str) -> M:
        try:
            return super().to_internal_value(data)
        except serializers.ValidationError as exc:
            if exc.get_codes() != ["does_not_exist"]:
                raise
        kind = self.get_queryset().model._meta.verbose_name  # type: ignore[union-attr]
        raise serializers.ValidationError(f"There is no {kind} {str(data)[:100]!r}.", code="does_not_exist")
