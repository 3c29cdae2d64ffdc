"""A real worker makes itself known, says good-bye, or is missed."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from django.utils import timezone

from catalogue.models import Host
from monitoring import processes, services, sightings
from monitoring.models import ResourceSample, WorkerSighting
from monitoring.rules import Status
from sysops.access.actors import Actor
from sysops.access.models import AuditEntry
from sysops.celery import app
from tests.services import Home

Worker = subprocess.Popen[bytes]
Start = Callable[[], Worker]


@pytest.fixture
def start_worker(home: Home, child_environ: Mapping[str, str], tmp_path: Path) -> Iterator[Start]:
    started: list[Worker] = []
    with redis.Redis(unix_socket_path=str(home.queue.socket)) as queue:
        queue.flushall()  # other tests have left thousands of wake-ups, which the worker would work off first

    def start() -> Worker:
        argv = [sys.executable, "-m", "celery", "-A", "sysops", "worker", "-n", "probe@here", "-Q", "default,backups"]
        log = (tmp_path / "worker.log").open("ab")
        with log:
            # As `sysops up` starts it: SIGTERM becomes a soft shutdown with a limit.
            env = {**child_environ, "REMAP_SIGTERM": "SIGQUIT"}
            worker = subprocess.Popen([*argv, "-c", "1"], env=env, stdout=log, stderr=log)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        with contextlib.suppress(ProcessLookupError):
            worker.kill()
        worker.wait(10)


def wait_for(true: Callable[[], bool], *, within: float = 100) -> None:
    until = time.monotonic() + within
    while not true():
        assert time.monotonic() < until, "It did not happen in time"
        time.sleep(0.2)


def is_there(pid: int) -> Callable[[], bool]:
    return lambda: WorkerSighting.objects.filter(name="probe@here", pid=pid, stopped_at=None).exists()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.django_db(transaction=True)
def test_a_worker_makes_itself_and_its_machine_known_and_says_good_bye(start_worker: Start) -> None:
    worker = start_worker()
    wait_for(is_there(worker.pid))

    sighting = WorkerSighting.objects.get()
    assert (sighting.queues, sighting.host) == (["backups", "default"], "test-host")
    assert Host.objects.get().name == "test-host"
    wait_for(lambda: ResourceSample.objects.filter(host="test-host").exists())
    workers, queues = processes.workers_and_queues(timezone.now())
    assert [(reading.name, reading.status) for reading in workers] == [("probe@here", Status.HEALTHY)]
    assert {reading.name: reading.status for reading in queues}["default"] is Status.HEALTHY

    worker.send_signal(signal.SIGTERM)
    worker.wait(60)

    assert WorkerSighting.objects.get().stopped_at is not None
    assert processes.workers_and_queues(timezone.now())[0] == []


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_killed_is_missed_until_its_successor_comes(start_worker: Start) -> None:
    first = start_worker()
    wait_for(is_there(first.pid))
    first.kill()
    first.wait(10)

    (reading,), _ = processes.workers_and_queues(timezone.now() + timedelta(seconds=60))
    assert reading.status is Status.UNHEALTHY

    second = start_worker()
    wait_for(is_there(second.pid))
    (reading,), _ = processes.workers_and_queues(timezone.now())
    assert reading.status is Status.HEALTHY


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.django_db(transaction=True)
def test_a_worker_outlives_a_queue_that_takes_no_writes(start_worker: Start, home: Home, tmp_path: Path) -> None:
    worker = start_worker()
    wait_for(is_there(worker.pid))

    with redis.Redis(unix_socket_path=str(home.queue.socket)) as queue:
        queue.config_set("min-replicas-to-write", 1)  # refused as with a full disk, which says MISCONF
        try:
            wait_for(lambda: "NOREPLICAS" in (tmp_path / "worker.log").read_text())
            time.sleep(2)
        finally:
            queue.config_set("min-replicas-to-write", 0)
        app.send_task("events.relay")

        wait_for(lambda: queue.llen("default") == 0)
    assert worker.poll() is None


@pytest.mark.django_db(transaction=True)
def test_a_worker_whose_loop_is_stuck_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sightings, "EVERY_SECONDS", 0.05)
    announcer = sightings.Announcer(name="stuck@here", queues=["default"])
    announcer.start()

    def is_silent() -> bool:
        last_seen = WorkerSighting.objects.get().last_seen_at
        time.sleep(0.5)
        return WorkerSighting.objects.get().last_seen_at == last_seen

    try:
        wait_for(lambda: WorkerSighting.objects.filter(name="stuck@here").exists())
        wait_for(lambda: not is_silent(), within=30)
        announcer.loop_turned -= sightings.LOOP_TURNS_WITHIN_SECONDS
        wait_for(is_silent, within=30)  # what it was writing just now still comes
    finally:
        announcer.say_good_bye()
        announcer.finish()


@pytest.mark.django_db
def test_forgetting_a_worker_is_recorded_and_ends_that_it_is_missed() -> None:
    at = timezone.now()
    services.sight_worker(
        name="old@gone", host="gone", pid=1, queues=[], active_count=0, started_at=at, stopped_at=None, at=at
    )

    services.forget_worker(WorkerSighting.objects.get(), by=Actor.user("ada"), at=at)

    assert processes.workers_and_queues(at)[0] == []
    entry = AuditEntry.objects.order_by("-id")[0]
    assert (entry.action, entry.actor) == ("monitoring.worker.forgotten", "ada")


@pytest.mark.django_db
def test_workers_nobody_has_seen_for_days_are_history() -> None:
    long_ago = timezone.now() - timedelta(days=3)
    for name, at in [("old@gone", long_ago), ("new@here", timezone.now())]:
        services.sight_worker(
            name=name, host="here", pid=1, queues=[], active_count=0, started_at=at, stopped_at=None, at=at
        )

    assert [sighting.name for sighting in WorkerSighting.objects.all()] == ["new@here"]
