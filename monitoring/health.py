"""Probes: what is measured when somebody asks how Sysops is, each in its own thread and within a time limit.

A part that does not answer costs the asker the limit, not a hang: the probe goes on in the background, runs at
most once at a time, and the next asker is told how long it has been waiting. A third party adds a probe through
an entry point of the group `sysops.health_probes`.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.db import connections

from monitoring.rules import Status, judge_room
from sysops.kernel.clock import utc_now
from sysops.kernel.redaction import redact
from sysops.kernel.registry import Registry

logger = logging.getLogger(__name__)

TIME_LIMIT_SECONDS = 0.7


@dataclass(frozen=True)
class Reading:
    """What was measured of one thing. `status` None is "not known", and `details` then says why."""

    name: str
    status: Status | None
    details: str
    response_time_seconds: float | None = None
    figures: Mapping[str, object] = field(default_factory=dict)
    last_check: datetime | None = None
    waiting: bool = False  # it is being measured for longer than we wait; this is what it said before

    @property
    def answers(self) -> bool:
        """Whether the part answered just now, however slowly."""
        return self.status in (Status.HEALTHY, Status.DEGRADED) and not self.waiting

    def as_json(self) -> dict[str, object]:
        """The reading as the API shows it."""
        return {
            "name": self.name,
            "status": self.status,
            "response_time_seconds": self.response_time_seconds,
            "last_check": self.last_check,
            "details": {"summary": self.details, **self.figures},
        }


@dataclass(frozen=True)
class Probe:
    """Something to measure. `component` is where it is shown: "database", "redis", "storage", or "checks".

    `measure` may block for seconds and may use the database; what it raises is shown as "could not be measured".
    Its readings are good for `keep_seconds`.
    """

    component: str
    measure: Callable[[], Sequence[Reading]]
    keep_seconds: float = 1.0


probes: Registry[Probe] = Registry("health probe", group="sysops.health_probes")


def room(name: str, *, free_bytes: int | None, total_bytes: int | None, problem: str | None = None) -> Reading:
    """The reading of a place to write to. `problem` says why nothing can be written there."""
    percent = 100 * free_bytes / total_bytes if free_bytes is not None and total_bytes else None
    figures = {"free_bytes": free_bytes, "total_bytes": total_bytes, "free_percent": percent and round(percent, 1)}
    if problem:
        return Reading(name, Status.UNHEALTHY, problem, figures=figures)
    if percent is None:
        return Reading(name, None, "Can be written; how much room is left is not known here.", figures=figures)
    return Reading(name, judge_room(percent), f"{percent:.0f} % free", figures=figures)


class _Watch:
    """One probe, run at most once at a time; what it last said, and how long it has been silent."""

    def __init__(self, name: str, probe: Probe) -> None:
        self.name = name
        self.probe = probe
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._began = 0.0
        self._ended = float("-inf")
        self._took = 0.0
        self._last: Sequence[Reading] = ()

    def begin(self) -> None:
        with self._lock:
            if not self._idle.is_set() or time.monotonic() - self._ended < self.probe.keep_seconds:
                return
            self._idle.clear()
            self._began = time.monotonic()
            threading.Thread(target=self._run, name=f"probe {self.name}", daemon=True).start()

    def readings(self, *, deadline: float, limit: float) -> list[Reading]:
        if self._idle.wait(max(0.0, deadline - time.monotonic())):
            return list(self._last)
        silent = time.monotonic() - self._began
        # A part that is known to be slow but does answer is judged by that answer until it is clearly late.
        if self._took > limit and silent < self._took:
            return [replace(reading, waiting=True) for reading in self._last]
        return [Reading(self.name, Status.UNHEALTHY, f"No answer for {silent:.1f} s", last_check=utc_now())]

    def _run(self) -> None:
        try:
            found = [replace(reading, last_check=reading.last_check or utc_now()) for reading in self.probe.measure()]
        except Exception as exc:
            logger.exception("The health probe %s failed", self.name)
            reason = f"Could not be measured: {type(exc).__name__}: {redact(str(exc))}"
            found = [Reading(self.name, None, reason, last_check=utc_now())]
        finally:
            connections.close_all()
        with self._lock:
            self._last = found
            self._ended = time.monotonic()
            self._took = self._ended - self._began
            self._idle.set()


_watches: dict[str, _Watch] = {}
_watches_lock = threading.Lock()


def measure(names: Sequence[str] | None = None, *, limit: float = TIME_LIMIT_SECONDS) -> dict[str, list[Reading]]:
    """The readings of these probes (or of all) by component, within `limit` seconds whatever happens."""
    watches = [_watch(name, probe) for name, probe in probes if names is None or name in names]
    for watch in watches:
        watch.begin()
    deadline = time.monotonic() + limit
    found: dict[str, list[Reading]] = {}
    for watch in watches:
        found.setdefault(watch.probe.component, []).extend(watch.readings(deadline=deadline, limit=limit))
    return found


def _watch(name: str, probe: Probe) -> _Watch:
    with _watches_lock:
        known = _watches.get(name)
        if known is None or known.probe is not probe:
            known = _watches[name] = _Watch(name, probe)
        return known
