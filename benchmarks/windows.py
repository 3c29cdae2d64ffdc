"""Scheduling with 200 services and 10 000 subscribers, conflict check, tick, lists and mode, among 100 000 windows.

    .venv/bin/python -m benchmarks.windows [--windows 100000] [--subscribers 10000] [--times 50]

POST goes through the whole of Django (token, rights, validation, JSON) in this process; the time of the network is not
in it. The windows lie on 1 000 services, a hundred on each, past ones completed; every one reaches a second service.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from benchmarks.common import a_home, django_on_a_database, p95

if TYPE_CHECKING:  # Django is not set up yet
    from django.test import Client
    from rest_framework.test import APIClient

    from catalogue.models import Service
    from maintenance.models import Window

WORKED_ON = 200
SERVICES = 1_000
FREE = timedelta(hours=12)  # windows begin at midnight and last two hours; at noon every service is free

_ROWS = """
INSERT INTO maintenance_windowservice (window_id, service_id, direct, holds, period, state_before)
SELECT w.id, s.id, s.direct, w.status = 'scheduled', tstzrange(w.scheduled_start, w.scheduled_end), ''
FROM (SELECT *, row_number() OVER (ORDER BY id) - 1 AS n FROM maintenance_window) w
JOIN LATERAL (
    VALUES
        ((%(own)s::bigint[])[1 + w.n %% %(services)s], true),
        ((%(reached)s::bigint[])[1 + w.n %% %(services)s], false)
) AS s(id, direct) ON true
"""


def fill(windows: int, subscribers: int, *, midnight: datetime) -> "Sequence[Service]":
    """So many windows and subscribers; the services that are to be worked on."""
    from django.db import connection

    from catalogue.models import Dependency, Service, Subscription, Team
    from maintenance.models import Window

    team = Team.objects.create(slug="ops", name="Ops")
    own, reached = (
        Service.objects.bulk_create(
            Service(slug=f"{name}-{n}", name=f"{name} {n}", owner_team=team) for n in range(SERVICES)
        )
        for name in ("own", "reached")
    )
    Dependency.objects.bulk_create(
        Dependency(service=above, requires=below) for above, below in zip(reached, own, strict=True)
    )
    Subscription.objects.bulk_create(
        Subscription(service=own[n % WORKED_ON], email=f"{n}@example.org", state="confirmed", confirmed_at=midnight)
        for n in range(subscribers)
    )
    given: dict[str, int | list[int]] = {
        "services": SERVICES,
        "own": [service.pk for service in own],
        "reached": [service.pk for service in reached],
    }
    made = 0
    while made < windows:
        batch = [_window(n, midnight=midnight) for n in range(made, min(windows, made + 5_000))]
        made += len(Window.objects.bulk_create(batch))
    with connection.cursor() as cursor:
        cursor.execute(_ROWS, given)
        cursor.execute("VACUUM ANALYZE")  # as a database is that has been running for a while
    return own[:WORKED_ON]


def _window(number: int, *, midnight: datetime) -> "Window":
    from maintenance.models import Window

    day = number // SERVICES - 50
    start = midnight + timedelta(days=day)
    return Window(
        title=f"Window {number}",
        status="completed" if day < 0 else "scheduled",
        report={} if day < 0 else None,
        scheduled_start=start,
        scheduled_end=start + timedelta(hours=2),
        estimated_duration_seconds=7200,
        planned_start=start,
        planned_duration_seconds=7200,
        starts_itself=True,
        created_at=start,
        created_by="bench",
    )


def timed(name: str, act: Callable[[int], object], *, times: int) -> None:
    """Print what the act takes, once warm."""
    act(-1)
    taken = []
    for number in range(times):
        started = time.perf_counter()
        act(number)
        taken.append(time.perf_counter() - started)
    half = sorted(taken)[len(taken) // 2]
    print(f"{name:58} p95 {p95(taken) * 1000:7.1f} ms   median {half * 1000:7.1f} ms", flush=True)


def api_client() -> "APIClient":
    """A client with an operator's token."""
    from django.utils import timezone
    from rest_framework.test import APIClient

    from sysops.access.actors import Actor
    from sysops.access.roles import Role
    from sysops.access.services import create_token

    _, token = create_token("bench", role=Role.OPERATOR, ttl=timedelta(hours=1), by=Actor.system(), at=timezone.now())
    return APIClient(HTTP_AUTHORIZATION=f"Bearer {token}", HTTP_HOST="localhost")


