"""What people type into the search box: understood, or refused with a reason."""

from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors.search import NAMES, BadQuery, Term, age, comparison, event_id, parse


def terms(text: str) -> list[Term]:
    return list(parse(text).terms)


def test_words_are_free_text_and_each_must_be_found() -> None:
    assert terms("payment  timeout") == [Term("", "payment"), Term("", "timeout")]


def test_quoted_text_is_one_term() -> None:
    assert terms('"could not connect" shop') == [Term("", "could not connect", literal=True), Term("", "shop")]


def test_a_quotation_mark_inside_is_escaped_with_a_backslash() -> None:
    assert terms(r'"said \"no\""') == [Term("", 'said "no"', literal=True)]


def test_a_name_and_a_value_are_a_condition() -> None:
    assert terms("severity:critical,high") == [Term("severity", "critical,high")]
    assert terms("severity:critical,high")[0].values == ("critical", "high")


def test_a_name_that_is_not_ours_is_a_tag() -> None:
    (term,) = terms('area:"card payment"')

    assert (term.is_tag, term.tag, term.value) == (True, "area", "card payment")


def test_a_tag_named_like_one_of_our_names_is_reached_by_its_prefix() -> None:
    (term,) = terms("tag.type:card")

    assert (term.is_tag, term.tag) == (True, "type")


def test_the_case_of_our_names_does_not_matter_and_that_of_tags_does() -> None:
    assert [term.key for term in terms("Severity:high Area:payment")] == ["severity", "Area"]


def test_an_exclamation_mark_negates() -> None:
    assert terms('!browser:Firefox !"not this"') == [
        Term("browser", "Firefox", negated=True),
        Term("", "not this", negated=True, literal=True),
    ]


@pytest.mark.parametrize("text", ["https://shop.example/cart", "std::io::Error", r"C:\Users", "KeyError:", ":x", "a:"])
def test_what_only_looks_like_a_condition_is_text(text: str) -> None:
    assert terms(text) == [Term("", text)]


@pytest.mark.parametrize("text", ['"open', 'a "b', '!"', "!"])
def test_a_search_that_is_not_finished_yet_does_not_fail(text: str) -> None:
    parse(text)


def test_an_empty_search_has_no_terms() -> None:
    assert terms("") == terms('  "" ') == []


def test_an_asterisk_stands_for_any_text_and_everything_else_for_itself() -> None:
    assert terms("url:*/cart?id=*")[0].pattern == r"^.*/cart\?id=.*$"
    assert terms('url:"*"')[0].pattern is None
    assert terms("url:/cart")[0].pattern is None


def test_an_asterisk_in_a_word_stands_for_any_text_unless_it_is_quoted() -> None:
    assert terms("Time*out")[0].part == "time.*out"
    assert terms("time*")[0].part == "time"
    assert terms('"time*"')[0].part is terms("time")[0].part is terms("*")[0].part is None


def test_a_name_in_quotes_is_text() -> None:
    assert terms('"is:" "status:"') == [Term("", "is:", literal=True), Term("", "status:", literal=True)]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("is:broken", "open"),
        ("is:", "Write is:open without a blank"),
        ("timeout !is: open", "Write is:open"),
        ("Status:", "Write status:unresolved"),
        ("status:closed", "resolved"),
        ("severity:critical,awful", "medium"),
        ("level:loud", "fatal"),
        ("events:many", ">100"),
        ("accounts:>=", ">100"),
        ("age:24h", "<24h"),
        ("seen:>2y", ">7d"),
        ("event:123", "32 hexadecimal digits"),
        ("x" * 1001, "1,000"),
        ("a " * 21, "20"),
        ("a\0b", "NUL"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_can(text: str, hint: str) -> None:
    with pytest.raises(BadQuery, match=hint):
        parse(text)


def test_counts_and_ages_are_read() -> None:
    assert [comparison(text) for text in (">5", ">=5", "<5", "<=5", "5")] == [
        ("gt", 5), ("gte", 5), ("lt", 5), ("lte", 5), ("exact", 5),
    ]  # fmt: skip
    assert age("<30m") == ("<", timedelta(minutes=30))
    assert age(">99999w") == (">", timedelta(weeks=99999))


def test_the_id_of_an_event_is_known_with_and_without_hyphens() -> None:
    known = UUID("0123456789abcdef0123456789abcdef")

    assert event_id(known.hex) == event_id(str(known)) == known
    assert event_id("0123456789abcdef") is None


@given(st.text(max_size=200))
def test_any_text_is_understood_or_refused(text: str) -> None:
    with suppress(BadQuery):
        assert all(term.value for term in terms(text))


@given(st.sampled_from(NAMES), st.text(max_size=30))
def test_any_value_of_our_names_is_understood_or_refused(name: str, value: str) -> None:
    with suppress(BadQuery):
        assert all(term.value for term in terms(f"{name}:{value}"))
