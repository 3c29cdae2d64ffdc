"""What the page of an issue shows: what is wrong with it, one of its events, what was done about it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from errors import looks, search, selectors
from errors.admin import charts, reading
from errors.models import ActivityEntry, Event, Issue
from errors.rules import Activity
from sysops.kernel.words import utc_words

MOST_ACTIVITY = 100
TAG_VALUES = 5
TAG_KEYS = 30
LONGEST_COPY = 50_000
_KEY = re.compile(r"[A-Za-z_][\w.\-]{0,59}", re.ASCII)


@dataclass(frozen=True)
class Entry:
    """A line of the history as people read it."""

    icon: str
    title: str
    by: str
    at: datetime
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Share:
    """A value of a tag: how many have it, and where to see all of them."""

    value: str
    quantity: int
    percent: float
    url: str
    bar: SafeString


@dataclass(frozen=True)
class Tag:
    key: str
    other: int
    shares: tuple[Share, ...]


def issue_page(request: HttpRequest, issue: Issue, *, now: datetime) -> dict[str, object]:
    """Everything below the title. As many queries for an issue of a million events as for one of one."""
    span = charts.span_of(request.GET.get("span", "week"))
    counts = selectors.trend([issue], hours=span.hours, now=now)[issue.pk]
    history = list(selectors.activity_of(issue)[: MOST_ACTIVITY + 1])
    return {
        "kind": looks.plain(issue.error_type),
        "message": looks.plain(issue.error_message),
        "culprit": looks.plain(issue.culprit),
        "status": looks.status(issue),
        "severity": looks.severity(issue.severity),
        "severity_because": looks.plain(looks.severity_because(issue)),
        "sla": looks.sla(issue, now=now),
        "sla_words": looks.sla_words(issue, now=now),
        "waits": looks.waits(issue),
        "respond_by": utc_words(issue.respond_by) if issue.respond_by else "",
        "overdue": looks.waits(issue) and looks.sla_words(issue, now=now)[0] == "bad",
        "accounts": looks.accounts(issue),
        "chart": charts.chart(counts, span, now=now),
        "chart_words": charts.chart_words(charts.per_bar(counts, span), span, now=now),
        "span": span,
        "spans": [(one.words, _query(request, span=one.key), one is span) for one in charts.SPANS],
        "activity": [_entry(entry) for entry in history[:MOST_ACTIVITY]],
        "activity_more": len(history) > MOST_ACTIVITY,
        "tags": [_tag(tag) for tag in selectors.tags_of(issue, values=TAG_VALUES)[:TAG_KEYS]],
        "groups": [(looks.plain(group.label), group) for group in issue.groupings.order_by("pk")],
        **event_part(request, issue),
    }


def event_part(request: HttpRequest, issue: Issue) -> dict[str, object]:
    """The event that is looked at: the one that was asked for, else the latest."""
    asked = search.event_id(request.GET.get("event", ""))
    event, gone = _find(issue, asked), False
    if event is None and asked is not None:
        event, gone = selectors.latest_event(issue), True
    if event is None:
        return {"event": None, "event_gone": gone}
    payload = selectors.payload_of(event)
    trace = selectors.stack_trace_text(payload) or ""
    newer, older = selectors.newer(issue, event), selectors.older(issue, event)
    return {
        "event_row": event,
        "event_gone": gone,
        "event": reading.shown(payload),
        "trace_text": looks.plain(trace) if len(trace) <= LONGEST_COPY else "",
        "newer_url": _query(request, event=newer.event_id.hex) if newer else "",
        "older_url": _query(request, event=older.event_id.hex) if older else "",
        "newest_url": _query(request, event="") if newer else "",
        "json_url": reverse("admin:errors_issue_event_json", args=[issue.pk, event.event_id]),
        "files": [
            (looks.plain(file.filename), file, reverse("admin:errors_issue_file", args=[issue.pk, file.pk]))
            for file in selectors.attachments_of(event)
        ],
        "feedback": selectors.feedback_of(event),
    }


def _find(issue: Issue, asked: object) -> Event | None:
    if asked is None:
        return selectors.latest_event(issue)
    try:
        return selectors.event(issue, asked)  # type: ignore[arg-type]
    except Event.DoesNotExist:
        return None


def _query(request: HttpRequest, **changes: str) -> str:
    """This page with other questions; what stays is only what this page knows."""
    known = {name: request.GET[name] for name in ("span", "event") if name in request.GET}
    return "?" + urlencode({name: value for name, value in {**known, **changes}.items() if value})


def _tag(tag: selectors.Tag) -> Tag:
    shares = tuple(
        Share(looks.plain(s.value), s.quantity, s.percent, _tag_url(tag.key, s.value), _bar(s.percent))
        for s in tag.values
    )
    return Tag(looks.plain(tag.key), tag.other, shares)


def _tag_url(key: str, value: str) -> str:
    """The list of issues with this value; none where a search cannot name it."""
    if not _KEY.fullmatch(key) or len(value) > 200:
        return ""
    known = {"release", "environment", "level"}
    named = key if key in known or key.lower() not in search.NAMES else f"{search.TAG}{key}"
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    query = urlencode({"q": f'{named}:"{quoted}"'})
    return f"{reverse('admin:errors_issue_changelist')}?{query}"


def _bar(percent: float) -> SafeString:
    return format_html(
        '<svg class="so-share-bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        '<rect width="100" height="4"></rect><rect class="so-bar-some" width="{}" height="4"></rect></svg>',
        f"{min(max(percent, 0.5), 100):.1f}",
    )


def _entry(entry: ActivityEntry) -> Entry:
    icon, title = looks.ACTIVITIES.get(Activity(entry.kind), ("history", entry.kind))
    lines = [*_facts(entry), looks.plain(entry.text)]
    by = "" if entry.kind == Activity.CREATED else looks.plain(entry.by)  # nobody did it
    return Entry(icon, title, by, entry.at, tuple(line for line in lines if line))


def _facts(entry: ActivityEntry) -> Sequence[str]:
    """What the entry's data say, where they say more than its title."""
    data = entry.data if isinstance(entry.data, dict) else {}
    found = []
    if data.get("release"):
        following = "in the release after" if data.get("in_next_release") else "in release"
        found.append(f"{following} {looks.plain(data['release'])}")
    if isinstance(data.get("until"), str):
        found.append(f"until {utc_words(datetime.fromisoformat(data['until']))}")
    if data.get("more_events"):
        found.append(f"until {data['more_events']:,} more events")
    if data.get("more_accounts"):
        found.append(f"until {data['more_accounts']:,} more accounts")
    if data.get("severity") and data.get("before"):
        given = "by hand" if data.get("source") == "manual" else "by the rules"
        found.append(f"from {data['before']} to {data['severity']}, {given}")
    return found
