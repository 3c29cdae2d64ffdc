"""What can be asked of errors. Reads only; what a person may see is decided in visible_projects, and there alone."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import orjson
import zstandard
from django.db import connection
from django.db.models import Count, Q, QuerySet, Sum

from errors.digest.event import load
from errors.finding import OPEN, is_breached, search_issues, with_release
from errors.models import ActivityEntry, Attachment, Event, Feedback, Grouping, HourCount, Issue, Project, TagKey
from errors.rules import SEVERITIES
from errors.sla import is_late
from errors.stack_text import stack_trace_text
from sysops.access.principals import TokenPrincipal
from sysops.access.rights import has_right

__all__ = [
    "Sla",
    "Tag",
    "TagShare",
    "activity_of",
    "all_issues",
    "attachments_of",
    "event",
    "events_of",
    "feedback_of",
    "groupings_of",
    "is_breached",
    "latest_event",
    "newer",
    "older",
    "open_counts",
    "payload_of",
    "search_issues",
    "sla_state",
    "stack_trace_text",
    "stack_traces",
    "tags_of",
    "trend",
    "visible_issues",
    "visible_projects",
    "with_release",
]

logger = logging.getLogger(__name__)

HOUR = timedelta(hours=1)
LARGEST_IN_LISTS = 256 * 1024  # bytes, packed: a list of fifty does not read more of each

_LATEST = """
SELECT asked.issue, event.payload
FROM unnest(%s::bigint[], %s::uuid[], %s::timestamptz[], %s::bigint[]) AS asked(issue, event, received, project)
JOIN errors_event event
    ON event.event_id = asked.event AND event.project_id = asked.project AND event.received_at = asked.received
WHERE octet_length(event.payload) <= %s
"""

_TAGS = """
WITH counted AS (
    SELECT tag.key, tag.value, sum(tag.quantity) AS quantity, max(tag.last_seen) AS last_seen
    FROM errors_tagvalue tag JOIN errors_grouping grouped ON grouped.id = tag.grouping_id
    WHERE grouped.issue_id = %s GROUP BY tag.key, tag.value
), placed AS (
    SELECT key, value, quantity, last_seen,
        row_number() OVER (PARTITION BY key ORDER BY quantity DESC, value) AS place,
        sum(quantity) OVER (PARTITION BY key) AS listed,
        count(*) OVER (PARTITION BY key) AS kept
    FROM counted
)
SELECT key, value, quantity::bigint, last_seen, listed::bigint, kept FROM placed WHERE place <= %s ORDER BY key, place
"""


@dataclass(frozen=True)
class TagShare:
    """How many events of an issue carry a value."""

    value: str
    quantity: int
    percent: float
    last_seen: datetime


@dataclass(frozen=True)
class Tag:
    """A tag of an issue's events: its most frequent values, and how many events have others."""

    key: str
    total: int  # events that carry the tag
    kept: int  # values that are listed in the database
    other: int  # events whose value is not among `values`
    values: tuple[TagShare, ...]


@dataclass(frozen=True)
class Sla:
    """Where an issue stands with the time in which somebody has to respond."""

    respond_by: datetime | None
    responded_at: datetime | None
    breached: bool
    near: bool
    left_seconds: int | None  # below 0: so long over; None: nobody is waited for


def visible_projects(user: object) -> QuerySet[Project]:
    """The projects whose issues this user or token may see. A token sees no more than its owner."""
    if not has_right(user, "errors.view"):
        return Project.objects.none()
    projects = Project.objects.filter(deleted_at=None)
    if has_right(user, "errors.configure"):
        return projects
    return projects.filter(Q(restricted=False) | _opened_to(user))


def visible_issues(user: object) -> QuerySet[Issue]:
    """The issues this user or token may see, latest seen first, for lists."""
    if has_right(user, "errors.view") and has_right(user, "errors.configure"):
        return all_issues()
    return all_issues().filter(project__in=visible_projects(user))


