"""Workers, queues and the scheduler, from what they wrote about themselves."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django_celery_beat.models import PeriodicTask

from monitoring.health import Reading
from monitoring.models import WorkerSighting
from monitoring.queues import names_in_use
from monitoring.rules import BEAT_AGE, MISSED_FOR, WORKER_AGE, Status, judge_age
from sysops.env import current, running_stack

# Beat's ticks prove that it lives only when at least one is due this often.
TICK_AT_MOST = timedelta(seconds=60)


def expected_workers() -> frozenset[str]:
    """The workers that the environment or the running `sysops up` names; they are missed even when never seen."""
    names = running_stack(current().data_dir).get("expected_workers", "")
    return frozenset(current().expected_workers) | {name.strip() for name in names.split(",") if name.strip()}


def workers_and_queues(at: datetime) -> tuple[list[Reading], list[Reading]]:
    """A reading for each worker that should be there, and one for each queue that tasks go to."""
    expected = expected_workers()
    sightings = {sighting.name: sighting for sighting in WorkerSighting.objects.order_by("name", "pk")}
    missed = {
        name
        for name, sighting in sightings.items()
        if sighting.stopped_at is None and at - sighting.last_seen_at <= MISSED_FOR
    }
    workers = [_worker(name, sightings.get(name), at=at) for name in sorted(expected | missed)]
    alive = {reading.name for reading in workers if reading.status is not Status.UNHEALTHY}
    return workers, _queues([sightings[name] for name in sorted(alive)], at=at)


def beat(at: datetime) -> Reading:
    """Whether the scheduler turns: when it last sent one of the tasks that are due every minute or more often."""
    ticks = [task for task in _enabled() if task.interval and task.interval.schedule.run_every <= TICK_AT_MOST]
    if not ticks:
        why = "No task is scheduled every minute or more often, so nothing shows whether the scheduler turns"
        return Reading("beat", None, why, last_check=at)
    ran = [task.last_run_at for task in ticks if task.last_run_at]
    if not ran:
        waiting = at - min(task.date_changed for task in ticks)
        words = f"Has sent nothing in {waiting.total_seconds():.0f} s since its schedule was written"
        return Reading("beat", judge_age(waiting, BEAT_AGE), words, last_check=at)
    age = at - max(ran)
    words = f"Sent its last task {max(age.total_seconds(), 0):.0f} s ago"
    return Reading("beat", judge_age(age, BEAT_AGE), words, last_check=at, figures={"last_sent_at": max(ran)})


def _enabled() -> list[PeriodicTask]:
    return list(PeriodicTask.objects.filter(enabled=True, interval__isnull=False).select_related("interval"))


def _worker(name: str, sighting: WorkerSighting | None, *, at: datetime) -> Reading:
    if sighting is None:
        return Reading(name, Status.UNHEALTHY, "Has never made itself known", last_check=at)
    age = at - sighting.last_seen_at
    figures: dict[str, object] = {
        "host": sighting.host,
        "pid": sighting.pid,
        "queues": sighting.queues,
        "active_count": sighting.active_count,
        "started_at": sighting.started_at,
    }
    if sighting.stopped_at:
        status, words = Status.UNHEALTHY, f"Stopped {_ago(at - sighting.stopped_at)} and has not come back"
    else:
        status = judge_age(age, WORKER_AGE)
        words = "Works" if status is Status.HEALTHY else f"Missing or stuck: last heard of {_ago(age)}"
    return Reading(name, status, words, figures=figures, last_check=sighting.last_seen_at)


def _queues(alive: Sequence[WorkerSighting], *, at: datetime) -> list[Reading]:
    found = []
    for queue in names_in_use():
        takers = [worker.name for worker in alive if queue in worker.queues]
        status = Status.HEALTHY if takers else Status.UNHEALTHY
        words = f"{len(takers)} at work" if takers else f"No live worker takes from the queue {queue}"
        found.append(Reading(queue, status, words, figures={"workers": takers}, last_check=at))
    return found


def _ago(age: timedelta) -> str:
    seconds = max(0, round(age.total_seconds()))
    if seconds < 120:
        return f"{seconds} s ago"
    return f"{seconds // 60} min ago" if seconds < 7200 else f"{seconds // 3600} h ago"
