"""What API.md promises everywhere, held against the first real endpoints: tokens and the audit log."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from sysops.access import services
from sysops.access.actors import Actor
from sysops.access.models import ApiToken, AuditEntry
from sysops.access.roles import Role
from sysops.api import problems

pytestmark = pytest.mark.django_db

Api = Callable[[str], APIClient]
TOKENS = "/api/system/tokens"
NEW = {"name": "ci", "role": "viewer", "ttl_seconds": 3600}


def is_problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert {"type", "title", "status", "detail"} <= set(body)
    assert body["status"] == status
    assert "Traceback" not in response.content.decode()
    return dict(body)


def test_both_forms_of_an_address_answer_without_a_redirect(api: Api) -> None:
    client = api("admin")

    assert client.get(TOKENS).status_code == 200
    assert client.get(TOKENS + "/").status_code == 200
    assert client.post(TOKENS + "/", NEW).status_code == 201
    key = ApiToken.objects.latest("id").pk
    assert client.get(f"{TOKENS}/{key}/").json() == client.get(f"{TOKENS}/{key}").json()
    assert client.delete(f"{TOKENS}/{key}/").status_code == 204


@pytest.mark.parametrize("authorization", [
    None, "Bearer", "Bearer ", "Bearer nonsense", "Bearer sysops_" + "x" * 43, "bearer a b", "Basic dTpw", "Token x",
    "Bearer sysops_\xe9", "Bearer " + "x" * 10_000,
])  # fmt: skip
def test_no_or_a_bad_token_is_401_and_says_how_to_sign_in(authorization: str | None) -> None:
    headers = {"authorization": authorization} if authorization is not None else {}

    response = Client().get(TOKENS, headers=headers)

    is_problem(response, 401)
    assert response["WWW-Authenticate"] == 'Bearer realm="sysops"'


@pytest.mark.parametrize("end", ["expired", "revoked"])
def test_a_token_that_ended_is_401(end: str) -> None:
    at = timezone.now() - timedelta(hours=2)
    by = Actor.cli("tests")
    row, plain = services.create_token(
        "t", role=Role.ADMIN, ttl=timedelta(hours=1) if end == "expired" else None, by=by, at=at
    )
    if end == "revoked":
        services.revoke_token(token=row, by=by, at=at)

    is_problem(Client().get(TOKENS, headers={"authorization": f"Bearer {plain}"}), 401)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [("viewer", False), ("operator", False), ("approver", False), ("security", True), ("admin", True)],
)
def test_signed_in_without_the_right_is_403(api: Api, role: str, allowed: bool) -> None:
    client = api(role)

    for address in (TOKENS, "/api/system/audit"):
        response = client.get(address)
        assert response.status_code == 200 if allowed else is_problem(response, 403)


def test_a_browser_session_works_and_must_prove_its_writes() -> None:
    user = User.objects.create_user("ann")
    user.groups.add(Group.objects.get(name="admin"))
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)

    assert browser.get(TOKENS).status_code == 200
    is_problem(browser.post(TOKENS, NEW, content_type="application/json"), 403)


@pytest.mark.parametrize(
    "path", ["/api/", "/api/nothing", "/api/system/nothing/here/", "/api/system/tokens//", "/api/x//"]
)
def test_an_address_with_nothing_behind_it_is_a_404_problem(path: str, settings: Any) -> None:
    is_problem(Client().get(path), 404)
    settings.DEBUG = True
    is_problem(Client().get(path), 404)


@pytest.mark.parametrize(
    "key", ["0", "-1", "999999999999999999999999999", "abc", "%00", "1.5", "%F0%28", "1%2F2", "１"]
)
def test_an_id_that_nothing_has_is_404(api: Api, key: str) -> None:
    is_problem(api("admin").get(f"{TOKENS}/{key}"), 404)


def test_other_methods_are_405_and_name_the_ones_that_work(api: Api) -> None:
    response = api("admin").put(TOKENS, NEW)

    is_problem(response, 405)
    assert response["Allow"] == "GET, POST, HEAD, OPTIONS"
    is_problem(api("viewer").put(TOKENS, NEW), 405)
    is_problem(api("").put(TOKENS, NEW), 401)


def test_head_is_get_without_a_body_and_options_tells_the_methods(api: Api) -> None:
    head, options = api("admin").head(TOKENS), api("viewer").options(TOKENS)

    assert (head.status_code, head.content) == (200, b"")
    assert (options.status_code, options.content) == (204, b"")
    assert options["Allow"] == "GET, POST, HEAD, OPTIONS"
    is_problem(api("").options(TOKENS), 401)


@pytest.mark.parametrize(
    "accept", ["text/html", "application/xml", "image/png", "*/*", "application/problem+json", "x"]
)
def test_whatever_is_accepted_it_is_json(api: Api, accept: str) -> None:
    response = api("admin").get(TOKENS, headers={"accept": accept})

    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "nonsense", ""])
def test_a_body_that_is_not_json_is_415(api: Api, kind: str) -> None:
    is_problem(api("admin").generic("POST", TOKENS, "x=1", content_type=kind), 415)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'[{"name": "x"}]',
        b"null",
        b"1",
        b'"x"',
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"{} {}",
    ],
)
def test_a_broken_body_is_400_and_never_500(api: Api, body: bytes) -> None:
    sent: Any = body
    is_problem(api("admin").generic("POST", TOKENS, sent, content_type="application/json"), 400)


@pytest.mark.parametrize(
    "extra",
    [
        '"n": NaN', '"n": -Infinity', '"n": 1e999', '"name": "twice"', '"n": ' + "9" * 5_000, '"n": "\\u0000"',
        '"n": "\\ud800"', '"\\ud800": 1', '"\\u0000": 1', '"x": [{"y": "\\u0000"}]', '"n": "a\\u0000\\ud800"',
    ],
)  # fmt: skip
def test_a_body_with_something_nobody_can_store_is_400_whatever_else_it_says(api: Api, extra: str) -> None:
    body = f'{{"name": "ci", "role": "viewer", {extra}}}'

    is_problem(api("admin").generic("POST", TOKENS, body, content_type="application/json"), 400)
    assert not ApiToken.objects.filter(name="ci").exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": ["x"]}, "name"),
        ({"name": {"a": 1}}, "name"),
        ({"role": "king"}, "role"),
        ({"role": ["viewer"]}, "role"),
        ({"role": 10**30}, "role"),
        ({"ttl_seconds": 0}, "ttl_seconds"),
        ({"ttl_seconds": 10**30}, "ttl_seconds"),
        ({"ttl_seconds": "soon"}, "ttl_seconds"),
        ({"ttl_seconds": 1.5}, "ttl_seconds"),
        ({"ttl_seconds": {}}, "ttl_seconds"),
    ],
)
def test_bad_input_is_400_naming_the_field(api: Api, change: dict[str, object], field: str) -> None:
    body = is_problem(api("admin").post(TOKENS, {**NEW, **change}), 400)

    assert list(body["errors"]) == [field]
    assert body["errors"][field]


def test_a_body_that_is_too_large_is_413(api: Api) -> None:
    is_problem(api("admin").post(TOKENS, {"name": "x" * 3_000_000}), 413)


def test_a_host_name_we_do_not_have_is_a_400_problem() -> None:
    is_problem(Client().get(TOKENS, headers={"host": "evil.example"}), 400)


def test_a_surprise_is_a_500_problem_that_tells_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the password is hunter2")

    client = api("admin")
    client.raise_request_exception = False
    monkeypatch.setattr(services, "revoke_token", fail)

    response = client.delete(f"{TOKENS}/{ApiToken.objects.latest('id').pk}")

    assert "hunter2" not in json.dumps(is_problem(response, 500))


def test_a_token_is_made_shown_once_listed_and_revoked(api: Api) -> None:
    client = api("admin")

    made = client.post(TOKENS, NEW)

    assert made.status_code == 201
    plain = made.json()["token"]
    key = made.json()["id"]
    assert isinstance(key, str)
    assert made["Location"] == f"{TOKENS}/{key}"
    shown = client.get(f"{TOKENS}/{key}").json()
    assert shown == {name: value for name, value in made.json().items() if name != "token"}
    assert shown["expires_at"].endswith("Z")
    assert Client().get(TOKENS, headers={"authorization": f"Bearer {plain}"}).status_code == 403

    assert client.delete(f"{TOKENS}/{key}").status_code == 204
    again = is_problem(client.delete(f"{TOKENS}/{key}"), 409)
    assert again["current_status"] == "revoked"
    assert Client().get(TOKENS, headers={"authorization": f"Bearer {plain}"}).status_code == 401


def test_security_may_revoke_but_not_make_tokens(api: Api) -> None:
    victim = ApiToken.objects.create(name="x", hash="x", role="viewer", created_at=timezone.now(), created_by="x")
    client = api("security")

    is_problem(client.post(TOKENS, NEW), 403)
    assert client.delete(f"{TOKENS}/{victim.pk}").status_code == 204


def test_a_token_made_by_a_person_is_theirs_and_audited(api: Api) -> None:
    user = User.objects.create_user("ann")
    user.groups.add(Group.objects.get(name="admin"))
    browser = Client()
    browser.force_login(user)

    made = browser.post(TOKENS, NEW, content_type="application/json").json()

    assert made["owner"] == "ann"
    entry = AuditEntry.objects.get(action="access.token.created", label__startswith="ci")
    assert (entry.actor, entry.actor_kind, entry.address) == ("ann", "user", "127.0.0.1")
    assert made["token"] not in str(AuditEntry.objects.values().get(pk=entry.pk))


def test_what_a_token_does_is_audited_under_its_name(api: Api) -> None:
    api("admin").post(TOKENS, NEW)

    entry = AuditEntry.objects.get(action="access.token.created", label__startswith="ci")
    assert entry.actor_kind == "token"
    assert entry.actor.startswith("admin of the tests (sysops_")


def test_the_audit_log_is_read_over_http(api: Api) -> None:
    client = api("security")
    newest = AuditEntry.objects.latest("id")

    listed = client.get("/api/system/audit").json()["results"][0]

    assert listed == client.get(f"/api/system/audit/{newest.pk}").json()
    assert (listed["id"], listed["action"]) == (str(newest.pk), newest.action)
    assert listed["at"].endswith("Z")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("action=shop.paid", 1),
        ("action=shop.nothing", 0),
        ("actor_kind=cli&action=shop.paid", 1),
        ("from=2026-03-01T12:00:00Z&to=2026-03-01T12:00:01Z", 1),
        ("from=2026-03-01T13:00:00%2B01:00&to=2026-03-01T12:00:01Z", 1),
        ("from=2026-03-01T12:00:01Z&action=shop.paid", 0),
        ("to=2026-03-01T12:00:00Z&action=shop.paid", 0),
        ("from=0001-01-01T00:00:00%2B23:00&to=9999-12-31T23:59:59-23:00&action=shop.paid", 1),
    ],
)
def test_filters_find(api: Api, query: str, found: int) -> None:
    from sysops.access import audit
    from tests.api.conftest import AT

    client = api("security")
    AuditEntry.objects.filter()
    audit.record("shop.paid", by=Actor.cli("x"), subject="7", at=AT)
    audit.record("shop.sent", by=Actor.cli("x"), subject="7", at=AT - timedelta(days=1))

    results = client.get(f"/api/system/audit?{query}").json()["results"]

    assert len([row for row in results if row["action"].startswith("shop")]) == found


@pytest.mark.parametrize(
    "query",
    ["colour=red", "actor_kind=king", "from=yesterday", "from=2026-03-01T12:00:00", "from=2026-03-01", "actor_kind=",
     "to=99999-01-01T00:00:00Z", "action=a&action=b",
     "page_size=0", "page_size=201",
     "page_size=-1", "page_size=many", "page_size=", "page_size=%D9%A3", "ordering=hash", "ordering=", "ordering=-",
     "cursor=nonsense", "cursor=", "cursor=bnVsbA", "action=%00", "%00=1", "from=2026-03-01T12:00:00+01:00"],
)  # fmt: skip
def test_an_unknown_parameter_or_value_is_400_naming_it(api: Api, query: str) -> None:
    body = is_problem(api("security").get(f"/api/system/audit?{query}"), 400)

    name = query.split("=")[0].replace("%00", "\ufffd")
    assert list(body["errors"]) == [name]


def test_errors_deep_in_a_body_are_named_by_their_path() -> None:
    from rest_framework.exceptions import ValidationError

    error = ValidationError({"policy": {"keep": ["Too long"]}, "checks": [{}, {"sql": ["Empty"]}], "x": "Wrong"})

    response = problems.handler(error, {})

    assert response is not None
    assert response.data["errors"] == {"policy.keep": ["Too long"], "checks.1.sql": ["Empty"], "x": ["Wrong"]}


def test_a_conflict_carries_what_the_client_needs() -> None:
    response = problems.handler(problems.Conflict("Taken", current_status="running", conflicts=["7"]), {})

    assert response is not None
    assert response.status_code == 409
    assert (response.data["current_status"], response.data["conflicts"]) == ("running", ["7"])