def all_issues() -> QuerySet[Issue]:
    """Every issue with its project, service and assignee, latest seen first: for who asks for nobody in particular."""
    rows = Issue.objects.filter(project__deleted_at=None).defer("search")
    return rows.select_related("project__environment", "service", "assignee").order_by("-last_seen", "-pk")


def _opened_to(user: object) -> Q:
    """Restricted projects in which the user or token is named."""
    if not isinstance(user, TokenPrincipal):
        return Q(pk__in=Project.readers.through.objects.filter(user=user.pk).values("project"))  # type: ignore[attr-defined]
    named = Q(pk__in=Project.reader_tokens.through.objects.filter(apitoken=user.pk).values("project"))
    if user.owner is None or has_right(user.owner, "errors.configure"):
        return named
    return named & _opened_to(user.owner)


def open_counts(user: object) -> dict[str, int]:
    """How many issues wait for somebody, by severity, the worst first. Those that are resolved or ignored do not."""
    rows = Issue.objects.filter(status__in=OPEN, project__in=visible_projects(user)).order_by()
    found = dict(rows.values_list("severity").annotate(Count("pk")))
    return {severity.value: found.get(severity.value, 0) for severity in SEVERITIES}


def groupings_of(issue: Issue) -> list[int]:
    """The keys of the issue's groupings."""
    return list(Grouping.objects.filter(issue=issue.pk).order_by("pk").values_list("pk", flat=True))


def events_of(issue: Issue) -> QuerySet[Event]:
    """The stored events of the issue, newest first, without their payloads. One query more for the groupings."""
    # As keys: behind a join the planner cannot walk each partition's index in the order that is asked for.
    rows = Event.objects.filter(grouping__in=groupings_of(issue)).defer("payload")
    return rows.order_by("-received_at", "-event_id")


def event(issue: Issue, event_id: UUID) -> Event:
    """One event of the issue, with its payload. Raises Event.DoesNotExist."""
    return Event.objects.get(event_id=event_id, project=issue.project_id, grouping__issue=issue.pk)


def latest_event(issue: Issue) -> Event | None:
    """The newest stored event with its payload; None when retention has taken all."""
    if issue.latest_event_id is not None and issue.latest_received_at is not None:
        known = Event.objects.filter(
            event_id=issue.latest_event_id,
            project=issue.project_id,
            received_at=issue.latest_received_at,  # names the partition
            grouping__issue=issue.pk,  # it may have been split off since
        )
        for found in known:
            return found
    return events_of(issue).defer(None).first()


def older(issue: Issue, event: Event) -> Event | None:
    """The event before this one."""
    before = Q(received_at__lt=event.received_at) | Q(received_at=event.received_at, event_id__lt=event.event_id)
    return events_of(issue).filter(before, received_at__lte=event.received_at).first()


def newer(issue: Issue, event: Event) -> Event | None:
    """The event after this one."""
    after = Q(received_at__gt=event.received_at) | Q(received_at=event.received_at, event_id__gt=event.event_id)
    rows = events_of(issue).filter(after, received_at__gte=event.received_at)
    return rows.order_by("received_at", "event_id").first()


def payload_of(event: Event) -> dict[str, object]:
    """What was reported, normalised and scrubbed; empty when it cannot be read."""
    return _read(event.payload)


def _read(payload: bytes | memoryview) -> dict[str, object]:
    """Nothing for a payload that is damaged: its issue must stay readable."""
    try:
        return load(bytes(payload))
    except (zstandard.ZstdError, orjson.JSONDecodeError) as exc:
        logger.warning("A stored event cannot be read: %s", exc)
        return {}


