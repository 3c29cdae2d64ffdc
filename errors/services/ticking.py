"""What time alone brings about: deadlines that are near or missed, issues that were ignored until now, messages due.

Any number of ticks at once do each thing once: rows are claimed in batches, what another tick holds is left to it.
"""

from collections.abc import Callable
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q, QuerySet

from errors import sla
from errors.announcing import News, Stream
from errors.models import ActivityEntry, Issue
from errors.rules import Activity, Severity, Status
from errors.services import bulk, headlines, policy, wording
from errors.services.bulletins import tell_due
from errors.services.history import BY_ITSELF
from errors.services.issues import NOT_IGNORED
from errors.services.telling import Grown, end_rest_alerts, tell_grown, tell_soon
from sysops.events import publish_many
from sysops.kernel.clock import Clock

BATCH = 200
_OPEN = (Status.UNRESOLVED.value, Status.ACKNOWLEDGED.value)


def tick(*, now: Clock) -> dict[str, int]:
    """How many deadlines were missed or are near, what is not ignored any more or called anew, and messages posted."""
    return {
        "breached": _in_batches(_breach, now),
        "near": _in_batches(_near, now),
        "unignored": _in_batches(_unignore, now),
        "retitled": _in_batches(_retitle, now),
        "told": tell_due(now=now),
        "ended": end_rest_alerts(at=now()),
    }


def _in_batches(step: Callable[[datetime], int], now: Clock) -> int:
    done = 0
    while True:
        with transaction.atomic():
            count = step(now())
        done += count
        if count < BATCH:
            return done


def _claim(found: QuerySet[Issue]) -> list[Issue]:
    """Some of these issues, locked in the order in which everybody locks them."""
    rows = found.filter(project__deleted_at=None).select_related("project__service").defer("search").order_by("pk")
    return list(rows.select_for_update(of=("self",), skip_locked=True)[:BATCH])


def _waiting() -> QuerySet[Issue]:
    return Issue.objects.filter(responded_at=None, breached_at=None, status__in=_OPEN)


def _breach(at: datetime) -> int:
    # Of what is due at once: see sla.breaches_at.
    missed = Q(near_at=None) | Q(respond_by__gt=F("near_at")) | Q(respond_by__lte=at - sla.AT_ONCE_GRACE)
    issues = _claim(_waiting().filter(missed, respond_by__lte=at))
    for issue in issues:
        assert issue.respond_by is not None
        issue.breached_at = sla.breaches_at(issue.near_at, issue.respond_by)
    bulk.update(issues, "breached_at")
    _record(issues, Activity.SLA_BREACHED, at=at)
    tell_soon(issues, Stream.BREACHED, at=at)
    return len(issues)


def _near(at: datetime) -> int:
    issues = _claim(_waiting().filter(near_at__lte=at, near_told_at=None))
    for issue in issues:
        issue.near_told_at = at
    bulk.update(issues, "near_told_at")
    _record(issues, Activity.SLA_NEAR, at=at)
    # What is due at once was told of as it came; "soon due" would be the same message again.
    later = [each for each in issues if each.respond_by and not sla.at_once(each.near_at, each.respond_by)]
    tell_soon(later, Stream.NEAR, at=at)
    return len(issues)


def _unignore(at: datetime) -> int:
    found = Issue.objects.filter(status=Status.IGNORED.value, ignored_until__lte=at)
    issues = _claim(found)
    levels = policy.levels() if issues else {}
    for issue in issues:
        level = levels[Severity(issue.severity)]
        issue.status = Status.UNRESOLVED.value
        for name, value in NOT_IGNORED.items():
            setattr(issue, name, value)
        issue.clock_started_at = at
        issue.near_told_at = issue.responded_at = issue.breached_at = None
        issue.responded_by = ""
        issue.near_at, issue.respond_by = sla.deadlines(
            at, within_seconds=level.respond_within_seconds, near_percent=level.near_percent
        )
    clock = ("clock_started_at", "near_at", "respond_by", "near_told_at", "responded_at", "responded_by", "breached_at")
    bulk.update(issues, "status", *NOT_IGNORED, *clock)
    _record(issues, Activity.REOPENED, at=at, text="It was ignored until now")
    tell_grown([Grown(issue, issue.project, News.REOPENED) for issue in issues], at=at)
    return len(issues)


def _retitle(at: datetime) -> int:
    return headlines.catch_up(at=at)


def _record(issues: list[Issue], kind: Activity, *, at: datetime, text: str = "") -> None:
    if not issues:
        return
    ActivityEntry.objects.bulk_create(
        [
            ActivityEntry(
                issue=issue, kind=kind.value, by=BY_ITSELF, at=at, text=text, data={"severity": issue.severity}
            )
            for issue in issues
        ]
    )
    facts = {
        str(issue.pk): wording.public(
            {
                "project": issue.project.slug,
                "by": f"system {BY_ITSELF}",
                "severity": issue.severity,
                "respond_by": issue.respond_by.isoformat() if issue.respond_by else None,
            },
            issue.project,
        )
        for issue in issues
    }
    publish_many(f"errors.issue.{kind}", facts, at=at)
