"""What messages and alerts say of issues. What an SDK sent is somebody else's text: one line, cut, no secrets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from errors.announcing import LISTED, News
from errors.models import Issue, Project
from errors.rules import SEVERITIES, Severity, Status
from sysops.access.rules import text
from sysops.kernel.redaction import redact

_TITLE = 160
_ALERT = 300
_PUBLIC = ("by", "status", "comment", "issues", "from_issue", "grouping")


@dataclass(frozen=True)
class Item:
    """An issue as it is told of; `since` counts its events since it was told of last."""

    issue: Issue
    news: News
    since: int = 0


def title(issue: Issue, project: Project) -> str:
    """The issue in one line. Of a restricted project only its number: not all who are told may read it."""
    if project.restricted:
        return f"Issue {issue.pk}"
    return _line(f"{issue.error_type}: {issue.error_message}" if issue.error_message else issue.error_type, _TITLE)


def alert_title(issue: Issue, project: Project) -> str:
    """The issue in one line, and whose it is, where its service does not say so. An alert is read by everybody."""
    return _line(f"{title(issue, project)}{_whose(project)}", _ALERT)


def alert_detail(issue: Issue, project: Project) -> str:
    """Why somebody must look at the issue, and how often it happened. It stands in the message of its end, too."""
    said = because(issue, project)
    reason = f"{said}. " if said else ""
    return reason.strip() if project.restricted else f"{reason}So far: {_how_often(issue)}."


def rest_title(count: int, project: Project) -> str:
    """How many more critical issues there are."""
    return _line(f"{f'{count} more' if count else 'More'} critical issues{_whose(project)}", _ALERT)


def rest_detail(listed: Sequence[Issue], count: int, project: Project) -> str:
    """Which issues an alert of several is about, and what happens when there are more."""
    lines = [f"- {title(issue, project)}" for issue in listed]
    if count > len(listed):
        lines.append(f"- and {count - len(listed)} more")
    return "\n".join(
        [
            "Too many issues became critical for an alert each. Besides those that have one, these are critical:",
            *lines,
            "Those that follow are added to this alert, and named in the messages of the project.",
        ]
    )


def part_of(issue: Issue, project: Project, *, by: str) -> str:
    """How the alert of an issue that was merged has ended."""
    if issue.status not in (Status.UNRESOLVED.value, Status.ACKNOWLEDGED.value):
        return f"Merged into issue {issue.pk}, which is {issue.status}, by {by}."
    name = "" if project.restricted else f": {title(issue, project)}"
    return f"Part of issue {issue.pk} now, which is still open{name}. Merged by {by}."


def no_longer_critical(issue: Issue, project: Project, *, by: str) -> str:
    """How the alert of an issue that goes on has ended."""
    return "No longer critical." if project.restricted else f"No longer critical: {by} made it {issue.severity}."


def public(facts: Mapping[str, object], project: Project) -> dict[str, object]:
    """What an event says of an issue. Of a restricted project only what names nothing: everybody may read events."""
    return {name: value for name, value in facts.items() if not project.restricted or name in _PUBLIC}


def _whose(project: Project) -> str:
    """Never "Token: …": with that before it, `redact` takes what follows for the token."""
    if project.restricted:
        return " of a restricted project"
    service = project.service.name if project.service else ""
    return "" if service.casefold() == project.name.casefold() else f" in {project.name}"


def because(issue: Issue, project: Project) -> str:
    """Why it is as severe as it is. Of a restricted project nothing: its rules may name what it is about."""
    return "" if project.restricted else issue.severity_because


def issue_path(issue_id: int) -> str:
    """The issue's page."""
    return f"/admin/errors/issue/{issue_id}/change/"


def project_path(project: Project) -> str:
    """The list of the project's issues."""
    return f"/admin/errors/issue/?project__id__exact={project.pk}"


def of_one(item: Item, project: Project) -> dict[str, object]:
    """What a message about one issue says."""
    issue = item.issue
    private = project.restricted
    return {
        **_project(project),
        **_line_of(item, project),
        "issue_id": issue.pk,
        "because": because(issue, project),
        "culprit": "" if private else _line(issue.culprit, 200),
        "environment": "" if private else issue.environment,
        "release": "" if private else issue.last_release,
        "accounts_exact": issue.accounts_exact,
        "first_seen_at": issue.first_seen.isoformat(),
    }


def of_many(items: Sequence[Item], project: Project) -> dict[str, object]:
    """What a message about several issues says: how many of what, and the worst of them by name."""
    listed = sorted(items, key=lambda item: (_weight(item.issue), -item.issue.event_count, item.issue.pk))
    return {
        **_project(project),
        "count": len(items),
        "counts": _counts(items),
        "severities": _severities(items),
        "severity": listed[0].issue.severity,
        "issues": [_line_of(item, project) for item in listed[:LISTED]],
        "more": max(0, len(items) - LISTED),
        "url": project_path(project),
    }


def _project(project: Project) -> dict[str, object]:
    """Not what a restricted one is called: operators read the messages of all."""
    if project.restricted:
        return {"project": "a restricted project", "service": ""}
    return {"project": project.name, "service": project.service.name if project.service else ""}


def _line_of(item: Item, project: Project) -> dict[str, object]:
    issue = item.issue
    return {
        "title": title(issue, project),
        "what": item.news.value,
        "severity": issue.severity,
        "event_count": issue.event_count,
        "since_count": item.since,
        "affected_accounts": issue.affected_accounts,
        "assignee": issue.assignee.name if issue.assignee else "",
        "respond_by_at": issue.respond_by.isoformat() if issue.respond_by else "",
        "url": issue_path(issue.pk),
    }


_SAID: Mapping[News, str] = {
    News.NEW: "{} new",
    News.REGRESSED: "{} back after being resolved",
    News.REOPENED: "{} open again",
    News.WORSE: "{} worse than before",
    News.AGAIN: "{} back after a quiet time",
    News.GROWING: "{} going on",
}


def _counts(items: Sequence[Item]) -> str:
    found = {news: sum(item.news is news for item in items) for news in News}
    return ", ".join(_SAID[news].format(count) for news, count in found.items() if count)


def _severities(items: Sequence[Item]) -> str:
    found = {severity: sum(item.issue.severity == severity.value for item in items) for severity in SEVERITIES}
    return ", ".join(f"{count} {severity}" for severity, count in found.items() if count)


def _weight(issue: Issue) -> int:
    return SEVERITIES.index(Severity(issue.severity))


def _how_often(issue: Issue) -> str:
    events = f"{issue.event_count} event{'' if issue.event_count == 1 else 's'}"
    accounts = f"{issue.affected_accounts} account{'' if issue.affected_accounts == 1 else 's'}"
    return f"{events}, {accounts}" if issue.affected_accounts else events


def _line(said: str, limit: int) -> str:
    return text(redact(" ".join(said.split())), limit=limit)
