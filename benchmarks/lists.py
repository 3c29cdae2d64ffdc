"""Lists and pages of backups with 100 000 rows: time on the server and number of queries.

    .venv/bin/python -m benchmarks.lists [--rows 100000] [--requests 200]

Requests go through the whole of Django (middleware, token, rights, filters, paging, JSON) in this process; the time of
the network is not in it.
"""

import argparse
import time
from datetime import timedelta

from benchmarks.common import a_home, django_on_a_database, p95


def fill(rows: int) -> int:
    """So many finished backups of twenty sources; the key of one in the middle."""
    from django.utils import timezone

    from backups.models import Backup
    from tests.backups.support import make_source

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
                size_bytes=n * 1000,
                manifest=[{"name": f"base.{i}", "size_bytes": 1, "sha256": "0" * 64} for i in range(4)],
                figures={"tables": {f"table_{i}": {"rows": i} for i in range(60)}},
                verification_status="passed",
            )
            for n in range(made, min(rows, made + 5000))
        ]
        Backup.objects.bulk_create(batch)
        made += len(batch)
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE backups_backup")
    return int(Backup.objects.order_by("pk")[rows // 2].pk)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--requests", type=int, default=200)
    given = options.parse_args()
    with a_home() as home, django_on_a_database(home):
        from django.db import connection
        from django.test.utils import CaptureQueriesContext
        from django.utils import timezone
        from rest_framework.test import APIClient

        from sysops.access.actors import Actor
        from sysops.access.roles import Role
        from sysops.access.services import create_token

        pk = fill(given.rows)
        _, token = create_token("bench", role=Role.ADMIN, ttl=timedelta(hours=1), by=Actor.system(), at=timezone.now())
        client = APIClient(HTTP_AUTHORIZATION=f"Bearer {token}", HTTP_HOST="localhost")
        deep = client.get("/api/system/backups").json()["next"]
        source = client.get(f"/api/system/backups/{pk}").json()["source"]
        addresses = {
            "list": "/api/system/backups",
            "list, next page": deep.partition("localhost")[2].lstrip(":0123456789"),
            "list of one source": f"/api/system/backups?source={source}",
            "list, failed, verified": "/api/system/backups?status=failed&verified=true",
            "list by size": "/api/system/backups?ordering=-size_bytes",
            "one backup": f"/api/system/backups/{pk}",
            "sources with readiness": "/api/system/backup-sources",
        }
        print(f"{given.rows} backups, {given.requests} requests each")
        for name, address in addresses.items():
            client.get(address)
            with CaptureQueriesContext(connection) as queries:
                assert client.get(address).status_code == 200, address
            taken = len(queries)
            times = []
            for _ in range(given.requests):
                started = time.perf_counter()
                client.get(address)
                times.append(time.perf_counter() - started)
            print(
                f"{name:26} p95 {p95(times) * 1000:7.1f} ms   median {sorted(times)[len(times) // 2] * 1000:7.1f} ms"
                f"   {taken} queries",
                flush=True,
            )


if __name__ == "__main__":
    main()
