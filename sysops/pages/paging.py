"""Parts of long lists whose rows are wide.

PostgreSQL carries every column of every row, those of the joined tables too, through a sort; keys are light.
"""

from functools import cached_property
from typing import TypeVar

from django.core.paginator import Page, Paginator
from django.db.models import Count, Model, QuerySet, Window

Row = TypeVar("Row", bound=Model)


def part(rows: "QuerySet[Row, Row]", start: int, stop: int) -> "QuerySet[Row, Row]":
    """The rows from `start` up to `stop`, in their order. Their keys are found first, with a query of its own."""
    return rows.filter(pk__in=list(rows.values_list("pk", flat=True)[start:stop]))


class PartByPart(Paginator[Row]):
    """Pages of a list in the admin, each found by `part`; the first, which most ask for, while counting."""

    object_list: "QuerySet[Row, Row]"

    @cached_property
    def _first(self) -> list[tuple[int, int]]:
        """The keys of the first page, each with how many rows there are in all."""
        counted = self.object_list.annotate(in_all=Window(Count("pk")))
        return list(counted.values_list("pk", "in_all")[: self.per_page])

    @cached_property
    def count(self) -> int:
        """How many rows there are."""
        return self._first[0][1] if self._first else 0

    def page(self, number: int | str) -> Page[Row]:
        """The page of this number. Raises InvalidPage as Paginator does."""
        page = super().page(number)
        start = (page.number - 1) * self.per_page
        if start:
            page.object_list = part(self.object_list, start, start + self.per_page)
        else:
            page.object_list = self.object_list.filter(pk__in=[key for key, _ in self._first])
        return page
