"""The weekly partitions of the events table: made when needed, dropped when all in them is too old."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction

WEEK = timedelta(days=7)
_LOCK = 7_305_020  # advisory lock space: one maker of partitions at a time
_NAME = re.compile(r"errors_event_(\d{4})_(\d{2})_(\d{2})")


def week_of(at: datetime) -> datetime:
    """The Monday, 00:00 UTC, on which the partition of `at` begins."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def ensure(times: Iterable[datetime]) -> list[str]:
    """The partitions for these times that did not exist and do now, by name.

    Waits for no reader of the events: a dump of the database may take hours.
    """
    weeks = {week_of(at) for at in times}
    missing = sorted(weeks - set(existing()))
    if not missing:
        return []
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [_LOCK])
        known = set(existing())
        missing = [week for week in missing if week not in known]
        for week in missing:
            _make(week)
    return [_name(week) for week in missing]


def existing() -> list[datetime]:
    """The weeks that have a partition, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
            "WHERE inhparent = 'errors_event'::regclass"
        )
        names = [_NAME.fullmatch(name) for (name,) in cursor.fetchall()]
    return sorted(datetime.strptime("".join(found.groups()), "%Y%m%d").replace(tzinfo=UTC) for found in names if found)


def drop_before(at: datetime) -> list[str]:
    """The partitions that held nothing as new as `at` and are gone, by name."""
    old = [week for week in existing() if week + WEEK <= at]
    with connection.cursor() as cursor:
        for week in old:
            cursor.execute(f"DROP TABLE IF EXISTS {_name(week)}")
    return [_name(week) for week in old]


def _name(week: datetime) -> str:
    return f"errors_event_{week:%Y_%m_%d}"


def _make(week: datetime) -> None:
    name, until = _name(week), week + WEEK
    with connection.cursor() as cursor:
        # Made apart and attached, because CREATE TABLE … PARTITION OF waits until nobody reads any of the events.
        cursor.execute(f"CREATE TABLE {name} (LIKE errors_event INCLUDING ALL)")
        cursor.execute(f"CREATE UNIQUE INDEX {name}_once ON {name} (event_id, project_id)")
        cursor.execute(f"CREATE INDEX {name}_listed ON {name} (grouping_id, received_at DESC, event_id DESC)")
        cursor.execute(f"ALTER TABLE {name} ALTER COLUMN payload SET STORAGE EXTERNAL")
        cursor.execute(
            f"ALTER TABLE errors_event ATTACH PARTITION {name} FOR VALUES FROM (%s) TO (%s)",
            [week.isoformat(), until.isoformat()],
        )
