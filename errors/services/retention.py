"""Removing what is too old or too much: by week where all of a week is too old, else in small batches.

Every batch is a short transaction of its own, which locks what the digest locks too in the digest's order: reports are
taken and digested meanwhile. What is not done when the time is up is done the next time.
"""

import logging
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import OperationalError, connection, models, transaction
from django.db.models import Count, Max, Sum

from errors import partitions
from errors.models import (
    Attachment,
    CheckIn,
    Event,
    Feedback,
    Grouping,
    HourCount,
    Issue,
    OutcomeCount,
    Project,
    Release,
    SessionCount,
    Undigestible,
)
from errors.services.growing import RELEASES
from sysops.kernel.clock import Clock

logger = logging.getLogger(__name__)

EVENTS = 1_000  # deleted in one transaction
ROWS = 1_000
FILES = 50  # of up to 20 MiB each
GROUPINGS = 500  # looked through by one statement
OLD_RELEASES = 5_000  # looked at in one transaction, which reads the project's events once
PATIENCE = "2s"  # with readers of the events, when a week is dropped; longer would hold up the digest
_LOCK = 7_305_023  # advisory lock: one who drops weeks at a time

# What belongs to a project and when it came; it goes at the same age as the project's events.
_BESIDE: tuple[tuple[type[models.Model], str, int], ...] = (
    (Attachment, "received_at", FILES),
    (Undigestible, "failed_at", FILES),
    (CheckIn, "received_at", ROWS),
    (Feedback, "received_at", ROWS),
    (SessionCount, "hour", ROWS),
    (OutcomeCount, "hour", ROWS),
    (HourCount, "hour", ROWS),
)
# What names a release, the largest last.
_NAMES_RELEASE: tuple[tuple[type[models.Model], str], ...] = (
    (Issue, "first_release"),
    (Issue, "last_release"),
    (Issue, "resolved_in_release"),
    (SessionCount, "release"),
    (Event, "release"),
)


@dataclass
class Removed:
    """What a run removed, and whether there was time for all of it."""

    weeks: int = 0
    events: int = 0
    others: int = 0
    finished: bool = True


def apply_retention(*, now: Clock, seconds: float = 300.0) -> Removed:
    """Remove what is older than its project keeps it, and the oldest events of issues that have too many."""
    removed = Removed()
    stop = time.monotonic() + seconds
    removed.weeks = _drop_weeks(now())
    for project in Project.objects.filter(deleted_at=None).order_by("pk"):
        for _ in _remove(project, now() - timedelta(days=project.retention_days), removed):
            if time.monotonic() >= stop:
                removed.finished = False
                return removed
    return removed


def _drop_weeks(at: datetime) -> int:
    """Drop the weeks that are too old for every project, with all their events; how many these were."""
    days = Project.objects.aggregate(longest=Max("retention_days"))["longest"]
    oldest = partitions.week_of(at - timedelta(days=days)) if days else None
    if oldest is None or not any(week < oldest for week in partitions.existing()):
        return 0
    gone = Event.objects.filter(received_at__lt=oldest).order_by().values_list("grouping_id")
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [PATIENCE])
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])  # or two would count them down
            counts: dict[int, int] = dict(gone.annotate(Count("pk")))
            dropped = partitions.drop_before(oldest)
    except OperationalError:
        logger.info("Somebody is at the oldest events; they are dropped the next time")
        return 0
    _count_down(counts)
    return len(dropped)


def _remove(project: Project, oldest: datetime, removed: Removed) -> Iterator[None]:
    """Remove what is older than `oldest` and what is too much, a batch with each step."""
    for count in _old_events(project, oldest):
        removed.events += count
        yield
    for count in _too_many_events(project):
        removed.events += count
        yield
    for model, column, batch in _BESIDE:
        owner = {"grouping__project": project} if model is HourCount else {"project": project}
        old = model._default_manager.filter(**owner, **{f"{column}__lt": oldest}).order_by()
        while keys := list(old.values_list("pk", flat=True)[:batch]):
            model._default_manager.filter(pk__in=keys).delete()
            removed.others += len(keys)
            yield
    for count in _old_releases(project, oldest):
        removed.others += count
        yield


