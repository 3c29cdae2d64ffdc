"""A misspelt field is refused by name: every operation of the published document that takes something is tried."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from backups.services import config
from catalogue.models import Service
from errors.services import policy
from maintenance.models import Window
from sysops.access.actors import Actor
from sysops.kernel.clock import utc_now

pytestmark = pytest.mark.django_db

Api = Callable[[str], APIClient]
Part = Mapping[str, Any]
ROOT = "/api/system"
METHODS = ("post", "put", "patch")
UNKNOWN = "dry_rnu"
SERIES = {"rule": "FREQ=YEARLY", "estimated_duration_seconds": 3600, "affected_services": ["shop"]}
ROTATION = {"name": "Weekly", "people": ["ada"], "starts_on": "2027-01-04", "handover_at": "09:00:00"}
# What an address may name, as POST makes it. Rows that only work makes (backups, issues …) are not needed: a body is
# read before anybody looks for them.
ROWS: dict[str, dict[str, object]] = {
    "environments": {"slug": "live", "name": "Live"},
    "hosts": {"name": "db1"},
    "people": {"slug": "ada", "name": "Ada"},
    "teams": {"slug": "ops", "name": "Ops"},
    "services": {"slug": "shop", "name": "Shop"},
    "maintenance": {"title": "Work", "estimated_duration_seconds": 3600, "affected_services": ["shop"]},
    "maintenance-series": {"slug": "patching", "title": "Patching", **SERIES},
    "backup-sources": {"slug": "shop", "name": "Shop", "engine": "postgres", "settings": {"host": "db", "user": "b"}},
    "notification-channels": {"slug": "mail", "name": "Mail", "driver": "email"},
    "error-projects": {"slug": "shop", "name": "Shop"},
    "error-projects/shop/keys": {"label": "web"},
    "severity-rules": {"slug": "pay", "name": "Pay", "severity": "high", "conditions": {"service": "shop"}},
    "assignment-rules": {"name": "Pay", "person": "ada"},
}


@pytest.fixture
def admin(api: Api) -> APIClient:
    cache.clear()  # sign-ups are counted there
    return api("admin")


@pytest.fixture
def document(admin: APIClient) -> dict[str, Any]:
    """The document as it is published."""
    return dict(admin.get(f"{ROOT}/schema").json())


@pytest.fixture
def shop(admin: APIClient) -> None:
    """A service, its team and a window of it."""
    for path in ("people", "teams", "services", "maintenance"):
        make(admin, path)


@pytest.fixture
def keys(admin: APIClient, tmp_path: Path) -> dict[str, str]:
    """One row of each kind, by the word in front of its key in an address."""
    policy.ensure_defaults()
    config.ensure_defaults(backup_dir=str(tmp_path), by=Actor.cli("tests"), at=utc_now())
    return {"severity-levels": "high", **{path.split("/")[-1]: make(admin, path) for path in ROWS}}


def make(admin: APIClient, path: str) -> str:
    """The key of a new row."""
    tomorrow = (utc_now() + timedelta(days=1)).isoformat()
    times = {"maintenance": "scheduled_start_time", "maintenance-series": "first_start_time"}
    answer = admin.post(f"{ROOT}/{path}", {**ROWS[path], **({times[path]: tomorrow} if path in times else {})})
    assert answer.status_code == 201, (path, answer.content)
    made = answer.json()
    return str(made.get("slug") or made.get("id") or made["name"])


def taking(document: Part) -> Iterator[tuple[str, str, Part]]:
    """Method, address and description of every operation that may have a body."""
    for path, item in document["paths"].items():
        yield from ((method, path, item[method]) for method in METHODS if method in item)


def open_parts(schema: Part, document: Part, where: str = "body") -> Iterator[str]:
    """Where `schema` has an object with fixed fields that lets others in."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    for part in (*schema.get("allOf", ()), *schema.get("oneOf", ()), *schema.get("anyOf", ())):
        yield from open_parts(part, document, where)
    if "items" in schema:
        yield from open_parts(schema["items"], document, f"{where}[]")
    if schema.get("properties") and schema.get("additionalProperties") is not False:
        yield where
    for name, part in schema.get("properties", {}).items():
        yield from open_parts(part, document, f"{where}.{name}")


def refused(answer: Any) -> dict[str, list[str]]:
    """The texts by field of a 400."""
    assert answer.status_code == 400, answer.content
    return dict(answer.json()["errors"])


