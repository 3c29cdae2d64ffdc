"""Long lists of wide rows: the same pages as ever, without all of every row in the sort."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.paginator import EmptyPage
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from errors.admin.issues import IssueAdmin
from errors.models import Issue
from errors.selectors import all_issues
from sysops.pages.paging import PartByPart, part
from tests.errors.support import issue, project

pytestmark = pytest.mark.django_db


@pytest.fixture
def seven() -> list[int]:
    """The keys of seven issues, latest seen first."""
    into, now = project(), timezone.now()
    made = [issue(into, at=now - timedelta(minutes=back)) for back in range(7)]
    return [row.pk for row in made]


@pytest.mark.parametrize(("number", "start", "stop"), [(1, 0, 3), (2, 3, 6), (3, 6, 7)])
def test_pages_are_the_slices_of_the_list_in_its_order(seven: list[int], number: int, start: int, stop: int) -> None:
    page = PartByPart(all_issues(), 3).page(number)

    assert [row.pk for row in page.object_list] == seven[start:stop]
    assert (page.start_index(), page.end_index(), page.has_next()) == (start + 1, stop, number < 3)


def test_beyond_the_last_page_there_is_none_and_of_nothing_one_empty_page(seven: list[int]) -> None:
    with pytest.raises(EmptyPage):
        PartByPart(all_issues(), 3).page(4)
    assert list(PartByPart(Issue.objects.filter(pk=0), 3).page(1).object_list) == []


def test_a_part_keeps_what_the_rows_were_asked_with(seven: list[int]) -> None:
    with CaptureQueriesContext(connection) as asked:
        rows = list(part(all_issues(), 2, 4))
        names = {row.project.name for row in rows}

    assert [row.pk for row in rows] == seven[2:4]
    assert len(names) == 1
    assert len(asked) == 2, "the project came with the rows"


@pytest.mark.parametrize("url", ["admin:errors_issue_changelist", "admin:index"])
def test_only_keys_are_sorted_where_there_may_be_many_issues(
    sign_in: Callable[[str], Client], url: str, seven: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = sign_in("admin")
    monkeypatch.setattr(IssueAdmin, "list_per_page", 3)  # a list of one page is not sorted by parts
    with CaptureQueriesContext(connection) as asked:
        assert client.get(reverse(url)).status_code == 200

    limited = [query["sql"] for query in asked.captured_queries if "LIMIT" in query["sql"]]
    of_issues = [sql for sql in limited if 'FROM "errors_issue"' in sql]
    assert of_issues
    assert not [sql for sql in of_issues if "error_message" in sql.partition("FROM")[0]]
