"""Alerts over HTTP."""

from collections.abc import Callable

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from notifications.rules import Level
from tests.alerting.support import MINUTE, NOW, fire, maintenance, make_service, make_team, resolve
from tests.api.conftest import _static_files_on_demand, api, token

__all__ = ["_static_files_on_demand", "api", "token"]

pytestmark = pytest.mark.django_db

ROOT = "/api/system/alerts"
Api = Callable[[str], APIClient]


def keys(client: APIClient, query: str = "") -> list[str]:
    answer = client.get(f"{ROOT}{query}")
    assert answer.status_code == 200, answer.content
    return [row["key"] for row in answer.json()["results"]]


def furnish() -> None:
    shop, blog = make_service("shop-db", owner=make_team()), make_service("blog")
    fire(blog, key="over")
    resolve(key="over")
    fire(blog, key="critical", level=Level.CRITICAL)
    maintenance(shop)
    fire(shop, key="held", at=NOW + MINUTE)


def test_a_viewer_reads_what_is_wrong_what_is_held_back_and_what_is_over(api: Api) -> None:
    furnish()
    viewer = api("viewer")

    assert keys(viewer) == ["held", "critical", "over"]
    assert keys(viewer, "?status=open") == ["held", "critical"]
    assert keys(viewer, "?status=resolved") == ["over"]
    assert keys(viewer, "?service=shop-db") == ["held"]
    assert keys(viewer, "?level=critical&status=open") == ["critical"]

    held = viewer.get(f"{ROOT}?service=shop-db").json()["results"][0]
    assert (held["status"], held["held_back_by"], held["told_at"]) == ("open", "Window 12: new disks", None)
    assert viewer.get(f"{ROOT}/{held['id']}").json() == held


@pytest.mark.parametrize(
    ("query", "field"), [("?status=maybe", "status"), ("?service=nothing", "service"), ("?levle=info", "levle")]
)
def test_a_filter_that_cannot_be_meant_is_a_400_that_names_it(api: Api, query: str, field: str) -> None:
    answer = api("viewer").get(ROOT + query)

    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


@pytest.mark.parametrize("key", ["999999", "none", "1e3", "٣", "9" * 40, "9" * 5000])
def test_what_is_not_there_is_a_404(api: Api, key: str) -> None:
    assert api("viewer").get(f"{ROOT}/{key}").status_code == 404


def test_nobody_reads_without_a_right_and_nobody_writes(api: Api) -> None:
    assert api("").get(ROOT).status_code == 401
    assert api("admin").post(ROOT, {}).status_code == 405


def test_a_list_costs_the_same_however_long_it_is(
    api: Api, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    viewer, service = api("viewer"), make_service("blog")
    for number in range(30):
        fire(service, key=f"check:{number}")
    keys(viewer)

    with django_assert_max_num_queries(4):
        assert len(keys(viewer, "?page_size=30")) == 30
