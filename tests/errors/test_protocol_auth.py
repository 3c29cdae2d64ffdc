"""Keys and event ids, wherever and however SDKs write them."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors.protocol import auth, event_id

KEY = "0123456789abcdef0123456789abcdef"
ID = "9ec79c33ec9942ab8353589fcb2e04dc"


@pytest.mark.parametrize(
    "value",
    [
        f"Sentry sentry_key={KEY}, sentry_version=7, sentry_client=sentry.python/2.75.0",
        f"Sentry sentry_version=7,sentry_key={KEY},sentry_client=raven-java/1",
        f"sentry sentry_version=7 , sentry_key = {KEY}",
        f"Sentry sentry_key={KEY.upper()}",
        f"Sentry sentry_timestamp=1329096377, sentry_key={KEY}, sentry_secret=feed",
        f"Sentry sentry_key={KEY}:a-secret",
        f"sentry_key={KEY}",
    ],
)
def test_the_key_is_found_in_every_form_of_the_sentry_header(value: str) -> None:
    assert auth.public_key({"x-sentry-auth": value}, {}) == KEY


@pytest.mark.parametrize(
    "value",
    [f"Sentry sentry_key={KEY}, sentry_version=7", f"DSN https://{KEY}@errors.example/5", f"dsn http://{KEY}:s@h/5"],
)
def test_the_key_is_found_in_authorization(value: str) -> None:
    assert auth.public_key({"authorization": value}, {}) == KEY


def test_the_key_is_found_in_the_query() -> None:
    assert auth.public_key({}, {"sentry_key": KEY, "sentry_version": "7"}) == KEY


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"authorization": f"Bearer sentry_key={'f' * 32}"},
        {"x-sentry-auth": "Sentry sentry_version=7"},
        {"x-sentry-auth": "Sentry sentry_key=undefined"},
        {"x-sentry-auth": f"Sentry my_sentry_key={'f' * 32}"},
    ],
)
def test_what_cannot_be_a_key_does_not_hide_the_right_one(headers: dict[str, str]) -> None:
    assert auth.public_key(headers, {"sentry_key": KEY}) == KEY


def test_a_key_of_a_wrong_form_is_told_from_no_key() -> None:
    assert auth.public_key({"x-sentry-auth": "Sentry sentry_key=undefined"}, {}) == "undefined"
    assert auth.public_key({}, {}) is None
    assert auth.public_key({"x-sentry-auth": "Sentry sentry_key="}, {"sentry_key": ""}) is None


def test_a_giant_key_is_no_key() -> None:
    assert auth.public_key({"x-sentry-auth": f"Sentry sentry_key={'a' * 5_000}"}, {"sentry_key": "b" * 5_000}) is None


@pytest.mark.parametrize(
    ("dsn", "key"),
    [
        (f"https://{KEY}@errors.example/5", KEY),
        (f"https://{KEY}:secret@errors.example:9000/path/5", KEY),
        (f"http://{KEY.upper()}@[::1]:8000/5", KEY),
        ("https://errors.example/5", None),
        ("http://[broken@/5", None),
        ("", None),
        (None, None),
        (5, None),
        (["https://a@b/1"], None),
        ("https://" + "a" * 5_000 + "@b/1", None),
    ],
)
def test_the_key_of_a_dsn(dsn: object, key: str | None) -> None:
    assert auth.key_of_dsn(dsn) == key


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=200))
def test_no_header_or_query_breaks_the_search_for_a_key(one: str, other: str, query: str) -> None:
    auth.public_key({"x-sentry-auth": one, "authorization": other}, {"sentry_key": query})
    auth.public_key({"authorization": f"DSN {other}"}, {})
    auth.key_of_dsn(one)


@pytest.mark.parametrize("written", [ID, ID.upper(), "9ec79c33-ec99-42ab-8353-589fcb2e04dc"])
def test_an_event_id_is_read_with_and_without_dashes(written: str) -> None:
    assert event_id.parse(written) == UUID(ID)


@pytest.mark.parametrize(
    "written",
    [
        "",
        ID[:-1],
        ID + "0",
        ID + "\n",
        f"{{{ID}}}",
        f"urn:uuid:{ID}",
        "9ec7-9c33ec9942ab8353589fcb2e04dc---",
        "9ec79c33_ec9942ab8353589fcb2e04d",
        " 9ec79c33ec9942ab8353589fcb2e04d",
        "٩" * 32,
        "0" * 32,
        None,
        5,
        [ID],
    ],
)
def test_what_is_no_event_id_is_none(written: object) -> None:
    assert event_id.parse(written) is None
