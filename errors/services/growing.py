"""What a batch of events means for its issues: how bad they are, whose, by when, back or not, and whom to tell.

Runs in the digest's transaction, with the issues locked and their counts those after the batch. What it costs does
not depend on how many issues there are; an issue for which nothing changes costs no statement at all.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from errors import severity
from errors.announcing import News
from errors.assignment import Subject
from errors.growth import Growth
from errors.models import ActivityEntry, Issue, Project
from errors.releases import History, Resolved, Seen, brings_back
from errors.rules import Activity, Severity, SeveritySource, Status, worse
from errors.services import bulk, clocks, policy, wording
from errors.services.assigning import whom
from errors.services.history import BY_ITSELF
from errors.services.issues import NOT_IGNORED, NOT_RESOLVED
from errors.services.telling import Grown, tell_grown
from errors.severity import Decision, Look, Rule, Spread
from sysops.events import publish_many

_OPEN = (Status.UNRESOLVED.value, Status.ACKNOWLEDGED.value)
_CLOCK = ("clock_started_at", "respond_by", "near_at", "near_told_at", "responded_at", "responded_by", "breached_at")
_CHANGED = (
    *("status", "severity", "severity_rule", "severity_because", *_CLOCK, "regressed_at", "regressions"),
    *("assignee", "assigned_at", "assigned_because", *NOT_RESOLVED, *NOT_IGNORED),
)
RELEASES = 2_000  # looked at of a project: who may report can make up any number of them
_RELEASES_OF = """
SELECT latest.* FROM unnest(%s::bigint[]) AS asked(project) CROSS JOIN LATERAL (
    SELECT project_id, version, first_seen FROM errors_release
    WHERE project_id = asked.project ORDER BY first_seen DESC, id DESC LIMIT %s
) AS latest
UNION SELECT project_id, version, first_seen FROM errors_release WHERE project_id = ANY(%s) AND version = ANY(%s)
"""
_TOLD_AS = {News.NEW: "created", News.REGRESSED: "regressed", News.REOPENED: "reopened"}
_NOTED_AS = {
    News.NEW: Activity.CREATED,
    News.REGRESSED: Activity.REGRESSED,
    News.REOPENED: Activity.REOPENED,
}


@dataclass
class Case:
    """An issue of the batch, and what has been found out about it."""

    growth: Growth
    project: Project
    was: Severity
    news: News | None = None
    note: str = ""  # of its return
    graver: bool = False  # than it was, and not because of news
    given_to: str = ""

    @property
    def issue(self) -> Issue:
        return self.growth.issue

    @property
    def changed(self) -> bool:
        return self.news is not None or self.graver


def settle(growths: Sequence[Growth], *, at: datetime) -> None:
    """Draw the consequences of a batch: severity, SLA, assignment, regression, history, events, messages."""
    if not growths:
        return
    homes = Project.objects.select_related("service", "environment")
    projects = homes.in_bulk({growth.issue.project_id for growth in growths})
    cases = [
        Case(growth, projects[growth.issue.project_id], Severity(growth.issue.severity))
        for growth in sorted(growths, key=lambda growth: growth.issue.pk)
    ]
    _find_news(cases, at=at)
    _judge(cases, at=at)
    changed = [case for case in cases if case.changed]
    if changed:
        _set_clocks(changed, at=at)
        _assign([case for case in changed if case.news and case.issue.assignee_id is None], at=at)
        bulk.update([case.issue for case in changed], *_CHANGED)
        _write_down(changed, at=at)
        _publish(changed, at=at)
    tell_grown([Grown(case.issue, case.project, case.news, case.graver) for case in cases], at=at)


def _find_news(cases: Sequence[Case], *, at: datetime) -> None:
    """Which issues are new, which are back, and which were ignored for as long as somebody wanted."""
    resolved = [case for case in cases if case.issue.status == Status.RESOLVED.value]
    known = _releases(resolved)
    for case in cases:
        issue = case.issue
        if case.growth.new:
            case.news = News.NEW
        elif issue.status == Status.RESOLVED.value:
            _bring_back(case, known[issue.project_id], at=at)
        elif issue.status == Status.IGNORED.value and (because := _ignored_enough(issue, at=at)):
            case.news, case.note = News.REOPENED, because
            _reopen(issue)


def _bring_back(case: Case, history: History, *, at: datetime) -> None:
    issue = case.issue
    resolved = Resolved(
        at=issue.resolved_at or at, release=issue.resolved_in_release, in_next=issue.resolved_in_next_release
    )
    latest: dict[str, datetime] = {}
    for event in case.growth.events:
        latest[event.release] = max(event.occurred_at, latest.get(event.release, event.occurred_at))
    for release, occurred_at in latest.items():
        if brings_back(resolved, release=release, occurred_at=occurred_at, history=history):
            case.news = News.REGRESSED
            case.note = f"In release {release}" if release else ""
            issue.regressed_at, issue.regressions = at, issue.regressions + 1
            _reopen(issue)
            return


def _releases(resolved: Sequence[Case]) -> dict[int, History]:
    """The releases of these issues' projects: those that are named, and of all others the latest ones."""
    found: dict[int, list[Seen]] = {case.project.pk: [] for case in resolved}
    if found:
        named = {release for case in resolved for release in case.growth.releases}
        named |= {case.issue.resolved_in_release for case in resolved}
        with connection.cursor() as cursor:
            cursor.execute(_RELEASES_OF, [list(found), RELEASES, list(found), list(named)])
            for project, version, first_seen in cursor.fetchall():
                found[project].append(Seen(version, first_seen))
    return {pk: History(seen) for pk, seen in found.items()}


