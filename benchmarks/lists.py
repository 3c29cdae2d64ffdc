"""Lists, pages, readiness and the first page with 100 000 backups and 400 000 verifications; then 2 000 removals.

    .venv/bin/python -m benchmarks.lists [--rows 100000] [--requests 200] [--removals 2000]

Requests go through the whole of Django (middleware, token or session, rights, filters, paging, JSON or HTML) in this
process; the time of the network is not in it.
"""

import argparse
import json
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common import a_home, django_on_a_database, p95

if TYPE_CHECKING:  # Django is not set up yet
    from django.test import Client


def fill(rows: int, *, folder: Path) -> int:
    """So many finished backups of twenty sources; the key of one in the middle."""
    from django.utils import timezone

    from backups.models import Backup, Store
    from tests.backups.support import make_source

    Store.objects.create(slug="tests", name="Tests", driver="local", settings={"path": str(folder / "store")})
    sources = [make_source(engine="postgres") for _ in range(20)]
    now = timezone.now()
    made = 0
    while made < rows:
        batch = [
            Backup(
                source=sources[n % 20],
                store_id=sources[n % 20].policy.store_id,
                engine="postgres",
                status="succeeded" if n % 50 else "failed",
                backup_type=("full", "differential", "incremental")[n % 3],
                requested_type="full",
                requested_by="benchmark",
                requested_at=now - timedelta(minutes=rows - n),
                not_before=now,
                started_at=now - timedelta(minutes=rows - n),
                completed_at=now - timedelta(minutes=rows - n) + timedelta(seconds=90),
                key=f"bench/{n}-1",
                size_bytes=n * 1000,
                manifest=[{"name": f"base.{i}", "size_bytes": 1, "sha256": "0" * 64} for i in range(4)],
                figures={"tables": {f"table_{i}": {"rows": i} for i in range(60)}},
                verification_status="passed" if n % 1000 else "could_not_verify",
                proven_at=now - timedelta(minutes=rows - n) if n % 3 == 0 and n % 50 else None,
                delete_after=now + timedelta(days=30),
            )
            for n in range(made, min(rows, made + 5000))
        ]
        Backup.objects.bulk_create(batch)
        made += len(batch)
    _chain_and_verify()
    return int(Backup.objects.order_by("pk")[rows // 2].pk)


def _chain_and_verify() -> None:
    """Stand every backup that is not full on the one before it, and give each four verifications that passed."""
    from django.db import connection

    checks = [{"name": f"check {n}", "outcome": "passed", "detail": "found right", "figures": {}} for n in range(5)]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE backups_backup b SET parent_id = before.id FROM (
                SELECT id, lag(id) OVER (PARTITION BY source_id ORDER BY id) AS other FROM backups_backup
                WHERE status = 'succeeded'
            ) mine JOIN backups_backup before ON before.id = mine.other
            WHERE b.id = mine.id AND b.backup_type <> 'full'
            """
        )
        cursor.execute(
            """
            INSERT INTO backups_verification (backup_id, rung, status, attempt, not_before, host, phase,
                cancel_requested_by, requested_by, requested_at, started_at, completed_at, detail, checks)
            SELECT b.id, rung, 'passed', 1, b.completed_at, 'bench', '', '', 'bench', b.completed_at, b.completed_at,
                b.completed_at + interval '2 minutes', '5 checks passed', %s::jsonb
            FROM backups_backup b CROSS JOIN unnest(ARRAY['files', 'restore', 'reread', 'reread']) AS rung ORDER BY b.id
            """,
            [json.dumps(checks)],
        )
        cursor.execute("VACUUM ANALYZE backups_backup")
        cursor.execute("VACUUM ANALYZE backups_verification")


def timed(name: str, ask: Callable[[], object], *, times: int) -> None:
    """Print the 95th percentile, the median, and the number of queries of one call."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    ask()
    with CaptureQueriesContext(connection) as queries:
        ask()
        asked = len(queries)
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - started)
    print(
        f"{name:34} p95 {p95(taken) * 1000:7.1f} ms   median {sorted(taken)[len(taken) // 2] * 1000:7.1f} ms"
        f"   {asked} queries",
        flush=True,
    )


def remove(count: int, *, folder: Path) -> None:
    """Let so many backups be past their time, and print what retention takes to decide and to remove."""
    from django.utils import timezone

    from backups.models import Backup
    from backups.services import retention
    from tests.backups.support import Hands

    now = timezone.now()
    old = Backup.objects.filter(status="succeeded").order_by("pk").values_list("pk", flat=True)[:count]
    Backup.objects.filter(pk__in=list(old)).update(delete_after=now)
    started = time.perf_counter()
    retention.preview(at=now)
    decided = time.perf_counter() - started
    started = time.perf_counter()
    removed = retention.apply(workshop=Hands(folder, at=now).workshop)
    spent = time.perf_counter() - started
    print(
        f"retention: decides in {decided:.1f} s, removes {removed} in {spent:.1f} s"
        f" ({(spent - decided) / max(1, removed) * 1000:.1f} ms each)"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--requests", type=int, default=200)
    options.add_argument("--removals", type=int, default=2000)
    given = options.parse_args()
    with a_home() as home, django_on_a_database(home):
        from django.utils import timezone

        from backups.selectors import readiness

        pk = fill(given.rows, folder=home.dir)
        print(f"{given.rows} backups, {given.rows * 4} verifications, 20 sources; {given.requests} requests each")
        measure = partial(timed, times=given.requests)
        api, addresses = api_client(pk)
        for name, address in addresses.items():
            measure(name, partial(opened, api, address))
        measure("readiness of all", lambda: readiness(now=timezone.now()))
        browser, pages = admin_client()
        for name, address in pages.items():
            measure(f"admin: {name}", partial(opened, browser, address))
        remove(given.removals, folder=home.dir)


def opened(client: "Client", address: str) -> None:
    """The address answers as it should."""
    assert client.get(address).status_code == 200, address


def api_client(pk: int) -> tuple["Client", dict[str, str]]:
    """A client with a token, and the addresses of the API to try."""
    from django.utils import timezone
    from rest_framework.test import APIClient

    from sysops.access.actors import Actor
    from sysops.access.roles import Role
    from sysops.access.services import create_token

    _, token = create_token("bench", role=Role.ADMIN, ttl=timedelta(hours=1), by=Actor.system(), at=timezone.now())
    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {token}", HTTP_HOST="localhost")
    deep = client.get("/api/system/backups").json()["next"]
    source = client.get(f"/api/system/backups/{pk}").json()["source"]
    return client, {
        "list": "/api/system/backups",
        "list, next page": deep.partition("localhost")[2].lstrip(":0123456789"),
        "list of one source": f"/api/system/backups?source={source}",
        "list, failed, verified": "/api/system/backups?status=failed&verified=true",
        "list, not verified": "/api/system/backups?verified=false",
        "list, not verified, of one source": f"/api/system/backups?verified=false&source={source}",
        "list, expired (none)": "/api/system/backups?status=expired",
        "list, running full (none)": "/api/system/backups?status=running&type=full",
        "list by size": "/api/system/backups?ordering=-size_bytes",
        "one backup": f"/api/system/backups/{pk}",
        "verifications": "/api/system/verifications",
        "sources with readiness": "/api/system/backup-sources",
    }


def admin_client() -> tuple["Client", dict[str, str]]:
    """A browser signed in as a superuser, and the pages of the admin to try."""
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client
    from django.urls import reverse

    from backups.models import Source

    settings.WHITENOISE_AUTOREFRESH = True  # else the client first looks through all static files
    client = Client(HTTP_HOST="localhost")
    client.force_login(User.objects.create_superuser("bench"))
    source = Source.objects.order_by("pk")[10]
    backups, verifications = (reverse(f"admin:backups_{name}_changelist") for name in ("backup", "verification"))
    return client, {
        "dashboard": reverse("admin:index"),
        "backups": backups,
        "backups of one source": f"{backups}?source__id__exact={source.pk}",
        "backups, known bad (none)": f"{backups}?verification=failed&status=succeeded",
        "backups, failed": f"{backups}?status=failed",
        "backups, searched": f"{backups}?q=source-7",
        "verifications": verifications,
        "verifications, restores": f"{verifications}?rung=restore",
        "verifications of one source": f"{verifications}?backup__source__id__exact={source.pk}",
        "sources": reverse("admin:backups_source_changelist"),
        "one source": reverse("admin:backups_source_change", args=[source.pk]),
        "stores": reverse("admin:backups_store_changelist"),
    }


if __name__ == "__main__":
    main()
