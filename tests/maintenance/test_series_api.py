"""Series over HTTP, as the contract has it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from maintenance.models import Series, Window
from maintenance.series_plans import SeriesPlan
from maintenance.services import series as services
from sysops.access import services as access
from sysops.access.actors import Actor
from sysops.access.roles import Role
from sysops.kernel.clock import utc_now
from tests.maintenance.support import BY, HOUR, make_service

ADDRESS = "/api/system/maintenance-series"
pytestmark = pytest.mark.django_db
Clients = Callable[[str], APIClient]


@pytest.fixture
def api() -> Clients:
    """`api("operator")`: a client with a token of that role."""

    def make(role: str) -> APIClient:
        plain = access.create_token(role, role=Role(role), ttl=None, by=Actor.cli("tests"), at=utc_now())[1]
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {plain}")
        return client

    return make


def next_tuesday() -> datetime:
    """03:00 in London, three to nine days from now."""
    day = utc_now().astimezone(ZoneInfo("Europe/London")) + timedelta(days=3)
    day += timedelta(days=(1 - day.weekday()) % 7)
    return day.replace(hour=3, minute=0, second=0, microsecond=0)


def body(**others: object) -> dict[str, object]:
    return {
        "title": "Weekly patching",
        "rule": "FREQ=WEEKLY;BYDAY=TU",
        "time_zone": "Europe/London",
        "first_start_time": next_tuesday().isoformat(),
        "estimated_duration_seconds": 7200,
        "affected_services": ["shop-db"],
        **others,
    }


def make_series(slug: str = "patching") -> Series:
    plan = SeriesPlan(
        slug=slug, title="Patching", description="", rule="FREQ=WEEKLY;BYDAY=TU", time_zone="Europe/London",
        first_start=next_tuesday(), duration=2 * HOUR, services=[make_service()],
    )  # fmt: skip
    return services.create_series(plan, by=BY, at=utc_now())


def test_an_operator_makes_a_series_and_sees_its_windows(api: Clients) -> None:
    make_service("shop-db")

    answer = api("operator").post(ADDRESS, body())

    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert answer.headers["Location"] == f"{ADDRESS}/weekly-patching"
    assert (made["slug"], made["rule"]) == ("weekly-patching", "FREQ=WEEKLY;BYDAY=TU")
    assert made["rule_words"] == "every week on Tuesday"
    assert (made["affected_services"], made["starts_itself"], made["notes"]) == (["shop-db"], True, [])
    assert len(made["windows"]) in (8, 9)
    assert made["windows"][0]["maintenance_type"] == "recurring"
    assert api("viewer").get(f"{ADDRESS}/weekly-patching").json() == made
    window = Window.objects.earliest("scheduled_start")
    assert window.created_by == "operator (sysops_" + window.created_by.split("sysops_")[1]


@pytest.mark.parametrize(
    "wrong, field, says",
    [
        ({"rule": "FREQ=SECONDLY"}, "rule", "DAILY"),
        ({"rule": 7}, "rule", "string"),
        ({"rule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "rule", "no day that exists"),
        ({"time_zone": "Mars/Olympus"}, "time_zone", "no time zone"),
        ({"first_start_time": "2027-01-12T03:00:00"}, "first_start_time", "offset"),
        ({"estimated_duration_seconds": 0}, "estimated_duration_seconds", "60"),
        ({"estimated_duration_seconds": 9 * 86_400}, "estimated_duration_seconds", "too long for the rule"),
        ({"affected_services": ["nobody"]}, "affected_services", "There is no service 'nobody'"),
        ({"affected_services": []}, "affected_services", "empty"),
        ({"slug": "preview"}, "slug", "address of the API"),
        ({"slug": "Not A Slug"}, "slug", "lower-case"),
        ({"title": "!!!"}, "slug", "Cannot be made from this title"),
        ({"gates": [{"gate": "nowhere"}]}, "gates", "nowhere"),
    ],
)
def test_what_is_no_series_is_a_400_by_field(api: Clients, wrong: dict[str, object], field: str, says: str) -> None:
    make_service("shop-db")

    answer = api("operator").post(ADDRESS, body(**wrong))

    assert answer.status_code == 400
    assert says in " ".join(answer.json()["errors"][field])
    assert not Series.objects.exists()


def test_a_slug_that_is_taken_is_a_400(api: Clients) -> None:
    make_series("weekly-patching")
    make_service("shop-db")

    answer = api("operator").post(ADDRESS, body())

    assert "already" in answer.json()["errors"]["slug"][0]


def test_a_preview_says_what_the_clocks_do_and_stores_nothing(api: Clients) -> None:
    next_march = datetime(utc_now().year + 1, 3, 20, 1, 30, tzinfo=ZoneInfo("Europe/London"))
    asked = {
        "rule": "freq=daily",
        "time_zone": "Europe/London",
        "first_start_time": next_march.isoformat(),
        "estimated_duration_seconds": 7200,
        "count": 15,
    }

    answer = api("viewer").post(f"{ADDRESS}/preview", asked)

    assert answer.status_code == 200, answer.json()
    shown = answer.json()
    assert (shown["rule"], shown["rule_words"]) == ("FREQ=DAILY", "every day, 01:30–03:30 (Europe/London)")
    assert len(shown["occurrences"]) == 15
    (gap,) = [each for each in shown["occurrences"] if each["note"]]
    assert "does not exist" in gap["note"]
    assert gap["start_time"].endswith("T01:30:00Z"), "02:30 of summer time"
    assert not Series.objects.exists()


def test_a_preview_refuses_what_a_series_refuses(api: Clients) -> None:
    asked = {name: value for name, value in body().items() if name not in ("title", "affected_services")}

    answer = api("viewer").post(f"{ADDRESS}/preview", {**asked, "rule": "FREQ=DAILY;COUNT=0"})

    assert "COUNT must be 1" in answer.json()["errors"]["rule"][0]


def test_a_series_is_changed_and_its_windows_with_it(api: Clients) -> None:
    series = make_series()

    answer = api("operator").patch(f"{ADDRESS}/patching", {"title": "Patch day", "estimated_duration_seconds": 3600})

    assert answer.status_code == 200, answer.json()
    assert answer.json()["estimated_duration_seconds"] == 3600
    rows = Window.objects.filter(series=series)
    assert set(rows.values_list("title", "estimated_duration_seconds")) == {("Patch day", 3600)}
    refused = api("operator").patch(f"{ADDRESS}/patching", {"slug": "other"})
    assert "cannot be changed" in refused.json()["errors"]["slug"][0]


def test_one_occurrence_is_skipped(api: Clients) -> None:
    make_series()
    client = api("operator")
    second = (next_tuesday() + timedelta(days=7)).isoformat()

    answer = client.post(f"{ADDRESS}/patching/skip", {"occurrence": second, "reason": "Holiday"})

    assert answer.status_code == 200, answer.json()
    (note,) = answer.json()["notes"]
    assert (note["skipped"], note["reason"]) == (True, "Holiday")
    assert datetime.fromisoformat(note["occurrence"]) == datetime.fromisoformat(second)
    nothing = client.post(f"{ADDRESS}/patching/skip", {"occurrence": "2030-01-01T00:00:00Z"})
    assert (nothing.status_code, "names no start" in nothing.json()["errors"]["occurrence"][0]) == (400, True)


def test_a_series_ends_once_and_its_windows_go_when_asked(api: Clients) -> None:
    make_series()
    client = api("operator")

    assert client.delete(f"{ADDRESS}/patching?cancel_scheduled=maybe").status_code == 400
    assert client.delete(f"{ADDRESS}/patching?cancel=true").status_code == 400
    answer = client.delete(f"{ADDRESS}/patching?cancel_scheduled=true")

    assert answer.status_code == 200
    assert answer.json()["ended_time"] is not None
    assert answer.json()["windows"] == []
    again = client.delete(f"{ADDRESS}/patching")
    assert (again.status_code, again.json()["current_status"]) == (409, "ended")


def test_rights_are_those_of_maintenance(api: Clients) -> None:
    make_series()
    viewer = api("viewer")

    assert viewer.get(ADDRESS).status_code == 200
    assert viewer.post(ADDRESS, body()).status_code == 403
    assert viewer.patch(f"{ADDRESS}/patching", {"title": "x"}).status_code == 403
    assert viewer.delete(f"{ADDRESS}/patching").status_code == 403
    assert viewer.post(f"{ADDRESS}/patching/skip", {}).status_code == 403
    assert APIClient().get(ADDRESS).status_code == 401
    assert api("operator").get(f"{ADDRESS}/nothing").status_code == 404


def test_lists_are_narrowed_and_cost_a_fixed_number_of_queries(
    api: Clients, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    ended, *_ = [make_series(f"series-{number}") for number in range(4)]
    services.end_series(ended, cancel_scheduled=False, by=BY, at=utc_now())
    slug = Series.objects.get(slug="series-2").services.get().slug
    client = api("viewer")
    client.get(ADDRESS)  # notes the use of the token

    with django_assert_max_num_queries(5):
        assert len(client.get(ADDRESS).json()["results"]) == 4
    assert [row["slug"] for row in client.get(f"{ADDRESS}?service={slug}").json()["results"]] == ["series-2"]
    assert [row["slug"] for row in client.get(f"{ADDRESS}?ended=true").json()["results"]] == ["series-0"]
    assert len(client.get(f"{ADDRESS}?ended=false").json()["results"]) == 3
    assert client.get(f"{ADDRESS}?ended=perhaps").status_code == 400