def test_every_operation_refuses_a_field_it_does_not_know_by_name(
    admin: APIClient, document: Part, keys: Mapping[str, str]
) -> None:
    def address(path: str) -> str:
        return re.sub(r"([\w-]+)/\{\w+\}", lambda found: f"{found[1]}/{keys.get(found[1], '1')}", path)

    tried, passed_over = 0, {}
    for method, path, _ in taking(document):
        answer = getattr(admin, method)(address(path), {UNKNOWN: True})
        tried += 1
        text = str(answer.json()["errors"].get(UNKNOWN)) if answer.status_code == 400 else ""
        if "There is no such " not in text:
            passed_over[f"{method} {path}"] = answer.content.decode()[:300]

    assert passed_over == {}
    assert tried >= 55


def test_the_document_says_of_every_body_and_what_is_in_it_that_there_is_no_more(document: Part) -> None:
    found = {}
    for method, path, operation in taking(document):
        if "requestBody" in operation:
            (schema,) = (content["schema"] for content in operation["requestBody"]["content"].values())
            found[f"{method} {path}"] = list(open_parts(schema, document)) if len(schema) else ["body"]

    assert {operation: parts for operation, parts in found.items() if parts} == {}
    assert len(found) >= 45


def test_answers_may_get_further_fields(document: Part) -> None:
    for path, item in document["paths"].items():
        for content in item.get("get", {}).get("responses", {}).get("200", {}).get("content", {}).values():
            shown = content["schema"].get("$ref", "").rsplit("/", 1)[-1]
            assert "additionalProperties" not in document["components"]["schemas"].get(shown, {}), path


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("post", "maintenance", {"gates": [{"gate": "fresh_backup"}, {"gate": "x", "setings": {}}]}, "gates.1.setings"),
        ("patch", "maintenance/1", {"gates": [{"gate": "fresh_backup", "prepaer": True}]}, "gates.0.prepaer"),
        ("post", "maintenance-series", {"gates": [{"gate": "x", "setings": {}}]}, "gates.0.setings"),
        ("post", "people", {"contacts": [{"channel": "email", "adress": "a@b.example"}]}, "contacts.0.adress"),
        ("put", "teams/ops/rota", {"rotations": [{**ROTATION, "turn_dyas": 1}]}, "rotations.0.turn_dyas"),
        ("post", "catalogue", {"services": [{"slug": "a", "name": "A", "teir": 1}]}, "services[0].teir"),
    ],
)
def test_a_field_nobody_knows_is_named_where_it_stands_inside_a_body(
    admin: APIClient, method: str, path: str, body: dict[str, object], field: str
) -> None:
    texts = refused(getattr(admin, method)(f"{ROOT}/{path}", body))[field]

    assert "Known: " in texts[0]


@pytest.mark.usefixtures("shop")
def test_the_text_says_what_there_is_and_the_rest_is_named_too(admin: APIClient) -> None:
    body = {"person": "ada", "start_at": "2027-01-01T00:00:00Z", "ends_at": 5}

    assert refused(admin.post(f"{ROOT}/teams/ops/overrides", body)) == {
        "starts_at": ["This field is required."],
        "ends_at": ["Must be a string."],
        "start_at": ["There is no such field. Known: person, starts_at, ends_at, reason."],
    }


@pytest.mark.usefixtures("shop")
def test_nothing_is_done_for_a_body_with_a_field_too_many(admin: APIClient) -> None:
    window = Window.objects.get()

    refused(admin.put(f"{ROOT}/maintenance/{window.pk}/start", {"at": "2027-01-01T00:00:00Z"}))
    refused(admin.patch(f"{ROOT}/maintenance/{window.pk}", {"title": "Other", "scheduled_start": "2027-01-01"}))

    window.refresh_from_db()
    assert (window.status, window.title) == ("scheduled", "Work")


@pytest.mark.usefixtures("shop")
def test_what_is_only_shown_cannot_be_set_and_the_answer_says_so(admin: APIClient) -> None:
    shown = admin.get(f"{ROOT}/services/shop").json()

    errors = refused(admin.patch(f"{ROOT}/services/shop", {**shown, "state": "down"}))

    assert sorted(errors) == ["created_at", "state", "state_reason", "state_until"]
    assert errors["state"][0].startswith("Is read-only. Known: slug, name, kind, ")
    assert Service.objects.get().state == "normal"
    settable = {name: value for name, value in shown.items() if name not in errors}
    assert admin.patch(f"{ROOT}/services/shop", settable).status_code == 200


@pytest.mark.usefixtures("shop")
def test_a_rota_can_be_put_back_as_it_was_shown(admin: APIClient) -> None:
    address = f"{ROOT}/teams/ops/rota"
    assert admin.put(address, {"rotations": [ROTATION]}).status_code == 200
    shown = admin.get(address).json()

    assert admin.put(address, shown).json() == shown
