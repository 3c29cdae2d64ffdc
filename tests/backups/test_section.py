"""The section `backups` of reports: what ran in the span, and what there was to go back to."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from backups.engines.base import EngineError
from backups.models import Source
from backups.section import backups_during
from catalogue.models import Dependency, Service
from catalogue.sections import Span
from tests.backups.support import START, Hands, make_policy, make_source

pytestmark = pytest.mark.django_db(transaction=True)

OPENS, CLOSES = START + timedelta(hours=2), START + timedelta(hours=4)


@pytest.fixture
def shop() -> Source:
    """The source of shop-db, on which the service shop stands."""
    below = Service.objects.create(slug="shop-db", name="Shop database")
    above = Service.objects.create(slug="shop", name="Shop")
    Dependency.objects.create(service=above, requires=below)
    return make_source("shop", service=below, policy=make_policy(max_attempts=1))


def during(*services: str, starts: datetime = OPENS, ends: datetime = CLOSES) -> Mapping[str, object]:
    return backups_during(Span(starts, ends, services))


def pass_time(hands: Hands) -> None:
    hands.later(minutes=10)


def rows(found: Mapping[str, object], name: str) -> list[dict[str, object]]:
    listed = found[name]
    assert isinstance(listed, list)
    return listed


def ids(found: Mapping[str, object], name: str) -> list[object]:
    return [row["id"] for row in rows(found, name)]


def test_backups_that_ran_in_the_span_are_told_oldest_first_and_those_before_and_after_are_not(
    shop: Source, hands: Hands
) -> None:
    before = hands.verified(hands.taken(shop))
    hands.later(hours=3)
    inside = [hands.verified(hands.taken(shop)), hands.taken(shop)]
    hands.later(hours=3)
    hands.taken(shop)

    found = during("shop")

    assert ids(found, "taken") == [str(backup.pk) for backup in inside]
    assert ids(found, "before") == [str(before.pk)]
    assert found["count"] == 2


def test_a_backup_says_how_it_ended_and_what_verification_says(shop: Source, hands: Hands) -> None:
    hands.later(hours=3)
    hands.verified(hands.taken(shop))
    hands.engine.failures = [EngineError("disk on fire", permanent=True)]
    hands.taken(shop)

    good, bad = rows(during("shop-db"), "taken")

    assert (good["status"], good["verification"], good["completed_at"]) == (
        "succeeded",
        "passed",
        "2026-03-01T15:00:00Z",
    )
    assert (bad["status"], bad["failure_reason"]) == ("failed", "disk on fire")


def test_one_that_runs_across_the_edge_belongs_to_both_sides(shop: Source, hands: Hands) -> None:
    hands.at = OPENS - timedelta(minutes=5)
    hands.engine.during = lambda control: pass_time(hands)
    backup = hands.taken(shop)

    assert ids(during("shop"), "taken") == [str(backup.pk)]
    assert ids(during("shop", starts=START, ends=OPENS), "taken") == [str(backup.pk)]


def test_without_a_source_the_count_is_not_known_and_says_why(hands: Hands) -> None:
    Service.objects.create(slug="cache", name="Cache")

    found = during("cache")

    assert (found["count"], found["taken"]) == (None, [])
    assert "No backup source belongs" in str(found["why"])


def test_the_section_takes_five_queries_however_many_backups(
    shop: Source, hands: Hands, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    hands.taken(shop)
    hands.later(hours=3)
    for _ in range(4):
        hands.taken(shop)

    with django_assert_num_queries(5):
        assert during("shop")["count"] == 4
