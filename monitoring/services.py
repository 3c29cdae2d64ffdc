"""What is written about workers, machines and requests. Measurements: neither audited nor published."""

import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import psycopg
from django.db import connections, transaction
from psycopg.types.json import Jsonb

from catalogue.services import sight_host
from monitoring.models import ResourceSample, WorkerSighting
from monitoring.rules import MISSED_FOR, Tally
from sysops.access import audit
from sysops.access.actors import Actor

CONNECT_SECONDS = 3
KEEP_MINUTES_FOR = timedelta(hours=24)
_KEEP_MINUTE = """
INSERT INTO monitoring_requestminute (minute, process, count, errors, buckets) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (minute, process) DO UPDATE
SET count = excluded.count, errors = excluded.errors, buckets = excluded.buckets
"""
ME = Actor.system("monitoring")


def sight_worker(
    *,
    name: str,
    host: str,
    pid: int,
    queues: Sequence[str],
    active_count: int,
    started_at: datetime,
    stopped_at: datetime | None,
    at: datetime,
) -> None:
    """Note that this worker is there, or with `stopped_at` that it said good-bye.

    A good-bye counts only for the process that says it: its successor of the same name may be there already.
    """
    seen = {"host": host, "pid": pid, "queues": list(queues), "active_count": active_count}
    seen |= {"started_at": started_at, "last_seen_at": at, "stopped_at": stopped_at}
    with transaction.atomic():
        if stopped_at:
            WorkerSighting.objects.filter(name=name, started_at=started_at).update(**seen)
        else:
            _, is_new = WorkerSighting.objects.update_or_create(name=name, defaults=seen)
            if is_new:
                WorkerSighting.objects.filter(last_seen_at__lt=at - 2 * MISSED_FOR).delete()
        sight_host(host, by=ME, at=at)


def forget_worker(sighting: WorkerSighting, *, by: Actor, at: datetime) -> None:
    """Miss this worker no longer; it is known again when it makes itself known."""
    with transaction.atomic():
        WorkerSighting.objects.filter(pk=sighting.pk).delete()
        audit.record("monitoring.worker.forgotten", by=by, subject=sighting, at=at, before=audit.snapshot(sighting))


def sample_resources(*, host: str, data_dir: Path, at: datetime) -> None:
    """Note what this machine has in use, once per minute whoever asks first."""
    minute = at.replace(second=0, microsecond=0)
    if ResourceSample.objects.filter(host=host, minute=minute).exists():
        return
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(data_dir)
    sample = ResourceSample(
        host=host,
        minute=minute,
        cpu_percent=psutil.cpu_percent(),
        memory_used_bytes=memory.total - memory.available,
        memory_total_bytes=memory.total,
        disk_used_bytes=disk.total - disk.free,
        disk_total_bytes=disk.total,
    )
    ResourceSample.objects.bulk_create([sample], ignore_conflicts=True)
    ResourceSample.objects.filter(minute__lt=minute - KEEP_MINUTES_FOR).delete()


def keep_request_minutes(tallies: Sequence[Tally]) -> None:
    """Note what this process answered in these minutes; said again, the later figures hold. Raises psycopg.Error.

    On a connection of its own: it runs beside requests and must not take part in their transactions.
    """
    params = {**connections["default"].get_connection_params(), "connect_timeout": CONNECT_SECONDS}
    rows = [(t.minute, t.process, t.count, t.errors, Jsonb({str(k): v for k, v in t.buckets.items()})) for t in tallies]
    with psycopg.connect(**params) as connection, connection.cursor() as cursor:
        cursor.executemany(_KEEP_MINUTE, rows)
        oldest = max(tally.minute for tally in tallies) - KEEP_MINUTES_FOR
        cursor.execute("DELETE FROM monitoring_requestminute WHERE minute < %s", [oldest])
