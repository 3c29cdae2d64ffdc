"""Issues and events over HTTP: the contract of API.md."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from rest_framework.test import APIClient

from catalogue.models import Environment, Person, Service, Team
from errors.models import (
    Attachment,
    CheckIn,
    Event,
    Feedback,
    HourCount,
    Issue,
    Project,
    SessionCount,
    TagKey,
    TagValue,
)
from errors.rules import Activity
from errors.services import merging
from errors.services.history import note
from sysops.access.actors import Actor
from sysops.access.roles import Role
from sysops.access.services import create_token
from tests.errors.support import BY, DAY, HOUR, NOW, grouping, issue, project, stored_event

pytestmark = pytest.mark.django_db

ALL = "/api/system/errors"
Body = dict[str, object]


@pytest.fixture(autouse=True)
def _quick_clients(settings: Settings) -> None:
    """Else every test client first looks through all static files, for half a second."""
    settings.WHITENOISE_AUTOREFRESH = True
    cache.clear()


def client(role: Role) -> APIClient:
    made, plain = create_token(f"test {role}", role=role, ttl=HOUR, by=Actor.system(), at=datetime.now(UTC))
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {plain}")
    api.token = made  # type: ignore[attr-defined]
    return api


@pytest.fixture
def viewer() -> APIClient:
    return client(Role.VIEWER)


@pytest.fixture
def admin() -> APIClient:
    return client(Role.ADMIN)


def get(api: APIClient, path: str = "", **query: str | int | list[str]) -> Body:
    answer = api.get(ALL + path, query)
    assert answer.status_code == 200, answer.content
    found: Body = answer.json()
    return found


def rows(api: APIClient, path: str = "", **query: str | int | list[str]) -> list[Body]:
    listed = get(api, path, **query)["results"]
    assert isinstance(listed, list)
    return listed


def ids(api: APIClient, **query: str | int | list[str]) -> list[int]:
    """Of the issues that are listed, in their order."""
    return [int(str(row["id"])) for row in rows(api, "", **query)]


def shop() -> Service:
    return Service.objects.create(slug="shop", name="Shop", owner_team=Team.objects.create(slug="ops", name="Ops"))


BESIDE = ("check-ins", "sessions", "feedback")


def beside(home: Project) -> Project:
    """The project with two check-ins, sessions and feedback."""
    for number in (1, 2):
        at = NOW + number * HOUR
        CheckIn.objects.create(
            project=home, check_in_id=uuid4(), monitor="nightly", status=["in_progress", "ok"][number - 1],
            received_at=at,
        )  # fmt: skip
        SessionCount.objects.create(project=home, hour=at, release=f"{number}.0", started=9, crashed=1)
        words = ["First", "Second"][number - 1]
        Feedback.objects.create(project=home, feedback_id=uuid4(), message=words, received_at=at)
    return home


def listed(api: APIClient, path: str) -> list[Body]:
    answer = api.get(f"/api/system/error-projects/{path}")
    assert answer.status_code == 200, answer.content
    return list(answer.json()["results"])


def test_an_issue_answers_every_field_of_the_contract(viewer: APIClient) -> None:
    ada = Person.objects.create(slug="ada", name="Ada")
    made = issue(
        project("shop", service=shop()), error_type="KeyError", message="'card'", severity="high", assignee=ada,
        environment="production", last_release="shop@1.2.0", event_count=12, affected_accounts=3,
        clock_started_at=NOW, respond_by=NOW + HOUR, responded_at=NOW + HOUR, resolved_at=NOW + DAY,
        resolved_by="ada", status="resolved",
    )  # fmt: skip

    (found,) = rows(viewer)

    expected = {
        "id": str(made.pk), "error_type": "KeyError", "error_message": "'card'", "severity": "high",
        "severity_source": "rule", "status": "resolved", "service": "shop", "environment": "production",
        "release": "shop@1.2.0", "affected_accounts": 3, "event_count": 12, "first_seen": "2027-01-13T12:30:00Z",
        "last_seen": "2027-01-13T12:30:00Z", "occurred_at": "2027-01-13T12:30:00Z", "assignee": "ada",
        "resolved_at": "2027-01-14T12:30:00Z", "resolved_by": "ada", "project": "shop",
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert str(found["stack_trace"]).startswith("Traceback (most recent call last):\n")
    assert str(found["stack_trace"]).endswith("KeyError: 'card'")
    sla = found["sla"]
    assert isinstance(sla, dict)
    assert (sla["respond_by"], sla["responded_at"], sla["breached"]) == (
        "2027-01-13T13:30:00Z",
        "2027-01-13T13:30:00Z",
        False,
    )


def test_what_is_not_known_is_null(viewer: APIClient) -> None:
    issue(events=0)

    (found,) = rows(viewer)

    names = ["stack_trace", "service", "environment", "release", "assignee", "resolved_at", "resolved_by"]
    assert [found[name] for name in names] == [None] * len(names)
    assert get(viewer, f"/{found['id']}")["latest_event"] is None


def test_an_issue_whose_events_name_no_environment_has_that_of_its_project(viewer: APIClient) -> None:
    issue(project(environment=Environment.objects.create(slug="staging", name="Staging")))

    assert rows(viewer)[0]["environment"] == "staging"


def test_one_issue_comes_with_its_latest_event_tags_trend_and_groupings(viewer: APIClient) -> None:
    made = issue(events=2)
    home = made.groupings.get()
    TagKey.objects.create(grouping=home, key="area", other=1)
    TagValue.objects.create(grouping=home, key="area", value="eu", quantity=3, last_seen=NOW)
    HourCount.objects.create(
        grouping=home, hour=datetime.now(UTC).replace(minute=0, second=0, microsecond=0), quantity=7
    )
    assert made.latest_event_id is not None
    about = {"project": made.project, "event_id": made.latest_event_id, "received_at": NOW}
    Attachment.objects.create(**about, position=0, filename="log.txt", size_bytes=3, body=b"abc")
    Feedback.objects.create(**about, feedback_id=uuid4(), message="It broke.")

    found = get(viewer, f"/{made.pk}")

    latest = found["latest_event"]
    assert isinstance(latest, dict)
    assert latest["id"] == made.latest_event_id.hex
    assert latest["payload"]["exception"]["values"][0]["type"] == "ValueError"
    assert latest["stack_trace"] == found["stack_trace"]
    assert [file["filename"] for file in latest["attachments"]] == ["log.txt"]
    assert [said["message"] for said in latest["feedback"]] == ["It broke."]
    assert found["tags"] == [
        {
            "key": "area", "total": 4, "other": 1,
            "values": [{"value": "eu", "quantity": 3, "percent": 75.0, "last_seen": "2027-01-13T12:30:00Z"}],
        }
    ]  # fmt: skip
    assert found["trend"] == [0] * 23 + [7]
    assert found["groupings"] == [
        {"id": str(home.pk), "label": home.label, "event_count": 2, "first_seen": "2027-01-13T12:30:00Z",
         "last_seen": "2027-01-13T12:30:00Z"}
    ]  # fmt: skip


# What lists can be narrowed to


def test_issues_are_narrowed_by_each_filter(viewer: APIClient) -> None:
    ada = Person.objects.create(slug="ada", name="Ada")
    one = issue(
        project("shop", service=shop()), severity="critical", assignee=ada, last_release="2.0",
        environment="production", last_seen=NOW, first_seen=NOW - DAY,
    )  # fmt: skip
    other = issue(project("crm"), status="ignored", first_seen=NOW - 9 * DAY, last_seen=NOW - 8 * DAY)
    TagValue.objects.create(grouping=other.groupings.get(), key="release", value="1.0", quantity=1, last_seen=NOW)
    only_one: list[dict[str, str | int | list[str]]] = [
        {"severity": "critical"}, {"status": "unresolved"}, {"service": "shop"}, {"project": "shop"},
        {"assignee": "ada"}, {"release": "2.0"}, {"environment": "production"}, {"q": "is:open broken"},
        {"from": "2027-01-13T12:30:00Z"}, {"status": ["unresolved", "resolved"]},
    ]  # fmt: skip
    only_other: list[dict[str, str | int | list[str]]] = [
        {"severity": "medium"}, {"status": "ignored"}, {"project": "crm"}, {"assignee": "none"}, {"release": "1.0"},
        {"to": "2027-01-12T12:30:00Z"}, {"q": "release:1.0"}, {"severity": ["medium", "low"]},
    ]  # fmt: skip

    assert [ids(viewer, **query) for query in only_one] == [[one.pk]] * len(only_one)
    assert [ids(viewer, **query) for query in only_other] == [[other.pk]] * len(only_other)
    assert ids(viewer, severity=["critical", "medium"]) == [other.pk, one.pk]


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ({"severity": "awful"}, "one of: critical, high"),
        ({"status": "closed"}, "acknowledged, ignored, resolved"),
        ({"service": "nothing"}, "nothing"),
        ({"project": "nothing"}, "no error project"),
        ({"assignee": "nobody"}, "none finds"),
        ({"q": "is:broken"}, "Known: open"),
        ({"q": "is:"}, "Write is:open"),
        ({"q": "assignee:zed"}, "no person 'zed'"),
        ({"q": "a " * 30}, "at most 20"),
        ({"from": "yesterday"}, "RFC 3339"),
        ({"sevrity": "high"}, "no such parameter"),
        ({"ordering": "colour"}, "Cannot order"),
        ({"release": ""}, "empty"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_by_name(viewer: APIClient, query: dict[str, str], hint: str) -> None:
    answer = viewer.get(ALL, query)

    assert answer.status_code == 400
    assert hint in str(answer.json()["errors"][next(iter(query))])


def test_pages_hide_and_repeat_nothing_while_issues_are_seen_again(viewer: APIClient) -> None:
    made = [issue(events=0) for _ in range(5)]

    first = get(viewer, page_size=2)
    Issue.objects.filter(pk=made[0].pk).update(last_seen=NOW + DAY, event_count=99)  # the last one, seen again
    issue(events=0)  # and a new one
    second = viewer.get(str(first["next"])).json()
    third = viewer.get(second["next"]).json()

    listed = [row["id"] for page in (first, second, third) for row in page["results"]]  # type: ignore[union-attr]
    assert listed == [str(row.pk) for row in reversed(made)]
    assert (first["count"], third["next"]) == (5, None)


def test_issues_are_ordered_as_asked(viewer: APIClient) -> None:
    old, new = issue(last_seen=NOW, event_count=1, events=0), issue(last_seen=NOW - DAY, event_count=9, events=0)
    Issue.objects.filter(pk=old.pk).update(event_count=1)
    Issue.objects.filter(pk=new.pk).update(event_count=9)

    assert ids(viewer) == [new.pk, old.pk]
    assert ids(viewer, ordering="-last_seen") == [old.pk, new.pk]
    assert ids(viewer, ordering="event_count") == [old.pk, new.pk]


# Events and history


def test_the_events_of_an_issue_are_listed_newest_first_and_paged(viewer: APIClient) -> None:
    merged = issue(events=2)
    stored_event(grouping(merged), at=NOW - 8 * DAY, release="1.0", level="fatal")
    every = [event.event_id.hex for event in Event.objects.order_by("-received_at")]

    first = get(viewer, f"/{merged.pk}/events", page_size=2)
    second = viewer.get(str(first["next"])).json()

    listed = [*first["results"], *second["results"]]  # type: ignore[misc]
    assert [row["id"] for row in listed] == every
    assert listed[2] == {
        "id": every[2], "received_at": "2027-01-05T12:30:00Z", "occurred_at": "2027-01-05T12:30:00Z",
        "level": "fatal", "release": "1.0", "environment": None,
    }  # fmt: skip
    assert [row["id"] for row in rows(viewer, f"/{merged.pk}/events", release="1.0")] == every[2:]
    assert [row["id"] for row in rows(viewer, f"/{merged.pk}/events", to="2027-01-13T00:00:00Z")] == every[2:]
    assert viewer.get(f"{ALL}/{merged.pk}/events?colour=red").status_code == 400


def test_one_event_is_told_whole_and_only_as_part_of_its_issue(viewer: APIClient) -> None:
    mine, other = issue(), issue()
    event = Event.objects.get(grouping__issue=mine)

    found = get(viewer, f"/{mine.pk}/events/{event.event_id.hex}")

    assert found["id"] == event.event_id.hex
    assert isinstance(found["payload"], dict)
    assert get(viewer, f"/{mine.pk}/events/{event.event_id}") == found
    for path in (f"{other.pk}/events/{event.event_id.hex}", f"{mine.pk}/events/1", f"{mine.pk}/events/{uuid4()}"):
        assert viewer.get(f"{ALL}/{path}").status_code == 404


def test_the_history_of_an_issue_is_listed_newest_first(viewer: APIClient) -> None:
    made = issue()
    note(made, Activity.CREATED, by="sysops", at=NOW)
    note(made, Activity.COMMENT, by="ada", at=NOW + HOUR, text="It is the card again.", data={"a": 1})
    note(issue(), Activity.CREATED, by="sysops", at=NOW)

    comment, created = rows(viewer, f"/{made.pk}/activity")

    assert (comment["kind"], comment["by"], comment["text"], comment["data"]) == (
        "comment",
        "ada",
        "It is the card again.",
        {"a": 1},
    )
    assert created["kind"] == "created"


# Who may see what


def test_what_one_may_not_see_is_not_there(viewer: APIClient, admin: APIClient) -> None:
    secret = issue(project("secret", restricted=True), message="top secret")
    event = Event.objects.get(grouping__issue=secret)
    addresses = [f"{ALL}/{secret.pk}{path}" for path in ("", "/events", f"/events/{event.pk.hex}", "/activity")]

    assert [viewer.get(address).status_code for address in addresses] == [404] * 4
    assert [admin.get(address).status_code for address in addresses] == [200] * 4
    assert ids(viewer) == ids(viewer, q="secret") == ids(viewer, q=f"event:{event.pk}") == []
    assert get(viewer)["count"] == 0
    assert viewer.get(ALL, {"project": "secret"}).status_code == 400
    assert ids(admin, project="secret") == [secret.pk]


def test_a_token_that_is_named_in_a_restricted_project_sees_it(viewer: APIClient) -> None:
    secret = issue(project("secret", restricted=True))
    secret.project.reader_tokens.add(viewer.token)  # type: ignore[attr-defined]

    assert ids(viewer, project="secret") == [secret.pk]
    assert get(viewer, f"/{secret.pk}")["id"] == str(secret.pk)


def test_without_a_token_nothing_is_answered() -> None:
    assert APIClient().get(ALL).status_code == 401
    assert APIClient().get(f"{ALL}/{issue().pk}").status_code == 401


@pytest.mark.parametrize("pk", ["0", "x", "1" * 30, "-1", "1.0", "²"])
def test_an_id_that_is_none_is_not_found(viewer: APIClient, pk: str) -> None:
    for path in ("", "/events", "/activity", f"/events/{uuid4().hex}"):
        assert viewer.get(f"{ALL}/{pk}{path}").status_code == 404


def test_a_merged_issue_names_the_one_it_is_part_of_to_whom_may_see_that(viewer: APIClient, admin: APIClient) -> None:
    home, secret = project(), project("secret", restricted=True)
    target, gone = issue(home), issue(home, message="other")
    hidden, hidden_gone = issue(secret), issue(secret, message="other")
    merging.merge(target, [gone], by=BY, at=NOW)
    merging.merge(hidden, [hidden_gone], by=BY, at=NOW)

    def said(api: APIClient, pk: int) -> str:
        answer = api.get(f"{ALL}/{pk}")
        assert answer.status_code == 404
        return str(answer.json()["detail"])

    assert said(viewer, gone.pk) == f"Issue {gone.pk} is part of issue {target.pk} now."
    assert said(viewer, hidden_gone.pk) == said(viewer, 10**9) == "There is no such issue."
    assert said(admin, hidden_gone.pk) == f"Issue {hidden_gone.pk} is part of issue {hidden.pk} now."
    assert viewer.get(f"{ALL}/{10**9}/events").json()["detail"] == "There is no such issue."


# What arrived beside events


def test_check_ins_sessions_and_feedback_of_a_project_are_listed_the_latest_first(viewer: APIClient) -> None:
    home = beside(project("shop"))

    check_ins, sessions, feedback = (listed(viewer, f"shop/{name}") for name in BESIDE)

    assert [(row["monitor"], row["status"]) for row in check_ins] == [("nightly", "ok"), ("nightly", "in_progress")]
    assert check_ins[0]["check_in_id"] == home.check_ins.latest("pk").check_in_id.hex
    assert [(row["release"], row["started"], row["crashed"]) for row in sessions] == [("2.0", 9, 1), ("1.0", 9, 1)]
    assert [(row["message"], row["event_id"]) for row in feedback] == [("Second", None), ("First", None)]
    answer = viewer.get("/api/system/error-projects/shop/sessions", {"page_size": 1}).json()
    assert (answer["count"], len(answer["results"])) == (2, 1)


def test_what_is_beside_the_events_of_a_restricted_project_is_for_its_readers(
    viewer: APIClient, admin: APIClient
) -> None:
    beside(project("secret", restricted=True))

    for name in BESIDE:
        address = f"/api/system/error-projects/secret/{name}"
        assert viewer.get(address).status_code == 404
        assert admin.get(address).json()["count"] == 2
        assert viewer.post(address, {}).status_code in (403, 405)
        assert APIClient().get(address).status_code == 401


# What it costs


def queries(ask: Callable[[], object]) -> int:
    ask()  # once for what is looked up only the first time
    with CaptureQueriesContext(connection) as found:
        ask()
    return len(found)


def test_lists_cost_a_fixed_number_of_queries(viewer: APIClient) -> None:
    """The token, the rows, their count; for issues the stack traces, for what belongs to one the issue itself."""
    ada, service = Person.objects.create(slug="ada", name="Ada"), shop()
    environment = Environment.objects.create(slug="staging", name="Staging")
    for number in range(4):
        made = issue(project(f"p{number}", service=service, environment=environment), assignee=ada, events=3)
        grouping(made, events=2)
        for step in range(3):
            note(made, Activity.COMMENT, by="ada", at=NOW + timedelta(seconds=step))

    counted = {
        "list": queries(lambda: get(viewer)),
        "search": queries(lambda: get(viewer, q="broken is:open !area:eu", ordering="-last_seen")),
        "events": queries(lambda: get(viewer, f"/{made.pk}/events")),
        "activity": queries(lambda: get(viewer, f"/{made.pk}/activity")),
        "issue": queries(lambda: get(viewer, f"/{made.pk}")),
    }

    assert counted == {"list": 4, "search": 4, "events": 5, "activity": 4, "issue": 9}
