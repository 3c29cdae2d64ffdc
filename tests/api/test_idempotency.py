"""`Idempotency-Key`: asked twice, done once."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from rest_framework.test import APIClient

from sysops.access import services
from sysops.access.models import ApiToken
from sysops.api import answers, idempotency
from sysops.api.models import Answer
from tests.api.test_contract import NEW, TOKENS, is_problem

Api = Callable[[str], APIClient]


def made() -> int:
    return ApiToken.objects.filter(name="ci").count()


def post(client: APIClient, body: dict[str, object] = NEW, *, key: str = "k1", path: str = TOKENS) -> Any:
    return client.post(path, body, headers={"idempotency-key": key})


@pytest.mark.django_db
def test_the_same_key_and_body_is_done_once_and_answered_alike(api: Api) -> None:
    client = api("admin")

    first, second, third = post(client), post(client), post(client, path=TOKENS + "/")

    assert made() == 1
    assert first.status_code == second.status_code == third.status_code == 201
    assert first.json() == second.json() == third.json()
    assert first["Location"] == second["Location"]
    assert "Idempotency-Replayed" not in first
    assert second["Idempotency-Replayed"] == "true"


@pytest.mark.django_db
def test_the_order_of_names_in_the_body_is_no_difference(api: Api) -> None:
    client = api("admin")
    post(client)

    assert post(client, dict(reversed(NEW.items()))).status_code == 201
    assert made() == 1


@pytest.mark.django_db
def test_the_same_key_with_another_body_is_422(api: Api) -> None:
    client = api("admin")
    post(client)

    is_problem(post(client, {**NEW, "role": "operator"}), 422)
    assert made() == 1


@pytest.mark.django_db
def test_a_key_belongs_to_its_sender_and_its_address(api: Api) -> None:
    post(api("admin"))
    post(api("admin"))
    without = api("admin").post(TOKENS, NEW)

    assert without.status_code == 201
    assert made() == 3


@pytest.mark.django_db
def test_a_failed_request_is_not_kept_and_may_be_repeated(api: Api) -> None:
    client = api("admin")

    is_problem(post(client, {**NEW, "role": "king"}), 400)

    assert post(client).status_code == 201
    assert Answer.objects.count() == 1


@pytest.mark.django_db
def test_a_secret_in_the_answer_is_stored_sealed(api: Api) -> None:
    plain = post(api("admin")).json()["token"]

    assert plain not in str(list(Answer.objects.values()))


@pytest.mark.django_db
def test_whoever_lost_the_right_is_not_answered_again(api: Api) -> None:
    client = api("admin")
    post(client)
    ApiToken.objects.filter(name="admin of the tests").update(role="viewer")

    is_problem(post(client), 403)


@pytest.mark.django_db
def test_after_a_day_the_key_is_free_again_and_the_answer_is_cleaned_up(api: Api) -> None:
    client = api("admin")
    post(client)
    Answer.objects.update(created_at=Answer.objects.get().created_at - timedelta(hours=24, seconds=1))

    assert "Idempotency-Replayed" not in post(client)
    assert made() == 2

    answer = Answer.objects.get()
    assert answers.clean_up(now=lambda: answer.created_at + timedelta(hours=24)) == 0
    assert answers.clean_up(now=lambda: answer.created_at + timedelta(hours=25)) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", "a b", "x" * 201, "é"])
def test_a_key_that_is_none_is_400(api: Api, key: str) -> None:
    body = is_problem(post(api("admin"), key=key), 400)

    assert list(body["errors"]) == ["Idempotency-Key"]
    assert made() == 0


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_one_is_done_and_both_get_its_answer(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    slowly(monkeypatch)

    answers = at_once(api("admin"), times=4)

    assert made() == 1
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["token"] for answer in answers}) == 1


@pytest.mark.django_db(transaction=True)
def test_whoever_waits_too_long_for_the_first_gets_409(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = threading.Event()
    slowly(monkeypatch, until=refused)
    monkeypatch.setattr(idempotency, "PATIENCE", "300ms")

    answers = at_once(api("admin"), times=2, answered=refused.set)

    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert made() == 1


@pytest.mark.django_db(transaction=True)
def test_when_the_first_fails_the_answer_is_not_kept_and_nothing_of_it_stays(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = api("admin")
    client.raise_request_exception = False
    create = services.create_token

    def fail(*args: Any, **kwargs: Any) -> None:
        create(*args, **kwargs)
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(services, "create_token", fail)
        assert post(client).status_code == 500

    assert (made(), Answer.objects.count()) == (0, 0)
    assert post(client).status_code == 201


def slowly(monkeypatch: pytest.MonkeyPatch, *, until: threading.Event | None = None) -> None:
    """Whoever creates a token takes half a second over it, or until something has happened."""
    create = services.create_token

    def slow(*args: Any, **kwargs: Any) -> Any:
        result = create(*args, **kwargs)
        until.wait(30) if until else time.sleep(0.5)
        return result

    assert Group.objects.exists()
    monkeypatch.setattr(services, "create_token", slow)


def at_once(client: APIClient, *, times: int, answered: Callable[[], None] = lambda: None) -> list[Any]:
    answers: list[Any] = []

    def ask() -> None:
        try:
            own = APIClient()
            own.credentials(**client._credentials)  # type: ignore[attr-defined]
            answers.append(post(own))
            answered()
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers
