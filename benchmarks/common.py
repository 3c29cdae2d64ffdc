"""What the benchmarks share: a private folder with servers in it, medians, and a Django on a database of its own."""

import os
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg

from tests.services import Home, SourceCluster, free_port, the_home


@contextmanager
def a_home() -> Iterator[Home]:
    """A private folder whose servers end with the block."""
    home = the_home()
    try:
        yield home
    finally:
        home.close()


@contextmanager
def a_cluster(home: Home, name: str) -> Iterator[SourceCluster]:
    """A PostgreSQL to back up, as a production server is set up (fsync on)."""
    made = home.cluster(
        name, port=free_port(), listen="127.0.0.1", first_settings={"fsync": "on", "shared_buffers": "256MB"}
    )
    source = SourceCluster(home, made)
    source.start()
    try:
        yield source
    finally:
        source.stop()


@contextmanager
def django_on_a_database(home: Home) -> Iterator[None]:
    """Django set up on a fresh, migrated database in this process."""
    os.environ.update(home.environ())
    os.environ["DJANGO_SETTINGS_MODULE"] = "sysops.settings"
    home.start()
    with psycopg.connect(
        home.environ()["SYSOPS_DATABASE_URL"].replace("/sysops?", "/postgres?"), autocommit=True
    ) as made:
        made.execute("CREATE DATABASE sysops")
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    yield


def p95(seconds: Sequence[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(seconds, n=20, method="inclusive")[18]
