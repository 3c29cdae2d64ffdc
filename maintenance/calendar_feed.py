"""Windows as an iCalendar text (RFC 5545) that calendar programs subscribe to. Pure."""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from icalendar import Calendar, Event, vDuration, vText

from maintenance.rules import Status
from maintenance.vtimezone import vtimezone

FORM = 1  # grows when the text below changes, so that no program keeps the old one
REFRESH_MINUTES = 15  # how often programs look again, where they heed it
KEPT = timedelta(days=30)  # how long a window stays in the feed once it is over
CONTENT_TYPE = "text/calendar; charset=utf-8"
_UTC_NAMES = ("UTC", "Etc/UTC")


@dataclass(frozen=True)
class Entry:
    """What the feed tells of one window."""

    uid: UUID
    sequence: int
    title: str
    description: str
    kind: str
    status: str
    zone: str
    start: datetime
    end: datetime
    created_at: datetime
    changed_at: datetime
    services: tuple[str, ...]
    reached: tuple[str, ...]
    note: str
    cancel_reason: str


def etag(entries: Sequence[Entry], *, name: str) -> str:
    """Changes when the text would: known without making it."""
    return f'"{hashlib.sha256(repr((FORM, name, entries)).encode()).hexdigest()[:32]}"'


def calendar_text(entries: Sequence[Entry], *, name: str) -> bytes:
    """The whole feed."""
    calendar = Calendar()
    calendar.add("PRODID", "-//Sysops//Maintenance//EN")
    calendar.add("VERSION", "2.0")
    calendar.add("CALSCALE", "GREGORIAN")
    for known_as in ("X-WR-CALNAME", "NAME"):  # what programs read, and what RFC 7986 made of it
        calendar.add(known_as, vText(_line(name)))  # icalendar takes them for text only when told so
    calendar.add("REFRESH-INTERVAL", vDuration(timedelta(minutes=REFRESH_MINUTES)), parameters={"VALUE": "DURATION"})
    calendar.add("X-PUBLISHED-TTL", vText(f"PT{REFRESH_MINUTES}M"))
    for key, years in sorted(_years(entries).items()):
        calendar.add_component(vtimezone(ZoneInfo(key), first_year=min(years), last_year=max(years)))
    for entry in entries:
        calendar.add_component(_event(entry))
    text: bytes = calendar.to_ical()
    return text


def _years(entries: Iterable[Entry]) -> dict[str, set[int]]:
    """The zones that times are given in, and of which years."""
    found: dict[str, set[int]] = {}
    for entry in entries:
        zone = _zone(entry.zone)
        if zone is not None:
            found.setdefault(zone.key, set()).update((entry.start.year, entry.end.year))
    return found


def _event(entry: Entry) -> Event:
    event, zone = Event(), _zone(entry.zone)
    event.add("UID", f"{entry.uid}@sysops")
    event.add("SEQUENCE", entry.sequence)
    event.add("DTSTAMP", entry.changed_at.astimezone(UTC))
    event.add("CREATED", entry.created_at.astimezone(UTC))
    event.add("LAST-MODIFIED", entry.changed_at.astimezone(UTC))
    event.add("DTSTART", _moment(entry.start, zone))
    event.add("DTEND", _moment(entry.end, zone))
    event.add("SUMMARY", _line(entry.title))
    event.add("DESCRIPTION", _description(entry))
    event.add("CATEGORIES", ["Maintenance", entry.kind.capitalize()])
    event.add("STATUS", "CANCELLED" if entry.status == Status.CANCELLED else "CONFIRMED")
    event.add("TRANSP", "TRANSPARENT")  # nobody who subscribes is busy because of it
    return event


def _description(entry: Entry) -> str:
    parts = [
        entry.description,
        f"Worked on: {', '.join(entry.services)}." if entry.services else "",
        f"Also affected: {', '.join(entry.reached)}." if entry.reached else "",
        entry.note,
        f"Cancelled: {entry.cancel_reason}" if entry.cancel_reason else "",
    ]
    return "\n\n".join(_clean(part) for part in parts if part)


def _moment(moment: datetime, zone: ZoneInfo | None) -> datetime:
    """In the window's zone; in UTC where the local time comes twice and the second is meant (RFC 5545: the first)."""
    local = moment.astimezone(zone or UTC)
    return moment.astimezone(UTC) if local.fold else local


def _zone(key: str) -> ZoneInfo | None:
    """None for UTC, and for a zone this machine does not know: the instant is right all the same."""
    try:
        return None if key in _UTC_NAMES else ZoneInfo(key)
    except (ZoneInfoNotFoundError, ValueError):
        return None


def _line(text: str) -> str:
    return " ".join(_clean(text).split())


def _clean(text: str) -> str:
    """Without control characters and odd line ends, at which some programs split lines."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = (c if c == "\n" or unicodedata.category(c) not in ("Cc", "Zl", "Zp", "Cs") else " " for c in lines)
    return "".join(kept)
