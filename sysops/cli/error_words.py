"""What the commands print about issues. All of it was sent by somebody: nothing in it may drive the terminal."""

import unicodedata
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from errors.sla import is_late
from sysops.kernel.words import span_words, utc_words

if TYPE_CHECKING:
    from errors.models import Issue, Project
    from errors.selectors import Sla

_MESSAGE = 100  # characters in a list
_TAG_VALUES = 5
OPEN = ("unresolved", "acknowledged")


def harmless(text: str) -> str:
    """The text with everything that moves the cursor, colours, rings or reorders made visible; lines stay lines."""
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else "\ufffd"
        for char in text
    )


def line(issue: "Issue", *, now: datetime, names: Mapping[str, str]) -> str:
    """An issue in one line: its number, severity, status, how often and when last, and what it says.

    `names`: what those are called who responded.
    """
    title = " ".join(harmless(str(issue)).split())
    ago = span_words((now - issue.last_seen).total_seconds())
    shown = title if len(title) <= _MESSAGE else title[: _MESSAGE - 1] + "…"
    facts = f"{issue.severity} {issue.status}{_whose(issue, names)}{_left(issue, now=now)}"
    return f"{issue.pk}  {facts}  {issue.event_count}×, last {ago} ago  {shown}"


def _whose(issue: "Issue", names: Mapping[str, str]) -> str:
    """Who has it, or else who responded while it is open."""
    if issue.assignee:
        return f", {harmless(issue.assignee.name)}"
    if issue.responded_by and issue.status in OPEN:
        return f", {harmless(names[issue.responded_by])} is on it"
    return ""


def _left(issue: "Issue", *, now: datetime) -> str:
    """How long there is to respond, while somebody has to."""
    if issue.status != "unresolved" or issue.responded_at is not None or issue.respond_by is None:
        return ""
    left = int((issue.respond_by - now).total_seconds())
    if is_late(issue.near_at, issue.respond_by, at=now):
        return f", overdue by {_rough(-left)}"
    return f", {_rough(left)} left to respond" if left > 0 else ", to be responded to at once"


def _rough(seconds: int) -> str:
    """A span without seconds, where it is longer than a minute."""
    return span_words(seconds - seconds % 60 if seconds > 60 else seconds)


def details(found: Mapping[str, object], *, sla: "Sla") -> Iterator[str]:
    """Everything else about an issue, as the API shows it."""
    facts = {
        "project": found["project"],
        "service": found["service"],
        "environment": found["environment"],
        "release": found["release"],
        "where": found["culprit"],
        "first seen": _when(found["first_seen"]),
        "last seen": _when(found["last_seen"]),
        "accounts": found["affected_accounts"],
        "severity because": found["severity_because"],
        "to respond": _sla_words(sla),
        "resolved": _resolved_words(found),
    }
    for name, value in facts.items():
        if value not in (None, ""):
            yield f"  {name}: {harmless(str(value))}"
    tags = found["tags"]
    assert isinstance(tags, list)
    for tag in tags:
        shown = ", ".join(f"{row['value']} ({row['percent']:g} %)" for row in tag["values"][:_TAG_VALUES])
        yield f"  tag {harmless(tag['key'])}: {' '.join(harmless(shown).split())}"
    groups = found["groupings"]
    assert isinstance(groups, list)
    for group in groups if len(groups) > 1 else ():
        yield f"  group {group['id']}: {' '.join(harmless(group['label']).split())} ({group['event_count']}×)"
    if found["stack_trace"]:
        yield ""
        yield harmless(str(found["stack_trace"]))


def _when(shown: object) -> str:
    """A time of the API's as every other time is printed."""
    return utc_words(datetime.fromisoformat(str(shown)))


def _sla_words(sla: "Sla") -> str | None:
    if sla.respond_by is None:
        return None
    late = ", breached" if sla.breached else ""
    if sla.responded_at is not None:
        return f"was responded to at {utc_words(sla.responded_at)}{late}"
    return f"by {utc_words(sla.respond_by)}{late or (', near' if sla.near else '')}"


def _resolved_words(found: Mapping[str, object]) -> str | None:
    if not found["resolved_at"]:
        return None
    release = found["resolved_in_release"]
    where = f", in {'the release after ' if found['resolved_in_next_release'] else ''}{release}" if release else ""
    return f"{_when(found['resolved_at'])} by {found['resolved_by']}{where}" + (
        f": {found['resolve_note']}" if found["resolve_note"] else ""
    )


def project_line(project: "Project", dsns: list[str]) -> str:
    """A project in one line, and a line for each of its DSNs."""
    notes = [] if project.enabled else ["switched off"]
    notes += ["restricted"] if project.restricted else []
    on = f" for {project.service.slug}" if project.service else ""
    head = f"{project.slug}: {harmless(project.name)}{on}{''.join(f', {note}' for note in notes)}"
    return "\n".join([head, *(f"  {dsn}" for dsn in dsns)])
