"""The probes Sysops brings: its database, its broker and its data folder."""

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis
from django.db import connections

from monitoring.figures import machine
from monitoring.health import Probe, Reading, probes, room
from monitoring.queues import names_in_use
from monitoring.rules import BROKER_SECONDS, DATABASE_SECONDS, Status, judge
from sysops.celery import app
from sysops.env import current
from sysops.kernel.redaction import redact

# A queue is one Redis list per step of priority (kombu.transport.redis: sep, PRIORITY_STEPS).
PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")
CONNECT_SECONDS = 3  # ends a probe of a frozen server in the background; the asker stopped waiting earlier
_ASK = """
SELECT current_setting('server_version'), pg_is_in_recovery(), current_setting('max_connections')::int,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
"""


def database() -> Sequence[Reading]:
    """Whether a new client gets in and gets an answer, and how long both took together."""
    params = {**connections["default"].get_connection_params(), "connect_timeout": CONNECT_SECONDS}
    began = time.monotonic()
    try:
        with psycopg.connect(**params) as connection, connection.cursor() as cursor:
            ((version, standby, most, used),) = cursor.execute(_ASK).fetchall()
    except psycopg.Error as exc:
        return [Reading("database", Status.UNHEALTHY, f"Does not answer: {redact(str(exc)).strip()}")]
    took = time.monotonic() - began
    figures = {"version": version, "connections": used, "max_connections": most}
    if standby:
        status, details = Status.UNHEALTHY, "The server is a standby: nothing can be written"
    else:
        status, details = judge(took, DATABASE_SECONDS), "Answers"
    return [Reading("database", status, details, response_time_seconds=took, figures=figures)]


def broker() -> Sequence[Reading]:
    """Whether the broker answers a ping, how fast, and how many messages wait in each queue."""
    client = redis.Redis.from_url(
        _redis_url(str(app.conf.broker_url)), socket_timeout=CONNECT_SECONDS, socket_connect_timeout=CONNECT_SECONDS
    )
    queues = names_in_use()
    try:
        client.ping()  # the connection is made here; the second ping is what a task costs
        began = time.monotonic()
        client.ping()
        took = time.monotonic() - began
        pipe = client.pipeline(transaction=False)
        lists = [[f"{queue}{end}" for end in PRIORITIES] for queue in queues]
        for name in [name for names in lists for name in names]:
            pipe.llen(name)
        lengths = iter(pipe.execute())
        waiting = {queue: sum(next(lengths) for _ in names) for queue, names in zip(queues, lists, strict=True)}
    except redis.RedisError as exc:
        return [Reading("redis", Status.UNHEALTHY, f"Does not answer: {redact(str(exc))}")]
    finally:
        client.close()
    figures = {"waiting": waiting}
    return [Reading("redis", judge(took, BROKER_SECONDS), "Answers", response_time_seconds=took, figures=figures)]


@dataclass(frozen=True)
class Folder:
    """Measures the room in a folder, and that a file can be written there."""

    name: str
    path: Path

    def __call__(self) -> Sequence[Reading]:
        try:
            usage = shutil.disk_usage(self.path)
        except OSError as exc:
            return [room(self.name, free_bytes=None, total_bytes=None, problem=f"Cannot be read: {exc.strerror}")]
        return [room(self.name, free_bytes=usage.free, total_bytes=usage.total, problem=self._problem())]

    def _problem(self) -> str | None:
        try:
            with tempfile.TemporaryFile(dir=self.path, prefix=".health-") as file:
                file.write(b"\0" * 4096)
        except OSError as exc:
            return f"Cannot be written: {exc.strerror}"
        return None


def register() -> None:
    """Make Sysops' own probes known; a second call changes nothing."""
    for name, probe in _OWN.items():
        probes.register(name, probe)


_OWN = {
    # Never kept: whoever reads rows next relies on it that the database answered just now.
    "database": Probe("database", database, keep_seconds=0),
    "redis": Probe("redis", broker),
    "machine": Probe("resources", machine),
    "data folder": Probe("storage", Folder("data folder", current().data_dir), keep_seconds=10),
}


def _redis_url(url: str) -> str:
    """Kombu's way to write a Unix socket in the way redis-py reads it."""
    return url.replace("redis+socket://", "unix://", 1)