def _ignored_enough(issue: Issue, *, at: datetime) -> str:
    """Why an ignored issue is not ignored any more, in words; blank: it still is."""
    if issue.ignored_until_events is not None and issue.event_count >= issue.ignored_until_events:
        return f"It has happened {issue.event_count} times"
    if issue.ignored_until_accounts is not None and issue.affected_accounts >= issue.ignored_until_accounts:
        return f"{issue.affected_accounts} accounts have met it"
    if issue.ignored_until is not None and issue.ignored_until <= at:
        return "It was ignored until now"
    return ""


def _reopen(issue: Issue) -> None:
    issue.status = Status.UNRESOLVED.value
    for name, value in {**NOT_RESOLVED, **NOT_IGNORED}.items():
        setattr(issue, name, value)


def _judge(cases: Sequence[Case], *, at: datetime) -> None:
    """Severity by the rules: anew for news; of an issue that is open it only rises, or its deadline would jump."""
    rules = policy.severity_rules()
    keys = {key for rule in rules for key, _ in rule.conditions.tag}
    first: list[tuple[Case, list[Rule], list[Look]]] = []
    asked: dict[tuple[int, int], set[int]] = {}
    for case in cases:
        issue = case.issue
        if issue.severity_source == SeveritySource.MANUAL.value or issue.status not in _OPEN:
            continue
        mine = rules if case.news else severity.could_be_worse(rules, case.was, project=issue.project_id)
        if not mine and not case.news:
            continue
        looks = _looks(case.growth, keys)
        wanted: set[tuple[int, int]] = set()
        decision = severity.decide(mine, looks, _spread(case, asking=wanted))
        if wanted:
            first.append((case, mine, looks))
            for window in wanted:
                asked.setdefault(window, set()).add(issue.pk)
        else:
            _take(case, decision)
    counted = {window: policy.events_within(issues, *window, at=at) for window, issues in asked.items()}
    for case, mine, looks in first:
        of_late = {window: counts.get(case.issue.pk, 0) for window, counts in counted.items()}
        _take(case, severity.decide(mine, looks, _spread(case, of_late=of_late)))


def _looks(growth: Growth, keys: Collection[str]) -> list[Look]:
    """What the events look like to the rules, alike ones once: a storm is judged as fast as a drizzle."""
    return list(
        dict.fromkeys(
            Look(
                event.level,
                event.error_type,
                event.error_message,
                tuple(tag for tag in event.tags if tag[0] in keys) if keys else (),
            )
            for event in growth.events
        )
    )