def _old_releases(project: Project, oldest: datetime) -> Iterator[int]:
    """Delete the releases that nothing names any more, except those that the digest orders others by (RELEASES).

    One that was seen within the project's time stays in any case. One that goes and is reported again is new, which
    makes a difference only where it is no version.
    """
    of_project = Release.objects.filter(project=project)
    newest = of_project.order_by("-first_seen", "-pk").values_list("first_seen", flat=True)
    for limit in newest[RELEASES - 1 : RELEASES]:
        old = of_project.filter(first_seen__lt=min(limit, oldest)).order_by("pk")
        last = 0
        while True:
            with transaction.atomic():
                # Held, so that a batch of the digest with an event of one of them waits, and makes it anew.
                held = old.filter(pk__gt=last).select_for_update(skip_locked=True)
                found = dict(held.values_list("pk", "version")[:OLD_RELEASES])
                if not found:
                    return
                unnamed = _unnamed(project, set(found.values()))
                of_project.filter(pk__in=[pk for pk, version in found.items() if version in unnamed]).delete()
            last = max(found)
            yield len(unnamed)


def _unnamed(project: Project, versions: set[str]) -> set[str]:
    """Those of these releases that nothing kept of the project names. Its events are read last, and only if need be."""
    for model, column in _NAMES_RELEASE:
        if versions:
            rows = model._default_manager.filter(project=project, **{f"{column}__in": versions})
            versions = versions - set(rows.order_by().values_list(column, flat=True).distinct())
    return versions


def _old_events(project: Project, oldest: datetime) -> Iterator[int]:
    groupings = Grouping.objects.filter(project=project, first_seen__lt=oldest, events_kept__gt=0).order_by("pk")
    keys = list(groupings.values_list("pk", flat=True))
    for start in range(0, len(keys), GROUPINGS):
        old = Event.objects.filter(grouping__in=keys[start : start + GROUPINGS], received_at__lt=oldest)
        yield from _delete(project, old)


def _too_many_events(project: Project) -> Iterator[int]:
    kept = Grouping.objects.filter(project=project).values("issue").annotate(kept=Sum("events_kept")).order_by("issue")
    for issue in list(kept.filter(kept__gt=project.events_per_issue).values_list("issue", flat=True)):
        groupings = list(Grouping.objects.filter(issue=issue).values_list("pk", flat=True))
        events = Event.objects.filter(grouping__in=groupings)
        newest = events.order_by("-received_at", "-event_id").values_list("received_at", "event_id")
        limit = newest[project.events_per_issue : project.events_per_issue + 1]
        for at, event_id in limit:
            older = models.Q(received_at__lt=at) | models.Q(received_at=at, event_id__lte=event_id)
            yield from _delete(project, events.filter(older, received_at__lte=at))
        _recount(groupings)


def _delete(project: Project, events: models.QuerySet[Event]) -> Iterator[int]:
    """Delete these events in batches, with what was attached to them."""
    while True:
        with transaction.atomic():
            # Ours: another run that found them too would count them down once more.
            ours = events.order_by().select_for_update(skip_locked=True)
            found = list(ours.values_list("event_id", "grouping_id")[:EVENTS])
            if not found:
                return
            keys = [event_id for event_id, _ in found]
            events.filter(event_id__in=keys).delete()
            Attachment.objects.filter(project=project, event_id__in=keys).delete()
            _count_down(Counter(grouping for _, grouping in found))
        yield len(found)


def _count_down(gone: Mapping[int, int]) -> None:
    keys = sorted(gone)
    for start in range(0, len(keys), GROUPINGS):
        some = keys[start : start + GROUPINGS]
        with transaction.atomic(), connection.cursor() as cursor:
            _lock(some)
            cursor.execute(
                "UPDATE errors_grouping SET events_kept = greatest(0, events_kept - gone.events) "
                "FROM unnest(%s::bigint[], %s::bigint[]) AS gone (grouping_id, events) WHERE id = grouping_id",
                [some, [gone[key] for key in some]],
            )


def _recount(groupings: Collection[int]) -> None:
    """Say again how many events are kept: a count that was ahead of the truth would bring us back for ever."""
    with transaction.atomic():
        _lock(groupings)
        events = Event.objects.filter(grouping__in=groupings).order_by().values_list("grouping_id")
        kept: dict[int, int] = dict(events.annotate(Count("pk")))
        for grouping in groupings:
            Grouping.objects.filter(pk=grouping).update(events_kept=kept.get(grouping, 0))


def _lock(groupings: Collection[int]) -> None:
    """Hold the issues of these groupings, as everybody does who changes a grouping's counts."""
    issues = Issue.objects.filter(groupings__in=groupings).order_by("pk").values_list("pk", flat=True)
    list(issues.select_for_update(of=("self",)))
