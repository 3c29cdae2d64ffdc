"""What the commands print about maintenance windows."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from maintenance.models import Window

# Why a window that is so cannot be completed or cancelled.
STATE_WORDS = {
    "scheduled": "has not begun; start it, or cancel it",
    "in_progress": "has begun; complete it",
    "completed": "is completed already",
    "cancelled": "is cancelled already",
}


def line(row: "Window") -> str:
    """A window in one line: its number, state, times and title."""
    status = "overrunning" if row.overrunning else row.status.replace("_", " ")
    kind = "" if row.maintenance_type == "planned" else f" ({row.maintenance_type})"
    start, end = row.actual_start or row.scheduled_start, row.completed_at or row.scheduled_end
    return f"Window {row.pk} {status}{kind}: {times(start, end, zone=row.time_zone)}  {row.title}"


def details(found: Mapping[str, object]) -> Iterator[str]:
    """The further lines about a window, as the API shows it."""
    lists: list[tuple[str, str, Callable[..., str]]] = [
        ("affected_services", "works on", str),
        ("reached_services", "reaches", str),
        ("overlaps", "overlaps", lambda other: f"window {other['id']} “{other['title']}”"),
        ("gates", "needs", lambda gate: f"{gate['gate']} ({gate['state']}) {gate['reason']}".strip()),
    ]
    for name, words, one in lists:
        rows = found[name]
        assert isinstance(rows, list)
        if rows:
            shown = [one(row) for row in rows[:20]]
            yield f"  {words} {', '.join(shown)}" + (f" and {len(rows) - 20} more" if len(rows) > 20 else "")
    if found["note"]:
        yield f"  {found['note']}"
    if found["start_refused_because"]:
        yield f"  did not start: {found['start_refused_because']}"


def times(start: datetime, end: datetime, *, zone: str) -> str:
    """From when to when, as the clocks of the zone show it."""
    place = ZoneInfo(zone)
    first, last = start.astimezone(place), end.astimezone(place)
    until = f"– {last:%H:%M}" if first.date() == last.date() else f"– {last:%Y-%m-%d %H:%M}"
    if last.date() - first.date() == timedelta(days=1):
        until = f"until the next day, {last:%Y-%m-%d %H:%M}"
    return f"{first:%Y-%m-%d %H:%M} {until} {zone}"
