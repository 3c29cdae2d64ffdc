"""Waking the queue: it may fail, and it never makes anybody wait."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery

import celeryconfig
from sysops.celery import app as ours
from sysops.events import waking
from sysops.events.waking import PATIENCE_SECONDS, wake
from tests.services import Home, free_port


def app_of(broker_url: str) -> Celery:
    """Our Celery configuration with another broker."""
    app = Celery("test", set_as_current=False)
    app.config_from_object(celeryconfig)
    app.conf.update(broker_url=broker_url)
    patient = {"socket_timeout": 60, "socket_connect_timeout": 60}  # so that these are not what ends a wait
    app.conf.update(broker_transport_options={**app.conf.broker_transport_options, **patient})
    return app


@pytest.fixture(autouse=True)
def _closed_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "_breaker", waking._Breaker())


@pytest.fixture
def frozen_broker() -> Iterator[str]:
    """A server that takes connections and never says anything, like a stopped process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.fixture
def queue(home: Home) -> Iterator["redis.Redis"]:
    with redis.Redis(unix_socket_path=str(home.queue.socket)) as client:
        client.flushall()
        yield client
        client.flushall()


def seconds_of_waking() -> tuple[bool, float]:
    start = time.monotonic()
    return wake("events.relay"), time.monotonic() - start


def test_a_message_reaches_the_queue_its_task_is_routed_to(queue: "redis.Redis") -> None:
    assert wake("backups.take", subject="7") is True

    (name,) = queue.keys("backups*")
    assert name == b"backups\x06\x163", "of its queue, the list for its priority"
    message = json.loads(queue.lindex(name, 0))  # type: ignore[arg-type]
    assert message["headers"]["task"] == "backups.take"
    assert queue.llen(name) == 1


def test_a_refused_connection_costs_less_than_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "app", app_of(f"redis://127.0.0.1:{free_port()}/0"))

    sent, seconds = seconds_of_waking()

    assert not sent
    assert seconds < PATIENCE_SECONDS + 10


def test_a_frozen_broker_costs_one_caller_the_patience_and_the_next_ones_nothing(
    monkeypatch: pytest.MonkeyPatch, frozen_broker: str
) -> None:
    monkeypatch.setattr(waking, "app", app_of(frozen_broker))

    sent, first = seconds_of_waking()
    later = [seconds_of_waking() for _ in range(100)]

    assert not sent
    assert first < PATIENCE_SECONDS + 10
    assert not any(sent for sent, _ in later)
    assert sum(seconds for _, seconds in later) < PATIENCE_SECONDS, "not one of them waits"


def test_a_system_that_refuses_a_thread_costs_a_delay_and_fails_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert wake("events.relay") is False


def test_callers_at_once_all_come_back_in_time_from_a_frozen_broker(
    monkeypatch: pytest.MonkeyPatch, frozen_broker: str
) -> None:
    monkeypatch.setattr(waking, "app", app_of(frozen_broker))
    threads = [threading.Thread(target=wake, args=["events.relay"]) for _ in range(30)]

    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert time.monotonic() - start < PATIENCE_SECONDS + 20


def test_when_it_is_time_to_try_again_one_caller_tries_and_the_others_do_not_wait(
    monkeypatch: pytest.MonkeyPatch, frozen_broker: str
) -> None:
    monkeypatch.setattr(waking, "app", app_of(frozen_broker))
    monkeypatch.setattr(waking, "PATIENCE_SECONDS", 0.5)
    wake("events.relay")
    monkeypatch.setattr(waking._breaker, "_closed_until", 0.0)
    monkeypatch.setattr(waking, "REST_SECONDS", 60.0)
    tried, send = list[str](), waking._send

    def counted(name: str, *given: Any) -> None:
        tried.append(name)
        send(name, *given)

    monkeypatch.setattr(waking, "_send", counted)
    threads = [threading.Thread(target=wake, args=["events.relay"]) for _ in range(10)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(tried) == 1


def test_a_broker_that_is_away_is_logged_once_and_so_is_its_return(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, queue: "redis.Redis"
) -> None:
    monkeypatch.setattr(waking, "REST_SECONDS", 0.0)
    monkeypatch.setattr(waking, "app", app_of(f"redis://127.0.0.1:{free_port()}/0"))

    with caplog.at_level(logging.INFO, logger="sysops.events.waking"):
        assert [wake("events.relay") for _ in range(3)] == [False] * 3
        monkeypatch.setattr(waking, "app", ours)
        assert [wake("events.relay") for _ in range(3)] == [True] * 3

    texts = [record.getMessage() for record in caplog.records if record.name == "sysops.events.waking"]
    assert len(texts) == 2
    assert texts[0].startswith("The broker is away")
    assert texts[1] == "The broker is back"


def test_arguments_that_are_no_json_are_a_mistake_and_not_a_broker_that_is_away(queue: "redis.Redis") -> None:
    with pytest.raises(TypeError):
        wake("backups.take", subject=object())

    assert wake("backups.take", subject="7") is True
