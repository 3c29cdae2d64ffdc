"""The section `errors` of reports: what failed before, during and after."""

from collections.abc import Mapping
from datetime import datetime

import pytest
from pytest_django import DjangoAssertNumQueries

from catalogue.models import Service, Team
from catalogue.sections import Span
from errors.models import Project
from errors.section import MOST_SHOWN, errors_during
from tests.errors.support import HOUR, MINUTE, NOW, grouping, issue, project, stored_event

pytestmark = pytest.mark.django_db

SPAN = Span(NOW - 2 * HOUR, NOW - HOUR, ("shop",))


@pytest.fixture
def shop() -> Project:
    """The project of the service shop."""
    team = Team.objects.create(slug="ops", name="Ops")
    return project("shop", service=Service.objects.create(slug="shop", name="Shop", owner_team=team))


def told(span: Span = SPAN, *, at: datetime = NOW) -> Mapping[str, object]:
    return errors_during(span, now=lambda: at)


def figures(found: Mapping[str, object], part: str) -> tuple[object, object, object]:
    of = found[part]
    assert isinstance(of, dict)
    return of["events"], of["issues"], of["new_issues"]


def test_events_and_issues_are_counted_before_during_and_after(shop: Project) -> None:
    old, new = (issue(shop, events=0, first_seen=first) for first in (NOW - 9 * HOUR, SPAN.starts))
    home, other = old.groupings.get(), grouping(old)
    for at in (NOW - 4 * HOUR, NOW - 3 * HOUR, NOW - 121 * MINUTE, SPAN.starts, NOW - 61 * MINUTE, SPAN.ends):
        stored_event(home, at=at)
    stored_event(other, at=NOW - 90 * MINUTE)
    stored_event(new.groupings.get(), at=SPAN.starts)

    found = told()

    assert [figures(found, part) for part in ("before", "during", "after")] == [(2, 1, 0), (4, 2, 1), (1, 1, 0)]
    assert found["issues"] == [
        {
            "id": str(row.pk), "error_type": "ValueError", "error_message": "broken", "service": "shop",
            "severity": "medium", "status": "unresolved", "new": new_one, "events_before": before,
            "events_during": during,
        }
        for row, new_one, before, during in ((old, False, 2, 3), (new, True, 0, 1))
    ]  # fmt: skip


def test_what_has_not_passed_yet_is_unknown_and_not_nothing(shop: Project) -> None:
    stored_event(issue(shop, events=0).groupings.get(), at=SPAN.starts)

    at_its_end, in_its_middle = told(at=SPAN.ends), told(at=SPAN.starts + 30 * MINUTE)

    assert at_its_end["after"] is in_its_middle["after"] is None
    assert figures(at_its_end, "during") == figures(in_its_middle, "during") == (1, 1, 0)
    assert told(at=SPAN.starts)["during"] is None


def test_services_without_a_project_have_no_figures_but_a_reason() -> None:
    found = told()

    assert (found["before"], found["during"], found["after"]) == (None, None, None)
    assert "No error project" in str(found["why"])


def test_restricted_projects_and_other_services_are_left_out(shop: Project) -> None:
    hidden = project("hidden", service=shop.service, restricted=True)
    for home in (hidden, project("other")):
        stored_event(issue(home, events=0).groupings.get(), at=SPAN.starts)

    found = told()

    assert figures(found, "during") == (0, 0, 0)
    assert found["issues"] == []


def test_many_issues_are_shown_by_the_most_frequent_ones_in_three_queries(
    shop: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(MOST_SHOWN + 2):
        made = issue(shop, events=0)
        for _ in range(2 if number == MOST_SHOWN else 1):
            stored_event(made.groupings.get(), at=SPAN.starts)

    with django_assert_num_queries(3):
        found = told()

    listed = found["issues"]
    assert isinstance(listed, list)
    assert (len(listed), found["left_off"], listed[0]["events_during"]) == (MOST_SHOWN, 2, 2)
