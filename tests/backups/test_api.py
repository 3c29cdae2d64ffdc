"""Backups over HTTP: the contract of API.md."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.test import APIClient

from backups.models import Backup, Source
from backups.rules import BackupType
from backups.services import requests
from backups.workshop import spec_of
from catalogue.models import Service
from sysops.access.actors import Actor
from sysops.access.driver_settings import split
from sysops.access.models import AuditEntry
from sysops.access.roles import Role
from sysops.access.services import create_token
from tests.backups.support import TESTER, FakeEngine, Hands, make_source

pytestmark = pytest.mark.django_db(transaction=True)
SOURCES = "/api/system/backup-sources"


def client(role: Role) -> APIClient:
    _, plain = create_token(f"test {role}", role=role, ttl=timedelta(hours=1), by=Actor.system(), at=timezone.now())
    made = APIClient()
    made.credentials(HTTP_AUTHORIZATION=f"Bearer {plain}")
    return made


@pytest.fixture
def operator() -> APIClient:
    return client(Role.OPERATOR)


@pytest.fixture
def approver() -> APIClient:
    return client(Role.APPROVER)


@pytest.fixture
def admin() -> APIClient:
    return client(Role.ADMIN)


def test_a_backup_is_asked_for_followed_and_found_again(operator: APIClient, hands: Hands) -> None:
    make_source("shop")

    answer = operator.post("/api/system/backup", {"source": "shop", "backup_type": "full"})

    assert answer.status_code == 202
    hands.at = timezone.now()
    body = answer.json()
    assert (body["source"], body["status"], body["success"], body["failure_reason"]) == ("shop", "queued", None, None)
    assert answer["Location"] == f"/api/system/backups/{body['id']}"
    hands.verified(hands.take(Backup.objects.get(pk=body["id"])))
    found = operator.get(answer["Location"]).json()
    assert (found["status"], found["success"], found["verification"]["status"]) == ("succeeded", True, "passed")
    assert found["retention"]["state"] == "online"
    assert set(found["progress"]) >= {"percent", "done_bytes", "total_bytes"}
    assert isinstance(found["id"], str)


def test_a_second_request_is_a_conflict_that_names_the_state(operator: APIClient, hands: Hands) -> None:
    make_source("shop")
    operator.post("/api/system/backup", {"source": "shop", "backup_type": "full"})

    answer = operator.post("/api/system/backup/", {"source": "shop", "backup_type": "full"})

    assert answer.status_code == 409
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["current_status"] == "queued"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "source"),
        ({"source": "nowhere", "backup_type": "full"}, "source"),
        ({"source": "shop", "backup_type": "huge"}, "backup_type"),
        ({"source": "shop"}, "backup_type"),
        ({"source": ["shop"], "backup_type": "full"}, "source"),
        ({"source": "shop\x00", "backup_type": "full"}, "source"),
        ({"source": 7, "backup_type": None}, "source"),
    ],
)
def test_bad_input_is_a_400_that_names_the_field(
    operator: APIClient, hands: Hands, body: dict[str, object], field: str
) -> None:
    make_source("shop")

    answer = operator.post("/api/system/backup", body)

    assert answer.status_code == 400
    assert field in answer.json()["errors"]
    assert not Backup.objects.exists()


def test_rights_are_held_everywhere(operator: APIClient, hands: Hands) -> None:
    backup = hands.taken(make_source("shop"))
    viewer = client(Role.VIEWER)
    order = {"source": "shop", "backup_type": "full"}

    assert APIClient().get("/api/system/backups").status_code == 401
    assert viewer.get("/api/system/backups").status_code == 200
    assert viewer.post("/api/system/backup", order).status_code == 403
    assert operator.post(f"/api/system/backups/{backup.pk}/restore", {}).status_code == 403
    assert operator.post("/api/system/backup-sources", {}).status_code == 403


def test_a_restore_is_accepted_and_a_known_bad_one_refused(approver: APIClient, hands: Hands) -> None:
    backup = hands.taken(make_source("shop"))

    answer = approver.post(f"/api/system/backups/{backup.pk}/restore", {"target": "new", "start_server": True})
    assert answer.status_code == 202
    assert approver.get(answer["Location"]).json()["target"].endswith("/restores/new")

    Backup.objects.filter(pk=backup.pk).update(verification_status="failed", verification_detail="flipped byte")
    answer = approver.post(f"/api/system/backups/{backup.pk}/restore", {})
    assert answer.status_code == 409
    assert "flipped byte" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"target": "/etc"}, "target"),
        ({"target": "../x"}, "target"),
        ({"in_place": True, "confirm": "shop"}, "in_place"),
        ({"point_in_time": "2026-01-01T00:00:00Z"}, "point_in_time"),
        ({"paths": ["a"]}, "paths"),
    ],
)
def test_a_restore_that_cannot_be_done_says_so(
    approver: APIClient, hands: Hands, body: dict[str, object], field: str
) -> None:
    backup = hands.taken(make_source("shop"))

    answer = approver.post(f"/api/system/backups/{backup.pk}/restore", body)

    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {field}


def test_a_verification_is_accepted_and_polled(operator: APIClient, hands: Hands) -> None:
    backup = hands.verified(hands.taken(make_source("shop")))

    answer = operator.post(f"/api/system/backups/{backup.pk}/verify", {})
    assert answer.status_code == 202
    hands.at = timezone.now()
    hands.verified(backup)

    found = operator.get(answer["Location"]).json()
    assert (found["status"], found["checks"][0]["passed"]) == ("passed", True)
    assert len(operator.get(f"/api/system/backups/{backup.pk}/verifications").json()) == 3


def test_could_not_verify_is_never_shown_as_verified(operator: APIClient, hands: Hands) -> None:
    hands.engine.checks = ()
    backup = hands.verified(hands.taken(make_source("shop")))

    shown = operator.get(f"/api/system/backups/{backup.pk}").json()["verification"]

    assert shown["status"] == "pending"
    assert "Could not verify" in shown["detail"]


def test_what_is_not_there_is_a_404_whatever_it_is_called(operator: APIClient, hands: Hands) -> None:
    for name in ("0", "999999", "abc", "9" * 40, "-1", "1%00", "１"):
        assert operator.get(f"/api/system/backups/{name}").status_code == 404


def test_the_list_is_filtered_and_refuses_what_it_does_not_know(operator: APIClient, hands: Hands) -> None:
    shop, blog = make_source("shop"), make_source("blog")
    hands.verified(hands.taken(shop))
    hands.taken(shop, BackupType.INCREMENTAL)
    hands.taken(blog)

    def ids(query: str) -> int:
        answer = operator.get(f"/api/system/backups?{query}")
        assert answer.status_code == 200, answer.content
        return len(answer.json()["results"])

    assert [ids("source=shop"), ids("type=incremental"), ids("status=succeeded"), ids("verified=true")] == [2, 1, 3, 1]
    assert [ids("to=2020-01-01T00:00:00Z"), ids("from=2020-01-01T00:00:00Z")] == [0, 3]
    for query in ("sorce=shop", "source=nowhere", "type=huge", "verified=yes", "from=monday", "page_size=0"):
        assert operator.get(f"/api/system/backups?{query}").status_code == 400


def test_the_list_takes_the_same_queries_for_one_backup_and_for_many(
    operator: APIClient, hands: Hands, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    source = make_source("shop")
    hands.taken(source)
    operator.get("/api/system/backups")  # writes the token's last use, once a minute
    with django_assert_num_queries(3):
        assert len(operator.get("/api/system/backups").json()["results"]) == 1
    for _ in range(5):
        hands.taken(source, BackupType.INCREMENTAL)
    with django_assert_num_queries(3):
        assert len(operator.get("/api/system/backups").json()["results"]) == 6


def test_sources_show_their_readiness_and_never_their_secrets(admin: APIClient, hands: Hands) -> None:
    order = {
        "slug": "shop",
        "name": "Shop",
        "engine": "fake",
        "settings": {"host": "db", "password": "hunter2hunter2"},
        "policy": make_source("other").policy.slug,
    }

    answer = admin.post("/api/system/backup-sources", order)

    assert answer.status_code == 201, answer.content
    assert "hunter2" not in answer.content.decode()
    shown = admin.get("/api/system/backup-sources/shop").json()
    assert shown["settings"] == {"host": "db", "password": "********"}
    assert (shown["readiness"]["state"], shown["readiness"]["age_seconds"]) == ("bad", None)


def test_readiness_turns_good_when_a_fresh_backup_was_proven(operator: APIClient, hands: Hands) -> None:
    source = make_source("shop")
    hands.at = timezone.now()
    hands.verified(hands.taken(source))

    shown = operator.get("/api/system/backup-sources/shop").json()["readiness"]

    assert (shown["state"], shown["within_rpo"], shown["chain"]) == ("good", True, "sound")
    assert shown["last_proven_backup"] == shown["last_good_backup"]


def test_a_source_is_past_its_rpo_only_when_the_next_backup_had_its_time(operator: APIClient, hands: Hands) -> None:
    source = make_source("shop")
    hands.at = timezone.now() - timedelta(minutes=62)
    hands.verified(hands.taken(source))

    def shown() -> tuple[object, object]:
        found = operator.get("/api/system/backup-sources/shop").json()["readiness"]
        return found["state"], found["within_rpo"]

    assert shown() == ("good", False)
    Backup.objects.update(started_at=timezone.now() - timedelta(minutes=66))
    assert shown() == ("bad", False)


def test_readiness_of_many_sources_takes_a_fixed_number_of_queries(
    operator: APIClient, hands: Hands, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    def fill(count: int) -> None:
        for _ in range(count):
            source = make_source()
            hands.taken(source)
            hands.taken(source, BackupType.INCREMENTAL)

    fill(2)
    operator.get("/api/system/backup-sources")
    with django_assert_num_queries(7):
        operator.get("/api/system/backup-sources")
    fill(4)
    with django_assert_num_queries(7):
        assert len(operator.get("/api/system/backup-sources").json()["results"]) == 6


def test_a_source_is_changed_by_what_is_given_and_its_secrets_stay(admin: APIClient, hands: Hands) -> None:
    settings = {"host": "db", "password": "hunter2hunter2"}
    order = {"slug": "shop", "name": "Shop", "engine": "fake", "policy": make_source("other").policy.slug}
    assert admin.post(SOURCES, {**order, "settings": settings}).status_code == 201
    Service.objects.create(slug="shop-db", name="Shop database")

    changed = admin.patch(f"{SOURCES}/shop", {"service": "shop-db", "enabled": False})

    assert (changed.status_code, changed.json()["service"], changed.json()["enabled"]) == (200, "shop-db", False)
    masked = {**changed.json()["settings"], "note": "moved to rack 4"}
    assert masked["password"] == "********"
    assert admin.patch(f"{SOURCES}/shop", {"settings": masked, "service": None}).json()["service"] is None
    source = Source.objects.get(slug="shop")
    assert spec_of(source).settings == {**settings, "note": "moved to rack 4"}
    assert (source.name, source.service, source.enabled) == ("Shop", None, False)
    assert AuditEntry.objects.filter(action="backups.source.changed").count() == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"settings": {"host": "evil.example.com", "password": "********"}}, "settings.password"),
        ({"settings": {"host": 5}}, "settings.host"),
        ({"service": "nowhere"}, "service"),
        ({"policy": None}, "policy"),
        ({"name": ""}, "name"),
        ({"enabled": "no"}, "enabled"),
    ],
)
def test_a_change_that_does_not_fit_is_a_400_naming_the_field(
    admin: APIClient, hands: Hands, body: dict[str, object], field: str
) -> None:
    public, sealed = split({"host": "db", "password": "hunter2hunter2"}, FakeEngine.settings_schema)
    make_source("shop", settings=public, sealed_settings=sealed)

    answer = admin.patch(f"{SOURCES}/shop", body)

    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {field}
    assert client(Role.APPROVER).patch(f"{SOURCES}/shop", {"name": "Mine"}).status_code == 403


def test_a_source_that_does_not_fit_is_a_400_naming_each_field(admin: APIClient, hands: Hands) -> None:
    answer = admin.post("/api/system/backup-sources", {"slug": "a b", "name": "", "engine": "fake", "settings": []})
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {"slug", "name", "settings"}

    answer = admin.post("/api/system/backup-sources", {"slug": "x", "name": "x", "engine": "rsync", "settings": {}})
    assert set(answer.json()["errors"]) == {"engine"}


def test_a_source_is_looked_at_without_changing_anything(operator: APIClient, hands: Hands) -> None:
    make_source("shop", engine="postgres", settings={"host": "127.0.0.1", "port": 1, "user": "nobody"})

    answer = operator.post("/api/system/backup-sources/shop/check", {})

    assert answer.status_code == 200
    connect = next(check for check in answer.json() if check["name"] == "connect")
    assert (connect["passed"], connect["outcome"]) == (False, "failed")
    assert "refused" in connect["detail"]
    assert client(Role.VIEWER).post("/api/system/backup-sources/shop/check", {}).status_code == 403


def test_engines_are_listed_with_types_and_schema(operator: APIClient, hands: Hands) -> None:
    found = {engine["name"]: engine for engine in operator.get("/api/system/backup-engines").json()}

    assert found["postgres"]["types"] == ["differential", "full", "incremental"]
    assert found["postgres-dump"]["types"] == ["full"]
    assert found["postgres"]["settings_schema"]["properties"]["password"]["writeOnly"] is True


def test_backups_are_cancelled_held_and_released(operator: APIClient, approver: APIClient, hands: Hands) -> None:
    source = make_source("shop")
    waiting = requests.request_backup(source=source, backup_type=BackupType.FULL, by=TESTER, at=hands.at)
    assert operator.put(f"/api/system/backups/{waiting.pk}/hold", {"reason": "x"}).status_code == 409
    assert operator.put(f"/api/system/backups/{waiting.pk}/cancel").json()["status"] == "failed"
    assert operator.put(f"/api/system/backups/{waiting.pk}/cancel").status_code == 409

    stored = hands.taken(Source.objects.get(pk=source.pk))
    held = operator.put(f"/api/system/backups/{stored.pk}/hold", {"reason": "audit"})
    assert held.json()["retention"]["held"] is True
    assert operator.put(f"/api/system/backups/{stored.pk}/hold", {}).status_code == 400
    assert approver.put(f"/api/system/backups/{stored.pk}/release").json()["retention"]["held"] is False


def test_a_lost_key_leaves_the_list_of_sources_readable(admin: APIClient, hands: Hands, settings: Settings) -> None:
    order = {
        "slug": "shop",
        "name": "Shop",
        "engine": "fake",
        "settings": {"host": "db", "password": "hunter2hunter2"},
        "policy": make_source("other").policy.slug,
    }
    assert admin.post("/api/system/backup-sources", order).status_code == 201
    make_source("damaged", sealed_settings="no sealed text")
    settings.SECRET_KEY = "a key that nothing here was sealed with"

    listed = {row["slug"]: row for row in admin.get("/api/system/backup-sources").json()["results"]}

    assert listed["shop"]["settings"] == {"host": "db", "password": "********"}
    assert set(listed) == {"shop", "other", "damaged"}
    for slug in listed:
        assert admin.get(f"/api/system/backup-sources/{slug}").status_code == 200


def test_whoever_holds_a_backup_does_not_release_it_alone(
    operator: APIClient, approver: APIClient, hands: Hands
) -> None:
    stored = hands.taken(make_source("shop"))
    assert operator.put(f"/api/system/backups/{stored.pk}/hold", {"reason": "court order"}).status_code == 200

    assert operator.put(f"/api/system/backups/{stored.pk}/release").status_code == 403

    stored.refresh_from_db()
    assert stored.held_reason == "court order"
    assert approver.put(f"/api/system/backups/{stored.pk}/release").json()["retention"]["held"] is False
