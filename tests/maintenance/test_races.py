"""Several at the same instant, and workers killed in the middle: one winner, nothing twice, nothing lost."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from django.db import connection

from catalogue.models import Service
from maintenance.models import Notice, Window, WrongState
from maintenance.services import notices, running, scheduling, ticking
from maintenance.services.scheduling import Conflicts
from notifications.models import Message
from tests.maintenance.support import (
    BY,
    HOUR,
    NOW,
    START,
    clock,
    make_running,
    make_service,
    make_window,
    plan,
    state_of,
    told,
)
from tests.running import until

ROOT = Path(__file__).parents[2]
DAY = timedelta(days=1)
TRIES = 100


def at_once(*acts: Callable[[], object]) -> list[object]:
    """What each act gave or raised, all begun at the same instant on connections of their own."""
    barrier = threading.Barrier(len(acts))
    outcomes: list[object] = [None] * len(acts)

    def run(number: int, act: Callable[[], object]) -> None:
        try:
            barrier.wait(60)
            outcomes[number] = act()
        except Exception as exc:
            outcomes[number] = exc
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number, act)) for number, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    return outcomes


@pytest.mark.django_db(transaction=True)
def test_of_two_operators_who_schedule_the_same_service_for_the_same_second_one_wins_each_time() -> None:
    database = make_service("db")
    shop = make_service("shop", make_service("api", database))

    for number in range(TRIES):
        start = START + number * DAY
        pair = (database, shop) if number % 2 else (database, database)  # the same one, or one below the other

        outcomes = at_once(*(partial(_schedule, service, start=start) for service in pair))

        winners = [outcome for outcome in outcomes if isinstance(outcome, Window)]
        losers = [outcome for outcome in outcomes if isinstance(outcome, Conflicts)]
        assert (len(winners), len(losers)) == (1, 1), (number, outcomes)
        assert losers[0].windows == winners
    assert Window.objects.count() == TRIES == Message.objects.count()


@pytest.mark.django_db(transaction=True)
def test_many_operators_and_many_services_never_wait_for_each_other_in_a_circle() -> None:
    services = [make_service() for _ in range(6)]
    turned = [[*services[n:], *services[:n]] for n in range(6)]

    outcomes = at_once(*(partial(_schedule, *order) for order in turned))

    assert sum(isinstance(outcome, Window) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Conflicts) for outcome in outcomes) == 5


@pytest.mark.django_db(transaction=True)
def test_of_two_who_start_or_complete_a_window_one_wins() -> None:
    database = make_service("db")
    for number in range(5):
        window = make_window(database, start=START + number * DAY)
        now = window.scheduled_start

        started = at_once(*[partial(running.start, window.pk, by=BY, at=clock(now))] * 2)
        completed = at_once(*[partial(running.complete, window, by=BY, at=now + HOUR)] * 2)

        for outcomes in (started, completed):
            assert {type(outcome) for outcome in outcomes} == {Window, WrongState}
        assert told(window) == ["scheduled", "started", "completed"]
        assert state_of(database) == "normal"


@pytest.mark.django_db(transaction=True)
def test_two_windows_on_one_service_that_complete_together_leave_it_as_it_was() -> None:
    database = make_service("db")
    for number in range(5):
        now = START + number * DAY
        planned = make_running(database, start=now, at=now)
        emergency = make_window(database, emergency=True, start=now)
        running.start(emergency.pk, by=BY, at=clock(now))

        at_once(*(partial(running.complete, window, by=BY, at=now + HOUR) for window in (planned, emergency)))

        assert state_of(database) == "normal"


@pytest.mark.django_db(transaction=True)
def test_ticks_at_once_do_nothing_twice() -> None:
    windows = [make_window(starts_itself=True, hours=1) for _ in range(5)]
    late = [make_running(start=START - 2 * HOUR, at=START - 2 * HOUR) for _ in range(5)]
    others = [make_window(start=START + HOUR) for _ in range(5)]

    outcomes = at_once(*[lambda: ticking.tick(now=clock(START))] * 3)

    assert all(isinstance(outcome, ticking.Ticked) for outcome in outcomes), outcomes
    assert [told(window).count("started") for window in windows] == [1] * 5
    assert [told(window).count("overrun") for window in late] == [1] * 5
    assert [told(window).count("ahead") for window in others] == [1] * 5
    assert sum(o.started for o in outcomes if isinstance(o, ticking.Ticked)) == 5


def _schedule(*services: Service, start: datetime = START) -> Window:
    return scheduling.schedule(plan(*services, start=start), by=BY, at=NOW)


TICK = """
import django; django.setup()
from datetime import datetime
from maintenance.services import ticking
now = datetime.fromisoformat({now!r})
ticking.tick(now=lambda: now)
"""


@pytest.mark.django_db(transaction=True)
def test_a_tick_killed_in_the_middle_tells_nothing_twice_and_loses_nothing(child_environ: dict[str, str]) -> None:
    window = make_window(starts_itself=True)
    Notice.objects.bulk_create(
        Notice(window=window, kind="ahead", mark=f"made {n}", due_at=START - DAY) for n in range(300)
    )
    now = START - HOUR
    child = subprocess.Popen(
        [sys.executable, "-c", TICK.format(now=now.isoformat())],
        cwd=ROOT,
        env={**child_environ, "DJANGO_SETTINGS_MODULE": "sysops.settings"},
    )
    try:
        until(lambda: _told_ahead() > 20, seconds=60, what="a few notices told")
        os.kill(child.pid, signal.SIGKILL)
    finally:
        child.kill()
        child.wait(20)
    when_killed = _told_ahead()

    while notices.settle_due(now=now):
        pass

    assert 20 < when_killed < 301, "the child was to be killed in the middle"
    assert _told_ahead() == 301 == Message.objects.filter(kind="maintenance.ahead").values("key").distinct().count()
    assert not Notice.objects.filter(kind="ahead").exclude(state="posted").exists()


def _told_ahead() -> int:
    return Message.objects.filter(kind="maintenance.ahead").count()
