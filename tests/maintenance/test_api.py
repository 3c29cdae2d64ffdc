"""Maintenance over HTTP: the contract of API.md."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.test import APIClient

from catalogue.gates import Verdict
from catalogue.models import Service
from maintenance.models import Update, Window
from notifications.models import Message
from sysops.access.actors import Actor
from sysops.access.roles import Role
from sysops.access.services import create_token
from tests.maintenance.support import FakeGate, make_service

pytestmark = pytest.mark.django_db(transaction=True)

ALL = "/api/system/maintenance"
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


@pytest.fixture
def operator() -> APIClient:
    return client(Role.OPERATOR)


@pytest.fixture
def viewer() -> APIClient:
    return client(Role.VIEWER)


@pytest.fixture
def shop_db() -> Service:
    """shop-db, on which shop stands."""
    below = make_service("shop-db")
    make_service("shop", below)
    return below


# Not asked again: between two answers a new hour may begin.
SOON = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=3)


def soon(**span: float) -> datetime:
    """A full hour in some days, and so much later."""
    return SOON + timedelta(**span)


def said(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def wanted(**changes: object) -> Body:
    """A window as a client asks for it; a change to None leaves the field out."""
    body: Body = {
        "title": "Upgrade of the shop database",
        "scheduled_start_time": said(soon()),
        "estimated_duration_seconds": 7200,
        "affected_services": ["shop-db"],
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def scheduled(operator: APIClient, **changes: object) -> Body:
    answer = operator.post(ALL, wanted(**changes), format="json")
    assert answer.status_code == 201, answer.content
    found: Body = answer.json()
    return found


def put(api: APIClient, window: Body, what: str, body: Body | None = None) -> tuple[int, Body]:
    answer = api.put(f"{ALL}/{window['id']}/{what}", body or {}, format="json")
    return answer.status_code, answer.json()


def test_a_window_is_scheduled_and_found_again(operator: APIClient, viewer: APIClient, shop_db: Service) -> None:
    answer = operator.post(ALL, wanted(description="No orders meanwhile.", time_zone="Europe/Berlin"), format="json")

    assert answer.status_code == 201
    body = answer.json()
    assert answer["Location"] == f"{ALL}/{body['id']}"
    assert isinstance(body["id"], str)
    assert {name: body[name] for name in wanted()} == wanted()
    expected = {
        "maintenance_type": "planned",
        "description": "No orders meanwhile.",
        "status": "scheduled",
        "overrunning": False,
        "scheduled_end_time": said(soon(hours=2)),
        "actual_start_time": None,
        "actual_duration_seconds": None,
        "completed_time": None,
        "updates": [],
        "affected_services": ["shop-db"],
        "reached_services": ["shop"],
        "overlaps": [],
        "gates": [],
        "starts_itself": False,
        "completes_itself": False,
        "maintenance_mode": True,
        "time_zone": "Europe/Berlin",
        "series": None,
        "note": "",
    }
    assert {name: body[name] for name in expected} == expected
    assert body["created_by"].startswith("test operator")
    assert viewer.get(f"{answer['Location']}/").json() == body
    (listed,) = viewer.get(ALL).json()["results"]
    assert listed == {name: value for name, value in body.items() if name != "overlaps"}


def test_the_whole_life_of_a_window(operator: APIClient, viewer: APIClient, shop_db: Service) -> None:
    window = scheduled(operator)
    assert viewer.get(f"{ALL}/{window['id']}/report").json()["current_status"] == "scheduled"

    code, body = put(operator, window, "start")
    assert (code, body["status"]) == (200, "in_progress")
    assert body["actual_start_time"]
    answer = operator.post(f"{ALL}/{window['id']}/updates", {"message": "Half way."}, format="json")
    assert (answer.status_code, answer.json()["message"]) == (201, "Half way.")
    assert answer.json()["author"].startswith("test operator")
    code, body = put(operator, window, "extend", {"estimated_duration_seconds": 10_800})
    assert (code, body["scheduled_end_time"]) == (200, said(soon(hours=3)))
    code, body = put(operator, window, "complete")
    assert (code, body["status"]) == (200, "completed")
    assert isinstance(body["actual_duration_seconds"], int)
    assert body["completed_time"]
    assert [update["message"] for update in body["updates"]] == ["Half way."]  # type: ignore[attr-defined]

    report = viewer.get(f"{ALL}/{window['id']}/report")
    assert report.status_code == 200
    assert report.json()["times"]["planned_duration_seconds"] == 7200
    assert [row["message"] for row in report.json()["updates"]] == ["Half way."]


@pytest.mark.parametrize(
    ("before", "step", "body"),
    [
        ([], "complete", {}),
        (["start"], "start", {}),
        (["start"], "cancel", {"reason": "rain"}),
        (["start", "complete"], "start", {}),
        (["start", "complete"], "complete", {}),
        (["start", "complete"], "cancel", {}),
        (["start", "complete"], "extend", {"estimated_duration_seconds": 9000}),
        (["cancel"], "start", {}),
        (["cancel"], "cancel", {}),
        (["cancel"], "complete", {}),
        (["cancel"], "extend", {"estimated_duration_seconds": 9000}),
    ],
)
def test_a_step_the_state_does_not_allow_is_a_conflict_that_names_the_state(
    operator: APIClient, shop_db: Service, before: list[str], step: str, body: Body
) -> None:
    window = scheduled(operator)
    for earlier in before:
        code, _ = put(operator, window, earlier)
        assert code == 200
    now = operator.get(f"{ALL}/{window['id']}").json()

    code, problem = put(operator, window, step, body)

    assert (code, problem["current_status"]) == (409, now["status"])
    assert operator.get(f"{ALL}/{window['id']}").json() == now


@pytest.mark.parametrize("ended", ["complete", "cancel"])
def test_what_is_over_is_neither_changed_nor_talked_about(operator: APIClient, shop_db: Service, ended: str) -> None:
    window = scheduled(operator)
    for step in ["start", "complete"] if ended == "complete" else ["cancel"]:
        put(operator, window, step)
    one = f"{ALL}/{window['id']}"

    changed = operator.patch(one, {"title": "New"}, format="json")
    posted = operator.post(f"{one}/updates", {"message": "Hello?"}, format="json")

    assert [changed.status_code, posted.status_code] == [409, 409]
    assert changed.json()["current_status"] == posted.json()["current_status"]
    assert not Update.objects.exists()


def test_an_overlap_is_refused_with_the_windows_in_the_way(operator: APIClient, shop_db: Service) -> None:
    first = scheduled(operator)

    answer = operator.post(
        ALL, wanted(affected_services=["shop"], scheduled_start_time=said(soon(hours=1))), format="json"
    )

    assert answer.status_code == 409
    assert answer["Content-Type"] == "application/problem+json"
    problem = answer.json()
    (in_the_way,) = problem["conflicts"]
    assert in_the_way["id"] == first["id"]
    assert in_the_way["affected_services"] == ["shop-db"]
    assert "Upgrade of the shop database" in problem["detail"]
    assert Window.objects.count() == 1


def test_extending_or_moving_into_another_window_is_refused_and_names_it(operator: APIClient, shop_db: Service) -> None:
    first = scheduled(operator)
    second = scheduled(operator, scheduled_start_time=said(soon(hours=2)))

    code, problem = put(operator, first, "extend", {"estimated_duration_seconds": 7201})
    moved = operator.patch(f"{ALL}/{second['id']}", {"scheduled_start_time": said(soon(minutes=119))}, format="json")

    assert code == moved.status_code == 409
    assert [window["id"] for window in problem["conflicts"]] == [second["id"]]  # type: ignore[attr-defined]
    assert [window["id"] for window in moved.json()["conflicts"]] == [first["id"]]


def test_an_emergency_begins_now_and_shows_what_it_meets(operator: APIClient, shop_db: Service) -> None:
    planned = scheduled(operator, scheduled_start_time=said(datetime.now(UTC) + timedelta(minutes=5)))

    body = scheduled(operator, maintenance_type="emergency", scheduled_start_time=None, title="Disk on fire")

    assert [other["id"] for other in body["overlaps"]] == [planned["id"]]  # type: ignore[attr-defined]
    began = datetime.fromisoformat(str(body["scheduled_start_time"]))
    assert abs(datetime.now(UTC) - began) < timedelta(seconds=30)
    assert put(operator, body, "start")[0] == 200


def test_a_window_is_rescheduled_and_edited_while_it_is_scheduled(operator: APIClient, shop_db: Service) -> None:
    window = scheduled(operator)
    one = f"{ALL}/{window['id']}"

    answer = operator.patch(
        one,
        {
            "title": "Another",
            "scheduled_start_time": said(soon(hours=5)),
            "estimated_duration_seconds": 60,
            "affected_services": ["shop"],
            "starts_itself": True,
        },
        format="json",
    )

    assert answer.status_code == 200
    body = answer.json()
    assert (body["title"], body["scheduled_end_time"]) == ("Another", said(soon(hours=5, minutes=1)))
    assert (body["affected_services"], body["reached_services"], body["starts_itself"]) == (["shop"], [], True)
    put(operator, window, "start")
    assert operator.patch(one, {"title": "Late"}, format="json").json()["current_status"] == "in_progress"


def test_a_closed_gate_keeps_the_window_from_starting_and_says_why(
    operator: APIClient, shop_db: Service, gate: FakeGate
) -> None:
    gate.says((Verdict.CLOSED, "No backup."))
    window = scheduled(operator, gates=[{"gate": "fake", "settings": {"hours": 24}, "prepare": True}])
    assert window["gates"][0]["state"] == "unasked"  # type: ignore[index]

    code, problem = put(operator, window, "start")

    assert (code, problem["current_status"], problem["preparing"]) == (409, "scheduled", False)
    assert "No backup." in str(problem["detail"])
    gates = problem["gates"]
    assert isinstance(gates, list)
    (found,) = gates
    assert (found["gate"], found["state"], found["reason"], found["settings"]) == (
        "fake",
        "closed",
        "No backup.",
        {"hours": 24},
    )


def test_a_gate_that_prepares_says_so_and_the_start_goes_through_once_it_is_open(
    operator: APIClient, shop_db: Service, gate: FakeGate
) -> None:
    gate.says((Verdict.PREPARING, "Taking one."), (Verdict.OPEN, "There."))
    window = scheduled(operator, gates=[{"gate": "fake"}])

    code, problem = put(operator, window, "start")
    assert (code, problem["preparing"], problem["current_status"]) == (409, True, "scheduled")

    assert put(operator, window, "start")[1]["status"] == "in_progress"


BAD: list[tuple[Body, str]] = [
    ({"title": None}, "title"),
    ({"title": ""}, "title"),
    ({"title": "   "}, "title"),
    ({"title": "x" * 10_000}, "title"),
    ({"title": "Upgrade\r\nBcc: all@example.org"}, "title"),
    ({"title": "two\u2028lines"}, "title"),
    ({"title": 7}, "title"),
    ({"title": ["a"]}, "title"),
    ({"title": "nul\0"}, "title"),
    ({"description": "x" * 10_001}, "description"),
    ({"description": {"a": 1}}, "description"),
    ({"scheduled_start_time": None}, "scheduled_start_time"),
    ({"scheduled_start_time": "2020-01-01T00:00:00Z"}, "scheduled_start_time"),
    ({"scheduled_start_time": "tomorrow"}, "scheduled_start_time"),
    ({"scheduled_start_time": "2099-01-15T02:00:00"}, "scheduled_start_time"),
    ({"scheduled_start_time": "2099-01-15"}, "scheduled_start_time"),
    ({"scheduled_start_time": "2099-02-30T02:00:00Z"}, "scheduled_start_time"),
    ({"scheduled_start_time": "9999-12-31T23:59:59Z"}, "scheduled_start_time"),
    ({"scheduled_start_time": "0001-01-01T00:00:00+23:59"}, "scheduled_start_time"),
    ({"scheduled_start_time": "9999-12-31T23:59:59-23:59"}, "scheduled_start_time"),
    ({"scheduled_start_time": 1_800_000_000}, "scheduled_start_time"),
    ({"estimated_duration_seconds": None}, "estimated_duration_seconds"),
    ({"estimated_duration_seconds": 0}, "estimated_duration_seconds"),
    ({"estimated_duration_seconds": -3600}, "estimated_duration_seconds"),
    ({"estimated_duration_seconds": 10**12}, "estimated_duration_seconds"),
    ({"estimated_duration_seconds": 10**400}, "estimated_duration_seconds"),
    ({"estimated_duration_seconds": 1.5}, "estimated_duration_seconds"),
    ({"estimated_duration_seconds": "7200"}, "estimated_duration_seconds"),
    ({"estimated_duration_seconds": True}, "estimated_duration_seconds"),
    ({"affected_services": None}, "affected_services"),
    ({"affected_services": []}, "affected_services"),
    ({"affected_services": "shop-db"}, "affected_services"),
    ({"affected_services": ["shop-db", "shop-db"]}, "affected_services"),
    ({"affected_services": ["shop-db", "nowhere"]}, "affected_services"),
    ({"affected_services": [7]}, "affected_services"),
    ({"affected_services": [None]}, "affected_services"),
    ({"affected_services": {"slug": "shop-db"}}, "affected_services"),
    ({"affected_services": [f"service-{n}" for n in range(1_001)]}, "affected_services"),
    ({"maintenance_type": "recurring"}, "maintenance_type"),
    ({"maintenance_type": "holiday"}, "maintenance_type"),
    ({"time_zone": "Mars/Olympus"}, "time_zone"),
    ({"time_zone": "../../etc/passwd"}, "time_zone"),
    ({"starts_itself": "yes"}, "starts_itself"),
    ({"maintenance_mode": 1}, "maintenance_mode"),
    ({"gates": "fake"}, "gates"),
    ({"gates": [{"gate": "fresh_bakup"}]}, "gates"),
    ({"gates": [{"gate": "fake", "settings": {"hours": 0}}]}, "gates"),
    ({"gates": [{"gate": "fake", "settings": 3}]}, "gates.0.settings"),
    ({"gates": [{"gate": "fake"}, {"gate": "fake"}]}, "gates"),
    ({"gates": [{}]}, "gates.0.gate"),
]


@pytest.mark.parametrize(("change", "field"), BAD, ids=lambda value: str(value)[:60])
def test_bad_input_is_a_400_that_names_the_field(
    operator: APIClient, shop_db: Service, gate: FakeGate, change: Body, field: str
) -> None:
    answer = operator.post(ALL, wanted(**change), format="json")

    assert answer.status_code == 400, answer.content
    problem = answer.json()
    assert list(problem["errors"]) == [field]
    assert all(len(text) > 10 for text in problem["errors"][field])
    assert not Window.objects.exists()
    assert not Message.objects.exists()


@pytest.mark.parametrize(
    ("change", "field"), [pair for pair in BAD if None not in pair[0].values()], ids=lambda value: str(value)[:60]
)
def test_a_change_to_something_bad_is_a_400_and_changes_nothing(
    operator: APIClient, shop_db: Service, gate: FakeGate, change: Body, field: str
) -> None:
    window = scheduled(operator)

    answer = operator.patch(f"{ALL}/{window['id']}", change, format="json")

    assert answer.status_code == 400, answer.content
    assert field in answer.json()["errors"]
    assert operator.get(f"{ALL}/{window['id']}").json() == window


def test_everything_that_is_wrong_is_said_at_once(operator: APIClient, shop_db: Service) -> None:
    body = wanted(title="", estimated_duration_seconds=0, affected_services=["nowhere"])

    assert set(operator.post(ALL, body, format="json").json()["errors"]) == {
        "title",
        "estimated_duration_seconds",
        "affected_services",
    }


@pytest.mark.parametrize(
    ("step", "body", "field"),
    [
        ("extend", {}, "estimated_duration_seconds"),
        ("extend", {"estimated_duration_seconds": 7200}, "estimated_duration_seconds"),
        ("extend", {"estimated_duration_seconds": 10**9}, "estimated_duration_seconds"),
        ("extend", {"estimated_duration_seconds": "1h"}, "estimated_duration_seconds"),
        ("cancel", {"reason": "x" * 501}, "reason"),
        ("cancel", {"reason": 4}, "reason"),
    ],
)
def test_a_step_with_bad_input_is_a_400_that_names_the_field(
    operator: APIClient, shop_db: Service, step: str, body: Body, field: str
) -> None:
    window = scheduled(operator)

    code, problem = put(operator, window, step, body)

    assert (code, list(problem["errors"])) == (400, [field])  # type: ignore[call-overload]


@pytest.mark.parametrize("message", ["", "  ", "x" * 5001, 7, None, ["a"]])
def test_an_update_that_says_nothing_is_refused(operator: APIClient, shop_db: Service, message: object) -> None:
    window = scheduled(operator)

    answer = operator.post(f"{ALL}/{window['id']}/updates", {"message": message}, format="json")

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["message"])


def test_markup_in_a_title_is_text_and_stays_text(operator: APIClient, shop_db: Service) -> None:
    title = "<script>alert(1)</script> & <b>more</b>"

    assert scheduled(operator, title=title)["title"] == title


def test_the_same_request_sent_twice_schedules_once(operator: APIClient, shop_db: Service) -> None:
    send = {"HTTP_IDEMPOTENCY_KEY": "deploy-77", "format": "json"}

    first = operator.post(ALL, wanted(), **send)  # type: ignore[arg-type]
    again = operator.post(ALL, wanted(), **send)  # type: ignore[arg-type]
    other = operator.post(ALL, wanted(title="Other"), **send)  # type: ignore[arg-type]

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert again.json() == first.json()
    assert Window.objects.count() == 1


def test_a_refused_request_may_be_sent_again_with_its_key(operator: APIClient, shop_db: Service) -> None:
    send = {"HTTP_IDEMPOTENCY_KEY": "deploy-78", "format": "json"}
    first = scheduled(operator)
    assert operator.post(ALL, wanted(), **send).status_code == 409  # type: ignore[arg-type]
    put(operator, first, "cancel")

    assert operator.post(ALL, wanted(), **send).status_code == 201  # type: ignore[arg-type]


def test_rights_are_held_everywhere(operator: APIClient, viewer: APIClient, shop_db: Service) -> None:
    window = scheduled(operator)
    one = f"{ALL}/{window['id']}"

    assert APIClient().get(ALL).status_code == 401
    assert [viewer.get(path).status_code for path in (ALL, one, f"{one}/report")] == [200, 200, 409]
    assert viewer.post(ALL, wanted(), format="json").status_code == 403
    assert viewer.patch(one, {"title": "x"}, format="json").status_code == 403
    assert [put(viewer, window, step)[0] for step in ("start", "complete", "cancel", "extend")] == [403] * 4
    assert viewer.post(f"{one}/updates", {"message": "x"}, format="json").status_code == 403


@pytest.mark.parametrize("pk", ["0", "2000000000", "x", "-1", "9" * 30, "1.0", "１"])
def test_a_window_that_is_not_there_is_a_404(operator: APIClient, pk: str) -> None:
    one = f"{ALL}/{pk}"

    assert operator.get(one).status_code == 404
    assert operator.get(f"{one}/report").status_code == 404
    assert operator.put(f"{one}/start", {}, format="json").status_code == 404


Found = Callable[[str], list[str]]


@pytest.fixture
def titles(operator: APIClient) -> Found:
    """The titles that a query of the list finds, newest first."""

    def find(query: str) -> list[str]:
        answer = operator.get(f"{ALL}?{query}")
        assert answer.status_code == 200, answer.content
        return [row["title"] for row in answer.json()["results"]]

    return find


def test_the_list_is_narrowed_by_status_type_and_service_reached_ones_too(
    operator: APIClient, shop_db: Service, titles: Found
) -> None:
    make_service("mail")
    scheduled(operator, title="db")
    scheduled(operator, title="mail", affected_services=["mail"], maintenance_type="emergency")
    put(operator, scheduled(operator, title="gone", scheduled_start_time=said(soon(days=1))), "cancel")

    assert titles("") == ["gone", "mail", "db"]
    assert titles("status=cancelled") == ["gone"]
    assert titles("type=emergency") == ["mail"]
    assert titles("service=shop") == ["gone", "db"]
    assert titles("service=shop-db&status=scheduled") == ["db"]
    assert titles("ordering=scheduled_start_time,-created_at") == ["mail", "db", "gone"]


def test_from_and_to_find_what_takes_place_between_them_at_least_in_part(
    operator: APIClient, shop_db: Service, titles: Found
) -> None:
    scheduled(operator, title="early")
    scheduled(operator, title="late", scheduled_start_time=said(soon(hours=4)))

    assert titles(f"from={said(soon(hours=1))}&to={said(soon(hours=4))}") == ["early"]
    assert titles(f"from={said(soon(hours=2))}") == ["late"]
    assert titles(f"to={said(soon(hours=5))}") == ["late", "early"]


@pytest.mark.parametrize(
    "query",
    [
        "status=done", "status=", "type=holiday", "service=nowhere", "from=yesterday", "to=2027-01-01",
        "state=scheduled", "ordering=title", "page_size=0", "page_size=201", "status=scheduled&status=completed",
    ],
)  # fmt: skip
def test_a_filter_that_is_not_understood_is_a_400_that_names_it(operator: APIClient, query: str) -> None:
    answer = operator.get(f"{ALL}?{query}")

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [query.partition("=")[0]]


def test_the_list_takes_six_queries_however_many_windows(
    operator: APIClient, shop_db: Service, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(5):
        window = scheduled(operator, scheduled_start_time=said(soon(days=number)))
        operator.post(f"{ALL}/{window['id']}/updates", {"message": "So far."}, format="json")

    with django_assert_num_queries(6):  # token, count, windows, their services, updates, gates
        assert len(operator.get(ALL).json()["results"]) == 5


def test_scheduling_200_services_takes_as_many_queries_as_scheduling_two(
    operator: APIClient, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    slugs = [make_service(f"s-{number}").slug for number in range(200)]
    with CaptureQueriesContext(connection) as few:
        scheduled(operator, affected_services=slugs[:2])
    with CaptureQueriesContext(connection) as many:
        scheduled(operator, affected_services=slugs, scheduled_start_time=said(soon(days=1)))

    assert len(many) <= len(few) + 1