def measure(services: "Sequence[Service]", *, midnight: datetime, times: int) -> None:
    """Print every figure."""
    from maintenance import selectors
    from maintenance.plans import Plan
    from maintenance.rules import Type
    from maintenance.services import running, scheduling, ticking
    from sysops.access.actors import Actor
    from sysops.kernel.clock import utc_now

    by, hour, day = Actor.system(), timedelta(hours=1), timedelta(days=1)
    keys = [service.pk for service in services]
    reached = [service.pk for service in selectors.reach(services)]
    client = api_client()

    def check(direct: Sequence[int], reached: Sequence[int], start: datetime) -> Callable[[int], object]:
        return lambda _: selectors.conflicts(direct=direct, reached=reached, start=start, end=start + hour)

    def schedule(number: int) -> None:
        start = midnight + FREE + (number + 100) * day
        scheduling.schedule(Plan(Type.PLANNED, "Upgrade", "", start, hour, services), by=by, at=utc_now())

    def post(number: int) -> None:
        body = {
            "title": "Upgrade",
            "scheduled_start_time": (midnight + FREE + (number + 1_000) * day).isoformat(),
            "estimated_duration_seconds": 3600,
            "affected_services": [service.slug for service in services],
        }
        answer = client.post("/api/system/maintenance", json.dumps(body), content_type="application/json")
        assert answer.status_code == 201, answer.content

    def live(number: int) -> None:
        plan = Plan(Type.EMERGENCY, "Fire", "", None, hour, services)
        window = scheduling.schedule(plan, by=by, at=utc_now())
        running.start(window.pk, by=by, at=utc_now)
        running.complete(window, by=by, at=utc_now())

    in_the_way = midnight + 10 * day
    timed("conflict check, one service, none", check(keys[:1], [], midnight + FREE), times=times)
    timed("conflict check, one service, one in the way", check(keys[:1], [], in_the_way), times=times)
    timed("conflict check, 200 services and what they reach, none", check(keys, reached, midnight + FREE), times=times)
    timed("conflict check, the same, 200 in the way", check(keys, reached, in_the_way), times=times)
    timed("schedule, 200 services, service call", schedule, times=times)
    timed("schedule, 200 services, POST", post, times=times)
    timed("emergency: schedule, start, complete, 200 services", live, times=max(5, times // 5))
    ticking.tick(now=lambda: utc_now())
    timed("tick with nothing due", lambda _: ticking.tick(now=utc_now), times=times)


def read(*, times: int) -> None:
    """Print what lists, one window, the feed and maintenance mode take to answer."""
    from django.test import Client

    from maintenance.models import Window

    api, anybody = api_client(), Client(HTTP_HOST="localhost")
    newest = Window.objects.order_by("-pk").values_list("pk", flat=True)[0]
    addresses = {
        "GET maintenance": "/api/system/maintenance",
        "GET maintenance?status=scheduled&service=": "/api/system/maintenance?status=scheduled&service=own-7",
        "GET one window": f"/api/system/maintenance/{newest}",
        "GET services": "/api/system/services",
    }
    for name, address in addresses.items():
        timed(name, lambda _, at=address: _opened(api, at), times=times)  # type: ignore[misc]
    timed("GET mode, by anybody", lambda _: _opened(anybody, "/api/system/services/own-7/mode"), times=times * 10)


def _opened(client: "APIClient | Client", address: str) -> None:
    assert client.get(address).status_code == 200, address


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--windows", type=int, default=100_000)
    options.add_argument("--subscribers", type=int, default=10_000)
    options.add_argument("--times", type=int, default=50)
    given = options.parse_args()
    with a_home() as home, django_on_a_database(home):
        # Tomorrow: what lies behind it is completed, what is ahead is scheduled, and nothing is due.
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        services = fill(given.windows, given.subscribers, midnight=midnight)
        print(f"{given.windows} windows, {given.subscribers} subscribers; {given.times} times each")
        gc.collect()
        gc.freeze()  # as the web server does
        measure(services, midnight=midnight, times=given.times)
        read(times=given.times)


if __name__ == "__main__":
    main()
