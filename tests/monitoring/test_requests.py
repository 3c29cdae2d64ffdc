"""How long API requests take, counted here and shared once a minute."""

import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from monitoring import figures, requests, services
from monitoring.models import RequestMinute
from monitoring.requests import Counter, RequestTimes
from monitoring.rules import Status, Tally

NOON = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)


class FakeClock:
    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def test_requests_are_counted_by_minute_and_the_first_of_the_next_one_says_so() -> None:
    clock = FakeClock()
    counter = Counter(clock=clock)

    told = [counter.add(seconds=0.1, failed=False), counter.add(seconds=0.2, failed=True)]
    clock.now += timedelta(minutes=1)
    told += [counter.add(seconds=0.1, failed=False), counter.add(seconds=0.1, failed=False)]

    assert told == [False, False, True, False]
    assert [(t.minute.minute, t.count, t.errors) for t in counter.waiting()] == [(0, 2, 1), (1, 2, 0)]


@pytest.fixture
def no_traffic(db: None) -> None:
    """Live servers of other tests store theirs in threads of their own, also after the test."""
    RequestMinute.objects.all().delete()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("no_traffic")
def test_finished_minutes_are_stored_for_other_processes_and_old_ones_go() -> None:
    RequestMinute.objects.create(minute=NOON - timedelta(days=2), process="old", count=1, errors=0)
    clock = FakeClock()
    counter = Counter(clock=clock)
    counter.add(seconds=0.1, failed=True)
    clock.now += timedelta(minutes=1)
    counter.add(seconds=0.1, failed=False)

    counter.store()
    counter.store()

    row = RequestMinute.objects.get()
    assert (row.minute, row.count, row.errors) == (NOON.replace(second=0), 1, 1)
    assert sum(row.buckets.values()) == 1
    assert [tally.minute.minute for tally in counter.waiting()] == [1]


def test_what_cannot_be_stored_is_kept_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(tallies: list[Tally]) -> None:
        raise psycopg.OperationalError("gone")

    monkeypatch.setattr(services, "keep_request_minutes", refuse)
    clock = FakeClock()
    counter = Counter(clock=clock)
    for _ in range(100):
        counter.add(seconds=0.1, failed=False)
        counter.store()
        clock.now += timedelta(minutes=1)

    assert len(counter.waiting()) == requests.KEPT_MINUTES + 1


@pytest.mark.parametrize(("path", "counted"), [("/api/system/backups", 1), ("/api/system/health", 0), ("/admin/", 0)])
def test_the_api_is_measured_and_neither_health_nor_the_admin(
    path: str, counted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Counter()
    monkeypatch.setattr(requests, "counter", counter)
    request = HttpRequest()
    request.path_info = path

    RequestTimes(lambda _: HttpResponse(status=500))(request)

    assert [(tally.count, tally.errors) for tally in counter.waiting()] == [(1, 1)] * counted


def test_a_machine_without_threads_fails_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    clock = FakeClock()
    counter = Counter(clock=clock)
    monkeypatch.setattr(requests, "counter", counter)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    request = HttpRequest()
    request.path_info = "/api/system/backups"

    for _ in range(2):
        assert RequestTimes(lambda _: HttpResponse())(request).status_code == 200
        clock.now += timedelta(minutes=1)

    assert len(counter.waiting()) == 2


def test_a_service_in_maintenance_is_an_answer_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter(clock=FakeClock())
    monkeypatch.setattr(requests, "counter", counter)
    request = HttpRequest()
    request.path_info = "/api/system/services/shop/mode"

    RequestTimes(lambda _: HttpResponse(status=503, headers={"Sysops-Mode": "maintenance"}))(request)

    assert [(tally.count, tally.errors) for tally in counter.waiting()] == [(1, 0)]


def tally(*, minutes_ago: int, count: int, errors: int = 0, seconds: float = 0.1) -> Tally:
    made = Tally(minute=NOON - timedelta(minutes=minutes_ago), process="p")
    for number in range(count):
        made.add(seconds=seconds, failed=number < errors)
    return made


def test_the_api_is_judged_by_the_last_five_minutes() -> None:
    old, fine = tally(minutes_ago=30, count=500, errors=500), tally(minutes_ago=1, count=50)

    assert figures.api([old, fine], at=NOON).status is Status.HEALTHY
    assert figures.api([tally(minutes_ago=1, count=50, seconds=0.8)], at=NOON).status is Status.DEGRADED
    assert figures.api([tally(minutes_ago=1, count=50, errors=3)], at=NOON).status is Status.UNHEALTHY


def test_an_api_that_few_asked_is_not_judged_but_its_figures_are_shown() -> None:
    few = figures.api([tally(minutes_ago=1, count=2, errors=1)], at=NOON)
    none = figures.api([], at=NOON)

    assert (few.status, few.figures["error_rate_percent"]) == (None, 50.0)
    assert "too few" in few.details
    assert (none.status, none.response_time_seconds) == (None, None)


def test_throughput_is_a_rate_of_what_was_counted_and_says_when_that_was_short() -> None:
    short = figures.performance([tally(minutes_ago=6, count=60)], at=NOON)
    first = figures.performance([tally(minutes_ago=0, count=60)], at=NOON)

    assert short["throughput_per_hour"] == 600
    assert "last 6 minutes" in str(short["notes"])
    assert first["throughput_per_hour"] is None


@pytest.mark.django_db
@pytest.mark.usefixtures("no_traffic")
def test_traffic_is_that_of_all_processes_and_each_minute_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter()
    monkeypatch.setattr(figures, "counter", counter)
    counter.add(seconds=0.1, failed=False)
    (mine,) = counter.waiting()
    RequestMinute.objects.create(minute=mine.minute, process=mine.process, count=9, errors=0, buckets={"-26": 9})
    RequestMinute.objects.create(minute=mine.minute, process="other:1", count=5, errors=1, buckets={"-26": 5})

    assert sum(tally.count for tally in figures.traffic(timezone.now())) == 1 + 5