def stack_traces(issues: Collection[Issue]) -> dict[int, str | None]:
    """By issue, the stack trace of its latest event as text; None where it has none or it is not stored. One query."""
    found: dict[int, str | None] = {issue.pk: None for issue in issues}
    asked = [issue for issue in issues if issue.latest_event_id is not None and issue.latest_received_at is not None]
    if not asked:
        return found
    with connection.cursor() as cursor:
        cursor.execute(
            _LATEST,
            [
                [issue.pk for issue in asked],
                [issue.latest_event_id for issue in asked],
                [issue.latest_received_at for issue in asked],
                [issue.project_id for issue in asked],
                LARGEST_IN_LISTS,
            ],
        )
        for pk, payload in cursor.fetchall():
            found[pk] = stack_trace_text(_read(payload))
    return found


def trend(issues: Collection[Issue] | Collection[int], *, hours: int, now: datetime) -> dict[int, list[int]]:
    """By issue, its events in each of the last hours, oldest first; the last one is the hour that runs. One query."""
    keys = [issue.pk if isinstance(issue, Issue) else issue for issue in issues]
    last = now.replace(minute=0, second=0, microsecond=0)
    first = last - (hours - 1) * HOUR
    found = {key: [0] * hours for key in keys}
    rows = HourCount.objects.filter(grouping__issue__in=keys, hour__gte=first, hour__lte=last)
    counted = rows.order_by().values_list("grouping__issue", "hour").annotate(Sum("quantity"))
    for key, hour, quantity in counted:
        found[key][(hour - first) // HOUR] += quantity
    return found


def tags_of(issue: Issue, *, values: int = 10) -> list[Tag]:
    """The tags of the issue's events by key, each with its most frequent values. Two queries."""
    with connection.cursor() as cursor:
        cursor.execute(_TAGS, [issue.pk, values])
        rows = cursor.fetchall()
    unlisted = TagKey.objects.filter(grouping__issue=issue.pk).order_by().values_list("key").annotate(Sum("other"))
    more: dict[str, int] = dict(unlisted)
    by_key: dict[str, list[tuple[str, int, datetime]]] = {}
    totals: dict[str, tuple[int, int]] = {}
    for key, value, quantity, last_seen, listed, kept in rows:
        by_key.setdefault(key, []).append((value, quantity, last_seen))
        totals[key] = (listed + more.get(key, 0), kept)
    return [_tag(key, found, *totals[key]) for key, found in by_key.items()]


def _tag(key: str, rows: list[tuple[str, int, datetime]], total: int, kept: int) -> Tag:
    shares = tuple(
        TagShare(value, quantity, round(100 * quantity / total, 1) if total else 0.0, last_seen)
        for value, quantity, last_seen in rows
    )
    return Tag(key, total, kept, total - sum(share.quantity for share in shares), shares)


def activity_of(issue: Issue) -> QuerySet[ActivityEntry]:
    """The history of the issue, newest first."""
    return ActivityEntry.objects.filter(issue=issue.pk).order_by("-at", "-pk")


def attachments_of(event: Event) -> list[Attachment]:
    """The files that came with the event, without their contents."""
    rows = Attachment.objects.filter(project=event.project_id, event_id=event.event_id).defer("body")
    return list(rows.order_by("position", "pk"))


def feedback_of(event: Event) -> list[Feedback]:
    """What people wrote about the event, newest first."""
    rows = Feedback.objects.filter(project=event.project_id, event_id=event.event_id)
    return list(rows.order_by("-received_at", "-pk"))


def sla_state(issue: Issue, *, now: datetime) -> Sla:
    """Where the issue stands with its time to respond, now; a breach counts before the tick has written it down."""
    due, waiting = issue.respond_by, issue.responded_at is None
    if due is None or not waiting:
        return Sla(due, issue.responded_at, issue.breached_at is not None, near=False, left_seconds=None)
    return Sla(
        respond_by=due,
        responded_at=None,
        breached=issue.breached_at is not None or is_late(issue.near_at, due, at=now),
        near=issue.near_at is not None and issue.near_at <= now,
        left_seconds=int((due - now).total_seconds()),
    )
