"""Health over HTTP, against the session's real PostgreSQL and Valkey, also while they are frozen."""

import contextlib
import re
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

import psutil
import psycopg
import pytest
import redis
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from monitoring import health, processes, selectors, services
from monitoring.models import ResourceSample, WorkerSighting
from monitoring.parts import _redis_url
from monitoring.queues import names_in_use
from sysops.access.actors import Actor
from sysops.access.roles import Role
from sysops.access.services import create_token
from sysops.celery import app

pytestmark = pytest.mark.django_db

HEALTH = "/api/system/health"
BY = Actor.system()


@pytest.fixture(autouse=True)
def _imported() -> None:
    """Importing every task module is the first asker's; not what is measured here."""
    names_in_use()


@pytest.fixture(autouse=True)
def _patient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is slow to answer, too: only a part that is frozen is not waited for as long as it takes."""
    limit = 2.0 if "frozen" in request.node.name else 30.0
    monkeypatch.setattr(selectors, "measure", partial(health.measure, limit=limit))


@pytest.fixture
def viewer() -> APIClient:
    _, text = create_token("monitor", role=Role.VIEWER, ttl=None, by=BY, at=timezone.now())
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


def see_worker(name: str = "all@here", *, age: float = 0, queues: tuple[str, ...] | None = None) -> None:
    at = timezone.now() - timedelta(seconds=age)
    services.sight_worker(
        name=name,
        host="here",
        pid=4242,
        queues=names_in_use() if queues is None else queues,
        active_count=1,
        started_at=at,
        stopped_at=None,
        at=at,
    )


def beat_ran(*, age: float | None, every: int = 10) -> None:
    schedule, _ = IntervalSchedule.objects.get_or_create(every=every, period=IntervalSchedule.SECONDS)
    task = PeriodicTask.objects.create(name=f"tick {every}", task="events.relay", interval=schedule)
    if age is not None:
        PeriodicTask.objects.filter(pk=task.pk).update(last_run_at=timezone.now() - timedelta(seconds=age))


@contextlib.contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """The processes and their children stopped, as on a machine that hangs."""
    found = [process for pid in pids for process in (psutil.Process(pid), *psutil.Process(pid).children())]
    for process in found:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(found):
            process.send_signal(signal.SIGCONT)


def broker_pid() -> int:
    client = redis.Redis.from_url(_redis_url(app.conf.broker_url))
    try:
        return int(client.info("server")["process_id"])
    finally:
        client.close()


def database_pid() -> int:
    with psycopg.connect(**connection.get_connection_params()) as probe:
        return psutil.Process(probe.info.backend_pid).ppid()


def test_the_public_sees_the_status_and_nothing_else() -> None:
    answer = APIClient().get(HEALTH)

    assert set(answer.json()) == {"status"}
    assert answer["Cache-Control"] == "no-store"


def test_with_everything_at_work_health_is_200_and_has_the_shape_of_the_contract(viewer: APIClient) -> None:
    see_worker()
    beat_ran(age=5)

    answer = viewer.get(HEALTH)

    body = answer.json()
    assert (answer.status_code, body["status"] in ("healthy", "degraded")) == (200, True), body
    assert set(body) == {"timestamp", "status", "services", "resources", "performance"}
    assert {"database", "redis", "api", "beat", "storage", "workers"} <= set(body["services"])
    for name in ("database", "redis", "api", "beat", "storage"):
        part = body["services"][name]
        assert set(part) == {"name", "status", "response_time_seconds", "last_check", "details"}
        assert part["name"] == name
    assert 0 < body["services"]["database"]["response_time_seconds"] < 30
    assert 0 < body["services"]["redis"]["response_time_seconds"] < 30
    assert body["services"]["workers"][0]["details"]["pid"] == 4242
    for name in ("cpu", "memory", "disk"):
        assert set(body["resources"][name]) == {"current", "max", "percentage", "trend"}
    assert 0 < body["resources"]["memory"]["percentage"] <= 100
    assert body["resources"]["network"]["bytes_in"] >= 0


def test_what_is_not_known_is_null_and_says_why(viewer: APIClient) -> None:
    body = viewer.get(HEALTH).json()

    assert body["services"]["beat"]["status"] is None
    assert "nothing shows" in body["services"]["beat"]["details"]["summary"]
    assert body["resources"]["cpu"]["trend"] is None
    assert body["performance"]["uptime_percent"] is None
    assert body["performance"]["notes"]["uptime_percent"]


def test_a_token_without_rights_to_it_is_refused_only_when_it_is_bad() -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Bearer sysops_unknown")

    assert client.get(HEALTH).status_code == 401


def test_a_worker_that_fell_silent_makes_health_unhealthy_and_is_named(viewer: APIClient) -> None:
    see_worker()
    see_worker("backups@there", age=60, queues=("backups",))
    beat_ran(age=5)

    answer = viewer.get(HEALTH)

    assert answer.status_code == 503
    silent = next(w for w in answer.json()["services"]["workers"] if w["name"] == "backups@there")
    assert silent["status"] == "unhealthy"
    assert re.search(r"last heard of 6\d s ago", silent["details"]["summary"])


def test_a_worker_that_said_good_bye_is_not_missed_but_its_queue_is(viewer: APIClient) -> None:
    see_worker()
    sighting = WorkerSighting.objects.get()
    services.sight_worker(
        name=sighting.name,
        host=sighting.host,
        pid=sighting.pid,
        queues=sighting.queues,
        active_count=0,
        started_at=sighting.started_at,
        stopped_at=timezone.now(),
        at=timezone.now(),
    )

    parts = viewer.get(HEALTH).json()["services"]

    assert parts["workers"] == []
    assert {queue["status"] for queue in parts["queues"]} == {"unhealthy"}
    assert "No live worker takes from the queue" in parts["queues"][0]["details"]["summary"]


def test_a_late_good_bye_does_not_hide_the_worker_that_came_after() -> None:
    see_worker("all@here", age=30)
    first = WorkerSighting.objects.get()
    see_worker("all@here")

    at = timezone.now()
    services.sight_worker(
        name="all@here",
        host="here",
        pid=1,
        queues=[],
        active_count=0,
        started_at=first.started_at,
        stopped_at=at,
        at=at,
    )

    assert WorkerSighting.objects.get().stopped_at is None


def test_an_expected_worker_that_never_came_is_missed(viewer: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "expected_workers", lambda: frozenset({"intake@here"}))

    workers = viewer.get(HEALTH).json()["services"]["workers"]

    assert [(w["name"], w["status"]) for w in workers] == [("intake@here", "unhealthy")]
    assert workers[0]["details"]["summary"] == "Has never made itself known"


@pytest.mark.parametrize(("age", "status"), [(5, "healthy"), (90, "degraded"), (300, "unhealthy")])
def test_the_scheduler_is_judged_by_when_it_last_sent_a_tick(viewer: APIClient, age: float, status: str) -> None:
    beat_ran(age=age)

    assert viewer.get(HEALTH).json()["services"]["beat"]["status"] == status


def test_a_task_that_runs_once_a_day_says_nothing_about_the_scheduler(viewer: APIClient) -> None:
    beat_ran(age=7200, every=86400)

    assert viewer.get(HEALTH).json()["services"]["beat"]["status"] is None


def test_a_scheduler_that_never_sent_anything_is_given_a_minute(viewer: APIClient) -> None:
    beat_ran(age=None)
    assert viewer.get(HEALTH).json()["services"]["beat"]["status"] == "healthy"

    PeriodicTask.objects.update(date_changed=timezone.now() - timedelta(minutes=10))
    assert viewer.get(HEALTH).json()["services"]["beat"]["status"] == "unhealthy"


def test_the_answer_costs_few_queries_however_many_workers(
    viewer: APIClient, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(5):
        see_worker(f"worker{number}@here")
        beat_ran(age=5, every=10 + number)

    viewer.get(HEALTH)
    with django_assert_max_num_queries(6):
        viewer.get(HEALTH)


def test_samples_of_the_last_hour_give_the_most_and_the_trend(viewer: APIClient) -> None:
    from sysops.env import current

    now = timezone.now().replace(second=0, microsecond=0)
    for minute in range(12):
        ResourceSample.objects.create(
            host=current().host_name,
            minute=now - timedelta(minutes=minute),
            cpu_percent=90 - 7 * minute,
            memory_used_bytes=1,
            memory_total_bytes=2,
            disk_used_bytes=10**15,
            disk_total_bytes=10**16,
        )

    resources = viewer.get(HEALTH).json()["resources"]

    assert resources["cpu"]["trend"] == "increasing"
    assert resources["cpu"]["max"] >= 90
    assert resources["disk"]["max"] == 10**15
    assert resources["memory"]["trend"] == "stable"


def test_a_frozen_broker_is_unhealthy_within_a_second_and_healthy_after(viewer: APIClient) -> None:
    see_worker()
    beat_ran(age=5)
    assert _soon(lambda: viewer.get(HEALTH).json()["services"]["redis"]["status"] == "healthy")
    time.sleep(1.1)  # longer than a reading is kept

    with frozen(broker_pid()):
        began = time.monotonic()
        answer = viewer.get(HEALTH)
        took = time.monotonic() - began
        ready = APIClient().get(f"{HEALTH}/ready")

    assert took < 20
    assert answer.status_code == 503
    queue = answer.json()["services"]["redis"]
    assert queue["status"] == "unhealthy"
    # It was still being asked: not its own time-outs ended the wait.
    assert re.match(r"No answer for \d\.\d s", queue["details"]["summary"])
    assert answer.json()["services"]["database"]["status"] == "healthy"
    assert ready.status_code == 200  # what is asked for now is taken up when the broker is back
    assert _soon(lambda: viewer.get(HEALTH).json()["services"]["redis"]["status"] == "healthy")


def test_a_frozen_database_is_unhealthy_within_a_second_and_healthy_after(viewer: APIClient) -> None:
    viewer.get(HEALTH)

    with frozen(database_pid()):
        began = time.monotonic()
        answer, ready, live = (viewer.get(f"{HEALTH}{part}") for part in ("", "/ready", "/live"))
        took = time.monotonic() - began

    assert took < 20
    assert (answer.status_code, answer.json()) == (503, {"status": "unhealthy"})
    assert (ready.status_code, ready.json()) == (503, {"status": "not ready", "missing": ["database"]})
    assert live.status_code == 200
    assert _soon(lambda: viewer.get(HEALTH).json()["services"]["database"]["status"] == "healthy")


def _soon(true: Callable[[], bool], *, within: float = 60) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        if true():
            return True
        time.sleep(0.2)
    return False


def test_ready_needs_the_migrations_of_this_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert APIClient().get(f"{HEALTH}/ready").json() == {"status": "ready", "missing": []}

    monkeypatch.setattr(selectors, "_seen_migrated", False)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'monitoring'")
    answer = APIClient().get(f"{HEALTH}/ready/")

    assert (answer.status_code, answer.json()["missing"]) == (503, ["migrations"])


def test_live_asks_nobody(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Bearer sysops_unknown")

    with django_assert_max_num_queries(0):
        assert client.get(f"{HEALTH}/live").json() == {"status": "alive"}
