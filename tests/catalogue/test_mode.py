"""What a service's own proxy is told, and how fast."""

import time
from datetime import UTC, datetime, timedelta
from statistics import median

import pytest
from django.conf import LazySettings
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from catalogue import services
from catalogue.models import Service
from catalogue.rules import State
from sysops.access.actors import Actor

pytestmark = pytest.mark.django_db

BY = Actor.system()
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODE = "/api/system/services/shop/mode"


@pytest.fixture(autouse=True)
def _static_files_on_demand(settings: LazySettings) -> None:
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture
def shop() -> Service:
    return services.create(Service, {"slug": "shop", "name": "Shop"}, by=BY, at=NOW)


def close(service: Service, *, until: datetime | None) -> None:
    services.set_state(service, State.MAINTENANCE, until=until, maintenance_mode=True, by=BY, at=NOW)


def test_the_mode_of_a_service_is_public_and_tells_when_to_come_back(shop: Service, client: Client) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)

    normal = client.get(MODE)
    close(shop, until=until)
    held = client.get(f"{MODE}/")

    assert (normal.status_code, normal.json()) == (200, {"mode": "normal"})
    assert (normal["Sysops-Mode"], held["Sysops-Mode"]) == ("normal", "maintenance")
    assert "Retry-After" not in normal
    assert held.status_code == 503
    assert held.json()["mode"] == "maintenance"
    assert datetime.fromisoformat(held.json()["until"]) == until
    assert 3590 <= int(held["Retry-After"]) <= 3600
    assert client.get("/api/system/services/nowhere/mode").status_code == 404


def test_an_overrun_or_an_unknown_end_is_asked_for_again_soon(shop: Service, client: Client) -> None:
    close(shop, until=None)
    assert (client.get(MODE)["Retry-After"], client.get(MODE).json()["until"]) == ("60", None)

    close(shop, until=datetime.now(UTC) - timedelta(minutes=5))
    assert client.get(MODE)["Retry-After"] == "60"


def test_a_cache_may_keep_both_answers_for_everybody_for_a_few_seconds(shop: Service, client: Client) -> None:
    normal = client.get(MODE)
    close(shop, until=None)

    for answer in (normal, client.get(MODE)):
        assert answer["Cache-Control"] == "public, max-age=5"
        assert "Vary" not in answer  # a header that differs between users would make one copy per user
        assert not answer.cookies


def test_an_answer_that_turns_users_away_is_no_error_of_ours(
    shop: Service, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    close(shop, until=None)

    client.get(MODE)

    assert caplog.records == []


@pytest.mark.parametrize("state", [State.DOWN, State.DEGRADED, State.MAINTENANCE])
def test_only_maintenance_mode_turns_users_away(shop: Service, client: Client, state: State) -> None:
    services.set_state(shop, state, by=BY, at=NOW)

    assert client.get(MODE).json() == {"mode": "normal"}


def test_the_answer_costs_no_more_among_a_thousand_services(
    shop: Service, client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    def cost() -> float:
        times = []
        for _ in range(100):
            began = time.thread_time()  # whatever else this machine does just now
            client.get(MODE)
            times.append(time.thread_time() - began)
        return median(times)

    close(shop, until=None)
    cost()
    alone = cost()
    Service.objects.bulk_create(Service(slug=f"s{n}", name=f"S {n}") for n in range(1_000))

    with django_assert_num_queries(1):
        client.get(MODE)
    assert cost() < 2 * alone