def _spread(
    case: Case,
    *,
    asking: set[tuple[int, int]] | None = None,
    of_late: Mapping[tuple[int, int], int] | None = None,
) -> Spread:
    def within(minutes: int, limit: int) -> int:
        if asking is not None:
            asking.add((minutes, limit))
        return (of_late or {}).get((minutes, limit), 0)

    service = case.project.service
    return Spread(
        project=case.project.pk,
        service=service.slug if service else "",
        accounts=case.issue.affected_accounts,
        events=case.issue.event_count,
        within=within,
    )


def _take(case: Case, found: Decision) -> None:
    # Only the graver rules were asked: that none of them holds says nothing of how bad the issue is.
    if case.news is None and (found.rule is None or not worse(found.severity, case.was)):
        return
    case.graver = case.news is None
    issue = case.issue
    issue.severity, issue.severity_because = found.severity.value, found.because[:300]
    issue.severity_rule_id = found.rule


def _set_clocks(cases: Iterable[Case], *, at: datetime) -> None:
    levels = policy.levels()
    for case in cases:
        issue = case.issue
        if case.news:
            starts = min(issue.first_seen, at) if case.news is News.NEW else at
            clock = clocks.restarted(issue, at=starts, levels=levels)
        else:
            clock = clocks.moved(issue, was=case.was, at=at, levels=levels)
        for name, value in clock.items():
            setattr(issue, name, value)


def _assign(cases: Sequence[Case], *, at: datetime) -> None:
    if not cases:
        return
    found = whom({case.issue.pk: _subject(case) for case in cases}, at=at)
    for case in cases:
        assigned = found[case.issue.pk]
        case.issue.assignee = assigned.person
        case.issue.assigned_because = assigned.because
        if assigned.person is not None:
            case.issue.assigned_at = at
            case.given_to = assigned.person.slug


def _subject(case: Case) -> Subject:
    events, service = case.growth.events, case.project.service
    return Subject(
        project=case.project.pk,
        service=service.pk if service else None,
        owner_team=service.owner_team_id if service else None,
        paths=tuple(dict.fromkeys(path for event in events for path in event.paths)),
        tags=tuple(dict.fromkeys(tag for event in events for tag in event.tags)),
    )


def _write_down(cases: Iterable[Case], *, at: datetime) -> None:
    def line(case: Case, kind: Activity, text: str, **data: object) -> ActivityEntry:
        return ActivityEntry(issue=case.issue, kind=kind.value, by=BY_ITSELF, at=at, text=text, data=data)

    lines = []
    for case in cases:
        issue = case.issue
        if case.news:
            facts = {"severity": issue.severity, "because": issue.severity_because}
            lines.append(line(case, _NOTED_AS[case.news], case.note, **facts))
        if case.given_to:
            person = issue.assignee
            lines.append(line(case, Activity.ASSIGNED, f"To {person}. {issue.assigned_because}", person=case.given_to))
        if case.graver:
            facts = {"before": case.was.value, "severity": issue.severity, "source": issue.severity_source}
            lines.append(line(case, Activity.SEVERITY, issue.severity_because, **facts))
    ActivityEntry.objects.bulk_create(lines)


def _publish(cases: Sequence[Case], *, at: datetime) -> None:
    def facts(case: Case, **more: object) -> dict[str, object]:
        said = {"project": case.project.slug, "by": f"system {BY_ITSELF}", "severity": case.issue.severity, **more}
        return wording.public(said, case.project)

    for news, name in _TOLD_AS.items():
        if told := {str(case.issue.pk): facts(case, note=case.note) for case in cases if case.news is news}:
            publish_many(f"errors.issue.{name}", told, at=at)
    if told := {str(case.issue.pk): facts(case, before=case.was.value) for case in cases if case.graver}:
        publish_many("errors.issue.severity_changed", told, at=at)
    if told := {str(case.issue.pk): facts(case, assignee=case.given_to) for case in cases if case.given_to}:
        publish_many("errors.issue.assigned", told, at=at)
