"""Errors reported as plain JSON: stored before they are answered, then an issue like any other."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.core.cache import cache
from pytest_django import Settings
from rest_framework.test import APIClient

from errors.intake import room
from errors.models import Event, Issue, OutcomeCount, Spool
from errors.selectors import payload_of
from sysops.access.actors import Actor
from sysops.access.roles import Role
from sysops.access.services import create_token
from tests.errors.support import NOW, digest_all, project, put_in_spool

pytestmark = pytest.mark.django_db(transaction=True)

Body = dict[str, object]


@pytest.fixture(autouse=True)
def _quick_clients(settings: Settings) -> None:
    """Else every test client first looks through all static files, for half a second."""
    settings.WHITENOISE_AUTOREFRESH = True
    cache.clear()


def client(role: Role) -> APIClient:
    at = datetime.now(UTC)
    _, plain = create_token(f"test {role}", role=role, ttl=timedelta(hours=1), by=Actor.system(), at=at)
    made = APIClient()
    made.credentials(HTTP_AUTHORIZATION=f"Bearer {plain}")
    return made


def report(body: Body, *, role: Role = Role.OPERATOR, status: int = 202, **headers: str) -> Body:
    answer = client(role).post("/api/system/errors", body, format="json", **headers)  # type: ignore[arg-type]
    assert answer.status_code == status, answer.content
    return dict(answer.json())


def test_what_was_answered_is_a_row_and_becomes_an_issue(woken: list[str]) -> None:
    home = project("shop")

    out = report({"project": "shop", "message": "The nightly export failed", "type": "ExportError", "level": "fatal"})

    row = Spool.objects.get()
    assert (row.event_id, row.kind, row.project_id) == (UUID(str(out["id"])), "plain", home.pk)
    assert woken == ["intake.digest"]
    digest_all(at=datetime.now(UTC))
    made = Issue.objects.get(project=home)
    assert (made.error_type, made.error_message, made.level) == ("ExportError", "The nightly export failed", "fatal")
    assert Event.objects.get().event_id == row.event_id


def test_everything_a_script_can_say_arrives(woken: list[str]) -> None:
    project("shop")

    report(
        {
            "project": "shop",
            "message": "The nightly export failed",
            "stack_trace": 'Traceback:\n  File "/srv/export.py", line 3, in run\nExportError',
            "service": "export",
            "release": "export@1.2.0",
            "environment": "prod",
            "account": "customer-7",
            "occurred_at": "2026-11-01T10:00:00+01:00",
            "tags": {"region": "eu"},
            "extra": {"rows": 17},
        }
    )
    digest_all(at=datetime.now(UTC))

    event, made = Event.objects.get(), Issue.objects.get()
    assert (event.release, event.environment) == ("export@1.2.0", "prod")
    assert made.affected_accounts == 1
    tags = dict(made.groupings.get().tags.values_list("key", "value"))
    assert (tags["region"], tags["service"]) == ("eu", "export")


def test_reports_with_one_fingerprint_are_one_issue(woken: list[str]) -> None:
    project("shop")

    for message in ("Disk A is full", "There is no room on disk B"):
        report({"project": "shop", "message": message, "fingerprint": ["disk-full"]})
    digest_all(at=datetime.now(UTC))

    assert Issue.objects.get().event_count == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"message": "broken"}, "project"),
        ({"project": "none", "message": "broken"}, "project"),
        ({"project": "off", "message": "broken"}, "project"),
        ({"project": "secret", "message": "broken"}, "project"),
        ({"project": "shop"}, "message"),
        ({"project": "shop", "message": ""}, "message"),
        ({"project": "shop", "message": "x" * 8_193}, "message"),
        ({"project": "shop", "message": "broken", "level": "bad"}, "level"),
        ({"project": "shop", "message": "broken", "tags": {"area": 1}}, "tags.area"),
        ({"project": "shop", "message": "broken", "tags": {"k" * 65: "v"}}, "tags"),
        ({"project": "shop", "message": "broken", "tags": {f"k{n}": "v" for n in range(51)}}, "tags"),
        ({"project": "shop", "message": "broken", "occurred_at": "yesterday"}, "occurred_at"),
        ({"project": "shop", "message": "broken", "severity": "high"}, "severity"),
        ({"project": "shop", "message": "broken", "extra": "text"}, "extra"),
    ],
)
def test_a_report_that_cannot_be_taken_names_the_field_and_leaves_nothing(body: Body, field: str) -> None:
    project("shop")
    project("off", enabled=False)
    project("secret", restricted=True)

    out = report(body, status=400)

    assert list(out["errors"]) == [field]  # type: ignore[call-overload]
    assert not Spool.objects.exists()


def test_a_report_that_is_too_large_is_refused() -> None:
    project("shop")

    report({"project": "shop", "message": "broken", "extra": {"text": "x" * 1_100_000}}, status=413)
    assert not Spool.objects.exists()


def test_who_may_only_look_reports_nothing() -> None:
    project("shop")

    report({"project": "shop", "message": "broken"}, role=Role.VIEWER, status=403)


def test_one_idempotency_key_is_one_report(woken: list[str]) -> None:
    project("shop")
    who = client(Role.OPERATOR)

    answers = [
        who.post(
            "/api/system/errors",
            {"project": "shop", "message": "broken"},
            format="json",
            HTTP_IDEMPOTENCY_KEY="night-1",
        )
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert Spool.objects.count() == 1


def test_a_secret_in_a_report_is_neither_answered_nor_kept(woken: list[str]) -> None:
    project("shop")

    out = report({"project": "shop", "message": "broken", "extra": {"password": "hunter2"}})
    digest_all(at=datetime.now(UTC))

    assert "hunter2" not in json.dumps(out)
    assert "hunter2" not in json.dumps(payload_of(Event.objects.get()))
    assert not Spool.objects.exists()


def test_more_than_the_projects_quota_is_told_to_come_back_within_the_minute(woken: list[str]) -> None:
    home = project("shop", quota_per_minute=2)
    project("other", quota_per_minute=1)
    body: Body = {"project": "shop", "message": "broken"}
    report(body)
    report(body)

    answer = client(Role.OPERATOR).post("/api/system/errors", body, format="json")

    assert answer.status_code == 429
    assert 1 <= int(answer["Retry-After"]) <= 60
    assert Spool.objects.filter(project_id=home.pk).count() == 2
    refused = OutcomeCount.objects.get(project=home, outcome="rate_limited")
    assert (refused.category, refused.reason, refused.quantity) == ("error", "quota", 1)
    report({"project": "other", "message": "broken"})


def test_while_too_many_reports_wait_no_more_are_taken(woken: list[str]) -> None:
    home = project("shop")
    first = put_in_spool(home, b"{}")[0]
    Spool.objects.create(pk=first.pk + room.MOST_WAITING, project_id=home.pk, received_at=NOW, kind="plain", body=b"{}")

    answer = client(Role.OPERATOR).post("/api/system/errors", {"project": "shop", "message": "broken"}, format="json")

    assert answer.status_code == 429
    assert int(answer["Retry-After"]) == room.RETRY_SECONDS
    assert Spool.objects.count() == 2


def test_on_a_disk_that_is_nearly_full_nothing_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    project("shop")
    monkeypatch.setattr(room, "FREE_BYTES", 2**62)
    monkeypatch.setattr(room, "FREE_SHARE", 1.1)

    answer = client(Role.OPERATOR).post("/api/system/errors", {"project": "shop", "message": "broken"}, format="json")

    assert answer.status_code == 503
    assert int(answer["Retry-After"]) == room.RETRY_SECONDS
    assert not Spool.objects.exists()
