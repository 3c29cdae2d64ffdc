"""Many accounts are estimated, within what the documents promise."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import cardinality

hashes = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=200)


def spread(count: int, seed: int) -> list[int]:
    chance = random.Random(seed)
    return [chance.getrandbits(64) - 2**63 for _ in range(count)]


@pytest.mark.parametrize("count", [1_001, 2_000, 5_000, 10_000, 20_000, 50_000, 200_000])
def test_the_estimate_is_within_four_standard_errors(count: int) -> None:
    estimate = cardinality.estimate(cardinality.sketch(spread(count, seed=count)))

    assert estimate == pytest.approx(count, rel=4 * 0.0115)


def test_the_estimate_leans_to_neither_side() -> None:
    shares = [cardinality.estimate(cardinality.sketch(spread(3_000, seed))) / 3_000 for seed in range(60)]

    assert sum(shares) / len(shares) == pytest.approx(1, abs=0.005)


def test_nobody_counts_as_nobody() -> None:
    assert cardinality.estimate(cardinality.sketch([])) == 0


@given(hashes)
@settings(max_examples=30, deadline=None)
def test_meeting_somebody_again_changes_nothing(found: list[int]) -> None:
    once = cardinality.sketch(found)

    assert cardinality.sketch(found[::-1], into=once) == once


@given(hashes, hashes)
@settings(max_examples=30, deadline=None)
def test_a_union_is_the_sketch_of_both(one: list[int], other: list[int]) -> None:
    both = cardinality.union([cardinality.sketch(one), cardinality.sketch(other)])

    assert both == cardinality.sketch([*one, *other]) == cardinality.sketch(other, into=cardinality.sketch(one))
