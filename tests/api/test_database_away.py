"""While PostgreSQL is away the API says so and when to ask again; other trouble with it stays a surprise."""

from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from django.db import OperationalError, close_old_connections, connection
from django.test import RequestFactory
from rest_framework.test import APIClient

from sysops.access import services
from sysops.api.problems import server_error

pytestmark = pytest.mark.django_db(transaction=True)

Api = Callable[[str], APIClient]
TOKENS = "/api/system/tokens"
NOBODY_LISTENS_THERE = 1


@pytest.fixture
def client(api: Api) -> APIClient:
    found = api("admin")
    found.raise_request_exception = False
    return found


@pytest.fixture(autouse=True)
def _a_connection_for_the_next_test() -> Iterator[None]:
    yield
    connection.close()


@pytest.fixture
def gone(client: APIClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No connection, and none to be had."""
    connection.close()
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
        patch.setitem(connection.settings_dict, "PORT", NOBODY_LISTENS_THERE)
        yield


def doing(sql: str) -> Callable[..., None]:
    """A service that sends this to the database."""

    def do(*_: object, **__: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql)

    return do


@pytest.mark.parametrize("signed_in_by", ["token", "session"])
def test_a_request_while_the_database_is_away_is_503_and_says_when_to_ask_again(
    client: APIClient, gone: None, signed_in_by: str
) -> None:
    if signed_in_by == "session":
        client.credentials()
        client.cookies[settings.SESSION_COOKIE_NAME] = "somebody"

    answer = client.get(TOKENS)

    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == 503
    assert "127.0.0.1" not in answer.content.decode()


def test_what_is_no_api_view_says_so_too(gone: None) -> None:
    try:
        doing("SELECT 1")()
    except OperationalError:  # Django calls its handler500 while it handles what a view has raised
        answer = server_error(RequestFactory().get("/api/system/anything"))

    assert (answer.status_code, answer["Retry-After"]) == (503, "5")


def test_a_connection_lost_in_the_middle_of_a_request_is_503(
    client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "revoke_token", doing("SELECT pg_terminate_backend(pg_backend_pid())"))
    key = client.get(TOKENS).json()["results"][0]["id"]

    assert client.delete(f"{TOKENS}/{key}").status_code == 503
    close_old_connections()  # as Django does between requests; its test client does not
    assert client.get(TOKENS).status_code == 200, "the next request has a connection of its own"


@pytest.mark.parametrize(
    "sql",
    [
        "DO $$ BEGIN RAISE query_canceled; END $$",  # as a time-out of a statement does
        "DO $$ BEGIN RAISE lock_not_available; END $$",
        "DO $$ BEGIN RAISE deadlock_detected; END $$",
        "SELECT 1 FROM nowhere",
    ],
)
def test_other_trouble_with_the_database_stays_a_500(
    client: APIClient, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    monkeypatch.setattr(services, "revoke_token", doing(sql))
    key = client.get(TOKENS).json()["results"][0]["id"]

    assert client.delete(f"{TOKENS}/{key}").status_code == 500
