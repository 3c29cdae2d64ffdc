"""What clearing up takes beside 1 000 000 events, and what reports that come in meanwhile feel of it.

    .venv/bin/python -m benchmarks.errors_clearing [--events 1000000] [--issues 20000]

Two issues of 100 000 and 10 000 events are merged and split again, the large one is cut down to 1 000 events, and its
project is deleted. All the while one sender reports to another project, twenty reports a second; what it waits for its
200 stands beside what it waited before, in the same run.
"""

import argparse
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx

from benchmarks.common import a_home, django_on_a_database, p95
from benchmarks.errors_lists import a_web_server, fill
from tests.errors.sdk import envelopes

PER_SECOND = 20
QUIET_SECONDS = 10


class Sender:
    """Reports at a steady pace; `waits` are the seconds until each was answered 200."""

    def __init__(self, url: str, *, project: int, key: str) -> None:
        self._client = httpx.Client(timeout=30)
        self._url = f"{url}/api/{project}/envelope/?sentry_key={key}"
        self._stop = threading.Event()
        self.waits: list[float] = []

    def work(self) -> None:
        for body in envelopes(100_000):
            if self._stop.wait(1 / PER_SECOND):
                return
            started = time.perf_counter()
            answer = self._client.post(self._url, content=body)
            assert answer.status_code == 200, answer.text
            self.waits.append(time.perf_counter() - started)

    @contextmanager
    def working(self) -> Iterator[None]:
        thread = threading.Thread(target=self.work)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def since(self, first: int) -> str:
        waits = self.waits[first:]
        if len(waits) < 2:
            return "too short to tell"
        return f"{len(waits):5} reports, p95 {p95(waits) * 1000:6.1f} ms, longest {max(waits) * 1000:6.1f} ms"


@contextmanager
def timed(name: str, sender: Sender) -> Iterator[None]:
    first, started = len(sender.waits), time.perf_counter()
    yield
    print(f"{name:44} {time.perf_counter() - started:6.1f} s   {sender.since(first)}", flush=True)


def clear(sender: Sender, *, hot: int) -> None:
    """Merge, split, cut down, delete."""
    from errors.models import Event, Grouping, Issue, Project
    from errors.services import merging, projects, retention
    from sysops.access.actors import Actor
    from sysops.kernel.clock import utc_now

    by, project = Actor.system("benchmark"), Project.objects.get(issues__pk=hot)
    Issue.objects.filter(project=project).update(status="unresolved")  # open ones do not go with resolved ones
    large = Issue.objects.get(pk=hot)
    other = Issue.objects.filter(project=project).exclude(pk=hot).order_by("-event_count")[0]
    grouping = Grouping.objects.get(issue=other)
    with timed("as it is", sender):
        time.sleep(QUIET_SECONDS)
    with timed(f"merge {other.event_count} events into {large.event_count}", sender):
        merging.merge(large, [other], by=by, at=utc_now())
    with timed("split them again", sender):
        merging.unmerge(grouping, by=by, at=utc_now())
    Project.objects.filter(pk=project.pk).update(events_per_issue=1_000)
    with timed("cut down to 1 000 events", sender):
        while not (removed := retention.apply_retention(now=utc_now)).finished:
            pass
    print(f"    {removed.events} events were removed")
    events, issues = Event.objects.filter(project=project).count(), Issue.objects.filter(project=project).count()
    projects.delete_project(project, by=by, at=utc_now())
    with timed(f"delete a project: {issues} issues, {events} events", sender):
        while projects.remove_deleted(now=utc_now):
            pass
    assert not Event.objects.filter(project=project).exists()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=1_000_000)
    options.add_argument("--issues", type=int, default=20_000)
    given = options.parse_args()
    with a_home() as home, django_on_a_database(home):
        filled = fill(events=given.events, issues=given.issues)
        from errors.services.projects import create_project
        from sysops.access.actors import Actor

        mine = create_project(slug="mine", name="Mine", by=Actor.system("benchmark"), at=datetime.now(UTC))
        key = mine.keys.get().public
        with a_web_server(home.environ()) as url:
            time.sleep(2)
            sender = Sender(url, project=mine.pk, key=key)
            with sender.working():
                clear(sender, hot=filled.hot)


if __name__ == "__main__":
    main()
