"""Parts of long lists whose rows are wide."""

from typing import TypeVar

from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)


def part(rows: "QuerySet[Row, Row]", start: int, stop: int) -> "QuerySet[Row, Row]":
    """The rows from `start` up to `stop`, in their order. Their keys are found first, with a query of its own.

    PostgreSQL carries every column of every row, those of the joined tables too, through the sort; keys are light.
    """
    return rows.filter(pk__in=list(rows.values_list("pk", flat=True)[start:stop]))


class PartByPart(Paginator[Row]):
    """Pages of a list in the admin, each found by `part`."""

    object_list: "QuerySet[Row, Row]"

    def page(self, number: int | str) -> Page[Row]:
        """The page of this number. Raises InvalidPage as Paginator does."""
        page = super().page(number)
        start = (page.number - 1) * self.per_page
        page.object_list = part(self.object_list, start, start + self.per_page)
        return page
