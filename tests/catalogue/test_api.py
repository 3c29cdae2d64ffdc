"""The catalogue over HTTP."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from catalogue import services
from catalogue.models import Environment, Host, Person, Service, Team
from catalogue.rules import State
from sysops.access.actors import Actor
from sysops.access.models import AuditEntry
from sysops.access.roles import Role
from sysops.access.services import create_token

pytestmark = pytest.mark.django_db

BY = Actor.system()
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOT = "/api/system"
Client = Callable[[Role], APIClient]


@pytest.fixture
def client_of() -> Client:
    """A client with a token of the given role."""

    def make(role: Role) -> APIClient:
        _, text = create_token(f"{role} for tests", role=role, ttl=None, by=BY, at=NOW)
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
        return client

    return make


@pytest.fixture
def admin(client_of: Client) -> APIClient:
    return client_of(Role.ADMIN)


def make(model: type[services.Row], slug: str, /, **values: object) -> services.Row:
    return services.create(model, {"slug": slug, "name": slug.title(), **values}, by=BY, at=NOW)


def test_a_service_is_added_read_changed_and_deleted(admin: APIClient) -> None:
    make(Team, "ops")
    make(Service, "shop-db")
    body = {
        "slug": "shop",
        "name": "Shop",
        "kind": "website",
        "tier": 1,
        "owner_team": "ops",
        "depends_on": ["shop-db"],
    }

    added = admin.post(f"{ROOT}/services", body)

    assert added.status_code == 201
    assert {**body, "state": "normal"}.items() <= added.json().items()
    assert admin.get(f"{ROOT}/services/shop").json() == added.json()
    changed = admin.patch(f"{ROOT}/services/shop", {"tier": 2, "depends_on": []})
    assert (changed.status_code, changed.json()["tier"], changed.json()["depends_on"]) == (200, 2, [])
    assert admin.delete(f"{ROOT}/services/shop").status_code == 204
    assert admin.get(f"{ROOT}/services/shop").status_code == 404


def test_teams_people_hosts_and_environments_are_kept_the_same_way(admin: APIClient) -> None:
    User.objects.create_user("ada")
    contacts = [{"channel": "sms", "address": "+4930123456"}, {"channel": "email", "address": "ada@example.org"}]
    rows: dict[str, dict[str, object]] = {
        "environments/staging": {"slug": "staging", "name": "Staging", "is_production": False},
        "hosts/web-1.example.org": {"name": "web-1.example.org", "environment": "staging", "description": "Left rack"},
        "people/ada": {"slug": "ada", "name": "Ada", "time_zone": "Europe/Berlin", "contacts": contacts, "user": "ada"},
        "teams/ops": {"slug": "ops", "name": "Ops", "lead": "ada", "members": ["ada"]},
    }
    for address, body in rows.items():
        added = admin.post(f"{ROOT}/{address.split('/')[0]}", body)
        assert added.status_code == 201, added.json()
        assert body.items() <= admin.get(f"{ROOT}/{address}/").json().items()

    assert admin.patch(f"{ROOT}/people/ada", {"contacts": contacts[1:]}).json()["contacts"] == contacts[1:]
    for address in reversed(rows):
        assert admin.delete(f"{ROOT}/{address}").status_code == 204


def test_a_slug_that_is_left_out_is_made_from_the_name(admin: APIClient) -> None:
    assert admin.post(f"{ROOT}/services", {"name": "Shop database"}).json()["slug"] == "shop-database"
    assert "slug" in admin.post(f"{ROOT}/services", {"name": "店"}).json()["errors"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"depends_on": ["nowhere"]}, "depends_on"),
        ({"depends_on": "shop-db"}, "depends_on"),
        ({"owner_team": "nobody"}, "owner_team"),
        ({"environment": "mars"}, "environment"),
        ({"kind": "spaceship"}, "kind"),
        ({"tier": 0}, "tier"),
        ({"slug": "Not A Slug"}, "slug"),
        ({"name": ""}, "name"),
    ],
)
def test_what_is_wrong_with_a_service_is_named_by_field(admin: APIClient, body: dict[str, object], field: str) -> None:
    answer = admin.post(f"{ROOT}/services", {"slug": "shop", "name": "Shop", **body})

    assert answer.status_code == 400
    assert answer["Content-Type"].startswith("application/problem+json")
    assert list(answer.json()["errors"]) == [field]


def test_a_slug_that_is_taken_and_a_cycle_are_400s(admin: APIClient) -> None:
    database = make(Service, "db")
    make(Service, "api", depends_on=[database])

    assert "slug" in admin.post(f"{ROOT}/services", {"slug": "db", "name": "Again"}).json()["errors"]
    cycle = admin.patch(f"{ROOT}/services/db", {"depends_on": ["api"]})
    assert cycle.status_code == 400
    assert "db → api → db" in cycle.json()["errors"]["depends_on"][0]


def test_what_is_in_use_answers_409_and_says_by_what(admin: APIClient) -> None:
    database = make(Service, "db")
    make(Service, "api", depends_on=[database])

    answer = admin.delete(f"{ROOT}/services/db")

    assert answer.status_code == 409
    assert answer.json()["used_by"] == ["service api"]
    assert "service api" in answer.json()["detail"]


def test_viewers_read_and_only_admins_write(client_of: Client) -> None:
    make(Service, "db")

    for role in (Role.VIEWER, Role.OPERATOR, Role.APPROVER):
        client = client_of(role)
        assert client.get(f"{ROOT}/services/db").status_code == 200
        assert client.post(f"{ROOT}/services", {"name": "x"}).status_code == 403
        assert client.patch(f"{ROOT}/services/db", {"tier": 1}).status_code == 403
        assert client.delete(f"{ROOT}/services/db").status_code == 403
    assert APIClient().get(f"{ROOT}/services").status_code == 401


def test_the_audit_log_names_the_token_that_changed_something(admin: APIClient) -> None:
    admin.post(f"{ROOT}/services", {"name": "Shop"})

    entry = AuditEntry.objects.order_by("-id")[0]
    assert (entry.action, entry.actor_kind, entry.address) == ("catalogue.service.created", "token", "127.0.0.1")
    assert entry.actor.startswith("admin for tests")


def test_services_are_found_by_what_they_are(admin: APIClient) -> None:
    team = make(Team, "ops")
    make(Service, "db", kind="database", owner_team=team)
    make(Service, "shop", kind="website", tier=1)

    def found(query: str) -> list[str]:
        answer = admin.get(f"{ROOT}/services?{query}")
        assert answer.status_code == 200, answer.json()
        return [row["slug"] for row in answer.json()["results"]]

    assert found("kind=database") == ["db"]
    assert found("tier=1") == ["shop"]
    assert found("owner_team=ops") == ["db"]
    assert found("state=normal&ordering=slug") == ["db", "shop"]
    assert admin.get(f"{ROOT}/services?kind=spaceship").status_code == 400
    assert admin.get(f"{ROOT}/services?colour=blue").status_code == 400


@pytest.mark.parametrize(
    ("address", "queries"), [("services", 2), ("teams", 2), ("people", 2), ("hosts", 1), ("environments", 1)]
)
def test_lists_cost_the_same_number_of_queries_however_long(
    admin: APIClient, address: str, queries: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    place = make(Environment, "production")
    previous: list[Service] = []
    for number in range(3):
        person = make(Person, f"p{number}", contacts=[("email", f"p{number}@example.org")])
        team = make(Team, f"t{number}", lead=person, members=[person])
        service = make(Service, f"s{number}", owner_team=team, environment=place, depends_on=previous)
        previous = [*previous, service]
        services.create(Host, {"name": f"h{number}", "environment": place}, by=BY, at=NOW)
        make(Environment, f"e{number}")
    admin.get(f"{ROOT}/{address}")  # the first use of a token is noted

    with django_assert_num_queries(2 + queries):  # the token and the count
        assert len(admin.get(f"{ROOT}/{address}").json()["results"]) >= 3


def test_the_state_cannot_be_written_over_the_api(admin: APIClient) -> None:
    make(Service, "shop")

    admin.patch(f"{ROOT}/services/shop", {"state": "down"})

    assert Service.objects.get(slug="shop").state == State.NORMAL
