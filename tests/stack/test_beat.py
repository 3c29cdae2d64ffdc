"""Beat goes on when the clock is set back: by its own measure nothing would be due until it has caught up."""

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from django_celery_beat.schedulers import ModelEntry

from sysops.beat import Scheduler
from sysops.celery import app
from sysops.kernel.clock import utc_now

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
TICKS = {"one", "two", "three"}


class Listed(Scheduler):
    """Notes what it would send."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        super().__init__(app=app)

    def setup_schedule(self) -> None:
        return

    def apply_entry(self, entry: ModelEntry, producer: object = None) -> None:
        self.sent.append(entry.name)

    def work(self, seconds: float) -> set[str]:
        """What it sends in that time."""
        self.sent.clear()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(min(max(self.tick(), 0), 0.1))
        return set(self.sent)


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listed]:
    monkeypatch.setattr("django_celery_beat.schedulers.close_old_connections", lambda: None)  # it is the test's
    PeriodicTask.objects.all().delete()
    second, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    for name in TICKS:
        PeriodicTask.objects.create(name=name, task="events.relay", interval=second, last_run_at=utc_now())
    made = Listed()
    yield made
    made._finalize.cancel()


def test_every_tick_goes_on_when_the_clock_is_set_back_while_beat_runs(scheduler: Listed) -> None:
    assert scheduler.work(1.5) == TICKS

    for entry in scheduler._schedule.values():  # as they are after a step back by an hour
        entry.last_run_at = entry.model.last_run_at = entry.last_run_at + HOUR
    order = scheduler.__dict__  # the library calls its heap None
    order["_heap"] = [event._replace(time=event.time + HOUR.total_seconds()) for event in order["_heap"]]

    assert scheduler.work(2.5) == TICKS


def test_every_tick_goes_on_when_beat_starts_after_the_clock_was_set_back(scheduler: Listed) -> None:
    PeriodicTask.objects.update(last_run_at=utc_now() + HOUR)

    assert scheduler.work(2.5) == TICKS
