"""What is wrong in plain words, each with what to do next."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from django.urls import NoReverseMatch, reverse

from monitoring.health import Reading
from monitoring.rules import Status

Severity = Literal["critical", "warning"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `url` is where to act on it; empty where that is not a page of Sysops."""

    severity: Severity
    title: str
    detail: str
    action_label: str
    url: str


@dataclass(frozen=True)
class _Advice:
    title: str
    action_label: str
    page: str = ""


_ADVICE = {
    "database": _Advice("The database of Sysops", "See that PostgreSQL runs and has room, then look again"),
    "redis": _Advice("The broker", "See that Valkey or Redis runs; work that waits is kept and goes on then"),
    "beat": _Advice("The scheduler", "Start it again; what was due meanwhile is taken up at once"),
    "api": _Advice("The API", "Look at the slowest and the failing requests in the web server's log"),
    "storage": _Advice("Storage", "Make room or grow the disk before the next backup needs it"),
    "worker": _Advice("Worker", "Look at the workers", "admin:monitoring_workersighting_changelist"),
    "queue": _Advice(
        "Queue", "Start a worker that takes from this queue", "admin:monitoring_workersighting_changelist"
    ),
    "check": _Advice("Check", "Look into what this check measures"),
}


def problems_in(part: str, readings: Iterable[Reading]) -> list[Problem]:
    """A problem for every reading of this part that is not healthy; what is not known is no problem."""
    advice = _ADVICE[part]
    found = []
    for reading in readings:
        if reading.status in (None, Status.HEALTHY):
            continue
        named = advice.title if reading.name == part else f"{advice.title} {reading.name}"
        is_bad = reading.status is Status.UNHEALTHY
        found.append(
            Problem(
                severity="critical" if is_bad else "warning",
                title=f"{named} is {'not working' if is_bad else 'not well'}",
                detail=reading.details,
                action_label=advice.action_label,
                url=_address(advice.page),
            )
        )
    return found


def _address(page: str) -> str:
    try:
        return reverse(page) if page else ""
    except NoReverseMatch:  # an installation without that page of the admin
        return ""
