"""Which release comes after which, and which brings a resolved issue back."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors.releases import History, Resolved, Seen, brings_back, newest, order, parse

START = datetime(2027, 1, 13, tzinfo=UTC)
DAY = timedelta(days=1)
RESOLVED = START + 10 * DAY


def seen(version: str, day: int | None = 0) -> Seen:
    return Seen(version, None if day is None else START + day * DAY)


@pytest.mark.parametrize(
    "rising",
    [
        ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"],
        ["1.0.0-beta.11", "1.0.0-rc.1", "1.0.0"],
        ["1.0.dev3", "1.0a1", "1.0b2", "1.0rc1", "1.0", "1.0.post1", "1.1"],
        ["shop@1.9.0", "shop@1.9.1", "shop@1.10.0"],
        ["2026.12.31", "2027.1.4", "2027.01.13"],
        ["20261231", "20270104"],
        ["v1.2", "1.3", "v2"],
        ["com.shop@1.2.3+45", "com.shop@1.2.3+46", "com.shop@1.2.3+100"],
        ["1.2-SNAPSHOT", "1.2", "1.2-hotfix.1", "1.2.1"],
        ["v1.2.3-rc1", "v1.2.3", "v1.2.3-9-g0b77e21", "v1.2.3-45-gf3a9c1d-dirty", "v1.2.4-rc1-2-gabc1234", "v1.2.4"],
    ],
)
def test_versions_are_ordered_as_versions_whenever_they_were_seen(rising: list[str]) -> None:
    last_first = [seen(version, -day) for day, version in enumerate(rising)]
    for older, newer in pairwise(last_first):
        assert order(older, newer) < 0 < order(newer, older), f"{older.version} is older than {newer.version}"
    assert newest(last_first) == last_first[-1]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("f3a9c1d", "0b77e21"),
        ("shop@9.0", "blog@1.0"),
        ("4821937", "1000000"),
        ("release-friday", "release-again"),
        ("1.0", "1.0.0"),
        ("9.0", "7e3f0c1d"),
    ],
)
def test_what_cannot_be_compared_is_ordered_by_when_it_was_seen(first: str, then: str) -> None:
    assert order(seen(first, 0), seen(then, 1)) < 0
    assert order(seen(first, 1), seen(then, 0)) > 0
    assert order(seen(first, 5), seen(then, None)) < 0, "one that was never seen is still to come"


def test_a_release_is_itself() -> None:
    assert order(seen("1.0", 0), seen("1.0", 5)) == 0


@given(one=st.text(max_size=40), other=st.text(max_size=40), days=st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_of_any_two_one_is_older(one: str, other: str, days: tuple[int, int]) -> None:
    first, then = seen(one, days[0]), seen(other, days[1])
    assert (order(first, then) == 0) == (one == other)
    assert (order(first, then) > 0) == (order(then, first) < 0)


@given(st.from_regex(r"([a-z.]{1,10}@)?v?\d{1,4}(\.\d{1,4}){1,3}([-.+][0-9a-zA-Z][0-9a-zA-Z.]{0,9})?", fullmatch=True))
def test_versions_are_read(version: str) -> None:
    assert parse(version) is not None


def back(
    release: str, *, fixed: str = "", in_next: bool = False, after: bool = True, known: list[Seen] | None = None
) -> bool:
    return brings_back(
        Resolved(RESOLVED, fixed, in_next),
        release=release,
        occurred_at=RESOLVED + (DAY if after else -DAY),
        history=History(known if known is not None else [seen("1.0", 0), seen("1.1", 5), seen("1.2", 12)]),
    )


def test_resolved_in_a_release_it_is_back_with_that_one_and_later_ones() -> None:
    assert [back(release, fixed="1.1") for release in ("1.0", "1.1", "1.2")] == [False, True, True]


def test_resolved_in_the_next_release_only_later_ones_bring_it_back() -> None:
    assert [back(release, fixed="1.1", in_next=True) for release in ("1.0", "1.1", "1.2")] == [False, False, True]
    assert not back("", fixed="1.1", in_next=True), "it does not say that it is the next one"


def test_just_resolved_the_newest_of_that_time_and_later_ones_bring_it_back() -> None:
    assert [back(release) for release in ("1.0", "1.1", "1.2")] == [False, True, True]


def test_a_release_that_was_not_seen_when_it_was_named_is_waited_for() -> None:
    assert not back("f3a9c1d", fixed="0b77e21", known=[seen("f3a9c1d", 1)])
    assert back("0b77e21", fixed="0b77e21", known=[seen("f3a9c1d", 1), seen("0b77e21", 11)])
    assert back("9d00aa1", fixed="0b77e21", known=[seen("0b77e21", 11), seen("9d00aa1", 12)])


def test_what_occurred_before_it_was_resolved_and_waited_somewhere_does_not_bring_it_back() -> None:
    assert not back("1.1", fixed="1.1", after=False)
    assert not back("", after=False)
    assert back("1.2", fixed="1.1", after=False), "a later release is proof at any time"


def test_without_any_release_what_occurs_afterwards_brings_it_back() -> None:
    assert back("", known=[])
    assert not back("", known=[], after=False)
    assert back("1.0", known=[seen("1.0", 12)]), "none was known when it was resolved"


def test_just_resolved_it_is_back_with_the_newest_release_of_the_same_package() -> None:
    known = [seen("back@4.0", 0), seen("back@4.1", 3), seen("front@1.3", 9)]

    assert [back(release, known=known) for release in ("back@4.0", "back@4.1", "front@1.3")] == [False, True, True]
    assert back("Back@4.2", known=[*known, seen("Back@4.2", 12)])
    assert back("tools@abc1234", known=[*known, seen("tools@abc1234", 12)]), "none of its package was known"
    assert not back("tools@abc1234", after=False, known=[*known, seen("tools@abc1234", 10)])


def test_commits_of_two_packages_do_not_make_each_other_old() -> None:
    known = [seen("back@0b77e21", 3), seen("front@f3a9c1d", 9)]

    assert back("back@0b77e21", known=known)
    assert not back("back@0b77e21", after=False, known=known)
