"""The rules as rows: read for a decision, and put there when there are none."""

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction

from errors import assignment, severity, shipped
from errors.models import AssignmentRule, Issue, SeverityLevel, SeverityRule, TagValue
from errors.rules import SEVERITIES, Severity
from errors.severity import BadConditions, Look, Rule, Spread

logger = logging.getLogger(__name__)

_MOST_TAGS = 200


@dataclass(frozen=True)
class Verdict:
    """What the rules say of an issue, which of them, and why in words."""

    severity: Severity
    rule: SeverityRule | None
    because: str


def judge(issue: Issue, *, at: datetime) -> Verdict:
    """What the rules say of the issue as it is now. Nothing is written."""
    rules = [rule for rule in severity_rules() if rule.project in (None, issue.project_id)]
    wanted = {key for rule in rules for key, _ in rule.conditions.tag}
    tags = TagValue.objects.filter(grouping__issue=issue, key__in=wanted).order_by("-last_seen", "pk")
    look = Look(
        level=issue.level,
        error_type=issue.error_type,
        message=issue.error_message,
        tags=tuple(tags.values_list("key", "value")[:_MOST_TAGS]) if wanted else (),
    )
    spread = Spread(
        project=issue.project_id,
        service=issue.service.slug if issue.service else "",
        accounts=issue.affected_accounts,
        events=issue.event_count,
        within=lambda minutes, limit: events_within([issue.pk], minutes, limit, at=at).get(issue.pk, 0),
    )
    found = severity.decide(rules, [look], spread)
    rule = SeverityRule.objects.filter(pk=found.rule).first() if found.rule else None
    return Verdict(found.severity, rule, found.because)


def severity_rules() -> list[Rule]:
    """The enabled severity rules in their order. One that cannot be understood is left out, and logged."""
    found = []
    for row in SeverityRule.objects.filter(enabled=True).order_by("position", "slug"):
        try:
            conditions = severity.read(row.conditions)
        except BadConditions as exc:
            logger.warning("Severity rule %s is not used: %s", row.slug, exc)
            continue
        found.append(Rule(row.pk, row.name, Severity(row.severity), conditions, project=row.project_id))
    return found


def assignment_rules() -> list[assignment.Rule]:
    """The enabled assignment rules in their order."""
    fields = ("name", "person_id", "team_id", "project_id", "service_id", "path", "tag_key", "tag_value")
    rows = AssignmentRule.objects.filter(enabled=True).order_by("position", "pk").values_list(*fields)
    return [assignment.Rule(*row) for row in rows]


def levels() -> Mapping[Severity, SeverityLevel]:
    """What each severity means; the shipped meaning of one whose row is missing."""
    rows = {Severity(row.severity): row for row in SeverityLevel.objects.all()}
    return {**{level.severity: _level(level) for level in shipped.LEVELS}, **rows}


def events_within(issues: Collection[int], minutes: int, limit: int, *, at: datetime) -> dict[int, int]:
    """How many events each of these issues had in the last minutes, counted up to the limit. One query."""
    query = """
        SELECT asked.issue_id, count(*) FROM unnest(%s::bigint[]) AS asked(issue_id)
        CROSS JOIN LATERAL (
            SELECT 1 FROM errors_grouping JOIN errors_event ON errors_event.grouping_id = errors_grouping.id
            WHERE errors_grouping.issue_id = asked.issue_id AND errors_event.received_at > %s LIMIT %s
        ) AS recent GROUP BY 1
    """
    with connection.cursor() as cursor:
        cursor.execute(query, [list(issues), at - timedelta(minutes=minutes), limit])
        return dict(cursor.fetchall())


def ensure_defaults() -> None:
    """The shipped levels where one is missing; the shipped rules at the first start, when there is none of either.

    Levels cannot be deleted, rules can: who has deleted all of them does not get them back.
    """
    with transaction.atomic():
        first = not SeverityLevel.objects.exists()
        SeverityLevel.objects.bulk_create([_level(level) for level in shipped.LEVELS], ignore_conflicts=True)
        if first and not SeverityRule.objects.exists():
            SeverityRule.objects.bulk_create(_rules(shipped.RULES), ignore_conflicts=True)


def _level(level: shipped.Level) -> SeverityLevel:
    return SeverityLevel(
        severity=level.severity.value,
        meaning=level.meaning,
        respond_within_seconds=level.respond_within_seconds,
    )


def _rules(rules: Iterable[shipped.Rule]) -> list[SeverityRule]:
    return [
        SeverityRule(
            slug=rule.slug,
            name=rule.name,
            position=100 * (SEVERITIES.index(rule.severity) + 1),
            severity=rule.severity.value,
            conditions=dict(rule.conditions),
        )
        for rule in rules
    ]
