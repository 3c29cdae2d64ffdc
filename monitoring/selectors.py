"""How Sysops is: measured now, put together for the API, the CLI and the dashboard."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from monitoring import figures, processes
from monitoring.health import Reading, measure
from monitoring.problems import Problem, problems_in
from monitoring.queues import names_in_use
from monitoring.rules import Status, worst
from sysops.kernel.clock import utc_now

_NO_DATABASE = "Not known while the database does not answer"


@dataclass(frozen=True)
class Report:
    """Everything measured at one moment. Rows can be read when `database.answers`."""

    at: datetime
    status: Status
    database: Reading
    redis: Reading
    api: Reading
    beat: Reading
    storage: Sequence[Reading]
    workers: Sequence[Reading]
    queues: Sequence[Reading]
    checks: Sequence[Reading]
    resources: dict[str, object]
    performance: dict[str, object]

    def as_json(self) -> dict[str, object]:
        """The report as the API answers it to who may see everything."""
        return {
            "timestamp": self.at,
            "status": self.status,
            "services": {
                "database": self.database.as_json(),
                "redis": self.redis.as_json(),
                "api": self.api.as_json(),
                "beat": self.beat.as_json(),
                "storage": _storage(self.storage).as_json(),
                "workers": [reading.as_json() for reading in self.workers],
                "queues": [reading.as_json() for reading in self.queues],
                "checks": [reading.as_json() for reading in self.checks],
            },
            "resources": self.resources,
            "performance": self.performance,
        }


def health(detail: bool = True) -> dict[str, object]:
    """Health as the API answers it: everything, or for the public the status alone. Takes less than a second."""
    found = report()
    return found.as_json() if detail else {"status": found.status}


def health_summary(found: Report | None = None) -> list[Problem]:
    """What is wrong right now, the worst first, in plain words with what to do next; empty when all is well."""
    now = found or report()
    parts = {
        "database": [now.database],
        "redis": [now.redis],
        "beat": [now.beat],
        "worker": now.workers,
        "queue": now.queues,
        "storage": now.storage,
        "api": [now.api],
        "check": now.checks,
    }
    problems = [problem for part, readings in parts.items() for problem in problems_in(part, readings)]
    return sorted(problems, key=lambda problem: problem.severity != "critical")


def report() -> Report:
    """Everything measured now, within the time limit of `monitoring.health` whatever is frozen."""
    names_in_use()  # imports task modules the first time: not within what is measured
    found = measure()
    at = utc_now()
    parts = {name: (found.pop(name, []) or [_unmeasured(name)]) for name in ("database", "redis", "resources")}
    database = parts["database"][0]
    rows = _rows(at, readable=database.answers)
    storage = found.pop("storage", [])
    checks = [reading for readings in found.values() for reading in readings]
    readings = [database, parts["redis"][0], rows.api, rows.beat, *rows.workers, *rows.queues, *storage, *checks]
    return Report(
        at=at,
        status=worst(reading.status for reading in readings),
        database=database,
        redis=parts["redis"][0],
        api=rows.api,
        beat=rows.beat,
        storage=storage,
        workers=rows.workers,
        queues=rows.queues,
        checks=checks,
        resources=figures.resources(parts["resources"][0].figures, history=rows.history),
        performance=rows.performance,
    )


def missing_to_serve() -> list[str]:
    """What is missing before requests can be served: "database", "migrations"; empty when ready.

    The broker is not needed: what is asked for while it is away is stored and taken up when it is back.
    """
    (database,) = measure(["database"])["database"]
    if not database.answers:
        return ["database"]
    return [] if _migrated() else ["migrations"]


@dataclass(frozen=True)
class _Rows:
    """What the database knows about the other processes."""

    api: Reading
    beat: Reading
    workers: Sequence[Reading]
    queues: Sequence[Reading]
    history: figures.History
    performance: dict[str, object]


def _rows(at: datetime, *, readable: bool) -> _Rows:
    if not readable:
        return _unknown_rows(_NO_DATABASE)
    try:
        workers, queues = processes.workers_and_queues(at)
        traffic = figures.traffic(at)
        return _Rows(
            api=figures.api(traffic, at=at),
            beat=processes.beat(at),
            workers=workers,
            queues=queues,
            history=figures.history(at),
            performance=figures.performance(traffic, at=at),
        )
    except DatabaseError as exc:
        return _unknown_rows(f"The database answers, but not with our tables: {exc}".strip())


def _unknown_rows(why: str) -> _Rows:
    return _Rows(
        api=Reading("api", None, why),
        beat=Reading("beat", None, why),
        workers=[],
        queues=[],
        history=[],
        performance=figures.unknown_performance(why),
    )


def _unmeasured(name: str) -> Reading:
    return Reading(name, None, "No probe of this name is registered")


def _storage(places: Sequence[Reading]) -> Reading:
    """One reading for all places: the worst status, and each place by name."""
    if not places:
        return _unmeasured("storage")
    bad = [place for place in places if place.status not in (None, Status.HEALTHY)]
    words = "; ".join(f"{place.name}: {place.details}" for place in bad) or "There is room everywhere"
    known = [place.status for place in places if place.status]
    checked = [place.last_check for place in places if place.last_check]
    return Reading(
        "storage",
        worst(known) if known else None,
        words,
        figures={"places": [place.as_json() for place in places]},
        last_check=min(checked, default=None),
    )


_seen_migrated = False


def _migrated() -> bool:
    """Whether every migration of this code is applied. Once true it stays true: code does not change under us."""
    global _seen_migrated
    if not _seen_migrated:
        executor = MigrationExecutor(connection)
        _seen_migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return _seen_migrated
