"""A batch of digested reports stored: one transaction, in a number of statements that does not depend on its size.

Either all of it is there afterwards and the reports are gone from the spool, or nothing has changed. Whoever changes
which issue a grouping belongs to waits for the batch (merging.keep_groupings); issues are locked in the order of
their keys, and their groupings change only under that lock.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from django.db import transaction

from errors import partitions
from errors.models import Grouping, Issue, Project, Undigestible
from errors.rules import Outcome, Severity
from errors.services import beside, growing, merging, outcomes, raw, totals
from errors.services.counting import Met
from errors.services.totals import New, Part
from errors.services.unpacking import ERROR, Report

logger = logging.getLogger(__name__)

_COPY = """
COPY errors_event
    (event_id, project_id, grouping_id, received_at, occurred_at, level, release, environment, payload)
FROM STDIN (FORMAT BINARY)
"""
_TYPES = ["uuid", "int8", "int8", "timestamptz", "timestamptz", "varchar", "varchar", "varchar", "bytea"]


_MAX = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class _Batch:
    reports: list[Report]
    at: datetime
    sent: Counter[outcomes.Sent] = field(default_factory=Counter)


def store(reports: Sequence[Report], *, at: datetime) -> None:
    """Store what is in these reports and take them from the spool."""
    partitions.ensure(report.waiting.received_at for report in reports)
    with transaction.atomic():
        merging.keep_groupings()
        batch = _Batch(_claimed(reports), at)
        if not batch.reports:
            return
        parts = _parts(_news(batch))
        _copy(parts)
        _releases(parts)
        growing.settle(totals.add(parts), at=at)
        beside.store(report.beside for report in batch.reports if report.beside is not None)
        _keep_odd(batch)
        _tally(batch)


def _claimed(reports: Sequence[Report]) -> list[Report]:
    """Those that nobody else has stored meanwhile, and whose project is still there; taken from the spool."""
    with raw.cursor() as cursor:
        cursor.execute(
            "DELETE FROM errors_spool WHERE id = ANY(%s) RETURNING id", [[report.waiting.id for report in reports]]
        )
        ours = {key for (key,) in cursor.fetchall()}
        cursor.execute(
            "SELECT id FROM errors_project WHERE id = ANY(%s) AND deleted_at IS NULL ORDER BY id FOR KEY SHARE",
            [list({report.waiting.project_id for report in reports})],
        )
        projects = {key for (key,) in cursor.fetchall()}
    claimed = [report for report in reports if report.waiting.id in ours]
    if orphans := sum(report.waiting.project_id not in projects for report in claimed):
        logger.info("%d reports belonged to projects that are gone, and went with them", orphans)
    return [report for report in claimed if report.waiting.project_id in projects]


def _news(batch: _Batch) -> list[New]:
    """The events that are not stored yet, each once, in the order they came."""
    with raw.cursor() as cursor:
        cursor.execute(
            "SELECT project_id, event_id FROM errors_event WHERE event_id = ANY(%s)",
            [[event.event_id for report in batch.reports for event in report.events]],
            binary=True,
        )
        known: set[tuple[int, UUID]] = set(cursor.fetchall())
    found: list[New] = []
    for report in batch.reports:
        waiting = report.waiting
        for event in report.events:
            key = waiting.project_id, event.event_id
            outcome = Outcome.DUPLICATE if key in known else Outcome.ACCEPTED
            batch.sent[waiting.project_id, waiting.received_at, ERROR, outcome, ""] += 1
            if key not in known:
                known.add(key)
                found.append(New(event, waiting.project_id, waiting.received_at, len(found)))
    return found


def _parts(news: Iterable[New]) -> list[Part]:
    """The events by grouping, each with its issue, locked; groupings and issues that were not there are made."""
    wanted: dict[tuple[int, bytes], list[New]] = defaultdict(list)
    for new in news:
        wanted[new.project_id, new.event.grouping_hash].append(new)
    if not wanted:
        return []
    with raw.cursor() as cursor:
        cursor.execute(
            "SELECT project_id, hash, grouping.id, issue_id, account_count, sketch.grouping_id IS NULL "
            "FROM errors_grouping AS grouping LEFT JOIN errors_accountsketch AS sketch ON sketch.grouping_id = id "
            "WHERE project_id = ANY(%s) AND hash = ANY(%s)",
            [list({project for project, _ in wanted}), [each for _, each in wanted]],
            binary=True,
        )
        rows = [row for row in cursor.fetchall() if (row[0], row[1]) in wanted]
    locked = Issue.objects.select_for_update(of=("self",)).defer("search").order_by("pk")
    issues = {issue.pk: issue for issue in locked.filter(pk__in={row[3] for row in rows})}
    parts = []
    for project, each, grouping, issue, accounts, exact in rows:
        if issue in issues:  # else it went with its project or was removed just now: it is new again
            news_of = wanted.pop((project, each))
            parts.append(Part(grouping, issues[issue], news_of, Met(accounts, exact)))
    return [*parts, *_made(list(wanted.values()))]


def _made(groups: Sequence[Sequence[New]]) -> list[Part]:
    if not groups:
        return []
    services = dict(
        Project.objects.filter(pk__in={group[0].project_id for group in groups}).values_list("pk", "service")
    )
    issues = Issue.objects.bulk_create([_issue(group, service=services[group[0].project_id]) for group in groups])
    groupings = Grouping.objects.bulk_create(
        Grouping(
            project_id=group[0].project_id,
            issue=issue,
            version=group[0].event.grouping_version,
            hash=group[0].event.grouping_hash,
            label=group[0].event.grouping_label,
            first_seen=issue.first_seen,
            last_seen=issue.last_seen,
        )
        for group, issue in zip(groups, issues)
    )
    return [
        Part(grouping.pk, grouping.issue, list(group), Met(0, exact=True), is_new=True)
        for group, grouping in zip(groups, groupings)
    ]


def _issue(group: Sequence[New], *, service: int | None) -> Issue:
    """The issue of a grouping that was not there. How bad it is and whose is for growing.settle to say."""
    first, last = min(new.received_at for new in group), max(new.received_at for new in group)
    event = group[-1].event
    return Issue(
        project_id=group[0].project_id,
        service_id=service,
        error_type=event.error_type,
        error_message=event.error_message,
        culprit=event.culprit,
        level=event.level,
        platform=event.platform,
        environment=event.environment,
        first_release=group[0].event.release,
        severity=Severity.MEDIUM.value,
        first_seen=first,
        last_seen=last,
        clock_started_at=first,
    )


def _copy(parts: Sequence[Part]) -> None:
    if not parts:
        return
    with raw.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.set_types(_TYPES)
        for part in parts:
            for new in part.news:
                event = new.event
                copy.write_row(
                    (
                        event.event_id,
                        new.project_id,
                        part.id,
                        new.received_at,
                        event.occurred_at,
                        event.level,
                        event.release,
                        event.environment,
                        event.payload,
                    )
                )


def _releases(parts: Iterable[Part]) -> None:
    first: dict[tuple[int, str], datetime] = {}
    for part in parts:
        for new in part.news:
            key = new.project_id, new.event.release
            if new.event.release and new.received_at < first.get(key, _MAX):
                first[key] = new.received_at
    if not first:
        return
    with raw.cursor() as cursor:
        cursor.execute(
            # Locks those that are known, too: retention must not take one away that an event of this batch names.
            "INSERT INTO errors_release AS known (project_id, version, first_seen) "
            "SELECT * FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[]) "
            "ON CONFLICT (project_id, version) DO UPDATE SET first_seen = excluded.first_seen "
            "WHERE excluded.first_seen < known.first_seen",
            [[key[0] for key in first], [key[1] for key in first], list(first.values())],
        )


def _keep_odd(batch: _Batch) -> None:
    odd = [report for report in batch.reports if report.problem]
    Undigestible.objects.bulk_create(
        Undigestible(
            project_id=report.waiting.project_id,
            event_id=report.waiting.event_id,
            received_at=report.waiting.received_at,
            failed_at=batch.at,
            kind=report.waiting.kind,
            encoding=report.body[0],
            reason=report.problem,
            body=report.body[1],
        )
        for report in odd
    )


def _tally(batch: _Batch) -> None:
    for report in batch.reports:
        waiting = report.waiting
        for (category, outcome, reason), quantity in report.outcomes.items():
            batch.sent[waiting.project_id, waiting.received_at, category, outcome, reason] += quantity
    outcomes.count(batch.sent)
