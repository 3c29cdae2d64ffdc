"""The catalogue's decisions."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogue import rules

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = st.sampled_from("abcdef")


@pytest.mark.parametrize("slug", ["shop-db", "a", "0", "x" * 64])
def test_a_slug_is_made_of_small_letters_digits_and_hyphens(slug: str) -> None:
    assert rules.slug_problem(slug) is None


@pytest.mark.parametrize("slug", ["", "Shop", "shop db", "-shop", "shop-", "x" * 65, "shöp", "a/b", "a\n"])
def test_anything_else_is_refused_as_a_slug_with_what_is_allowed(slug: str) -> None:
    assert "lower-case" in str(rules.slug_problem(slug))


def test_a_time_zone_that_does_not_exist_is_named() -> None:
    assert rules.time_zone_problem("Europe/Berlin") is None
    assert "Mars/Base" in str(rules.time_zone_problem("Mars/Base"))
    assert rules.time_zone_problem("../etc/passwd")


@pytest.mark.parametrize(
    ("channel", "address"),
    [("email", "ada@example.org"), ("sms", "+4930123456"), ("phone", "+14155550100"), ("chat", "@ada")],
)
def test_a_person_is_reached_at_an_address_that_fits_the_channel(channel: str, address: str) -> None:
    assert rules.address_problem(channel, address) is None


@pytest.mark.parametrize(
    ("channel", "address"),
    [
        ("email", "ada"),
        ("sms", "030 123"),
        ("chat", "https://chat.example/hook/secret"),
        ("chat", " "),
        ("pigeon", "x"),
    ],
)
def test_an_address_that_cannot_reach_anybody_is_refused(channel: str, address: str) -> None:
    assert rules.address_problem(channel, address)


@given(st.dictionaries(NAMES, st.sets(NAMES, max_size=4)), NAMES)
def test_a_cycle_is_found_exactly_when_a_service_can_be_reached_from_itself(
    edges: dict[str, set[str]], start: str
) -> None:
    cycle = rules.find_cycle(edges, start=start)

    assert (cycle is not None) == (start in _reachable(edges, start))
    if cycle:
        assert cycle[0] == cycle[-1] == start
        assert all(there in edges[here] for here, there in pairwise(cycle))


def _reachable(edges: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    while True:
        more = set().union(edges.get(start, set()), *(edges.get(name, set()) for name in found))
        if more <= found:
            return found
        found |= more


def test_a_client_comes_back_when_maintenance_ends_and_soon_when_nobody_knows() -> None:
    assert rules.retry_after_seconds(until=NOW + timedelta(minutes=90), now=NOW) == 5400
    assert rules.retry_after_seconds(until=None, now=NOW) == rules.RETRY_AFTER_UNKNOWN_SECONDS
    assert rules.retry_after_seconds(until=NOW - timedelta(hours=1), now=NOW) == rules.RETRY_AFTER_UNKNOWN_SECONDS


def test_words_for_people_are_made_from_the_stored_ones() -> None:
    assert rules.label("worker_pool") == "Worker pool"
    assert rules.label("api") == "API"
    assert rules.cycle_words(["a", "b", "a"]) == "a → b → a"
