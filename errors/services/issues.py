"""What people do about an issue. Each step is one transaction: the change, its history, the event, the audit entry.

services.issues.resolve(issue, by=request_actor(request), at=now, release="shop@1.4.0")
"""

from collections.abc import Mapping
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from alerting.rules import Ending
from catalogue.models import Person
from errors.links import actor_name
from errors.models import ActivityEntry, Issue
from errors.rules import Activity, Severity, SeveritySource, Status
from errors.services import clocks, history, telling, wording
from errors.services.alarms import end_alert
from errors.services.policy import judge
from errors.services.projects import newest_release
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.events import publish

LONGEST_COMMENT = 10_000
LONGEST_NOTE = 2_000
LONGEST_RELEASE = 250
NOT_RESOLVED: dict[str, object] = {
    "resolved_at": None,
    "resolved_by": "",
    "resolve_note": "",
    "resolved_in_release": "",
    "resolved_in_next_release": False,
}
NOT_IGNORED: dict[str, object] = {
    "ignored_at": None,
    "ignored_by": "",
    "ignored_until": None,
    "ignored_until_events": None,
    "ignored_until_accounts": None,
}
_NAME = 255


class IssueGone(Exception):
    """The issue is not there any more: it was merged into another one, or deleted with its project."""


def acknowledge(issue: Issue, *, by: Actor, at: datetime) -> Issue:
    """The issue, taken note of by somebody. Raises WrongState, IssueGone."""
    with transaction.atomic():
        row = locked(issue)
        was = row.status
        row.move(Status.ACKNOWLEDGED, **NOT_IGNORED, **clocks.answered(row, by=by, at=at))
        telling.responded(row, by=by.name, at=at)
        telling.take_back(row, because=f"Acknowledged by {by.name}.", at=at)
        history.note(row, Activity.ACKNOWLEDGED, by=by.name, at=at)
        tell("acknowledged", row, before={"status": was}, after={"status": row.status}, by=by, at=at)
    return row


def assign(issue: Issue, person: Person | None, *, by: Actor, at: datetime) -> Issue:
    """The issue in the hands of `person`, who is told; None takes it out of anybody's. Raises IssueGone.

    Whoever has it already is not told again, and who takes it not at all.
    """
    with transaction.atomic():
        row = locked(issue)
        before = row.assignee
        if before == person:
            return row
        because = f"By {by.name}"[:300]
        answered = clocks.answered(row, by=by, at=at) if person else {}
        write(row, assignee=person, assigned_at=at if person else None, assigned_because=because, **answered)
        if answered:
            telling.responded(row, by=by.name, at=at)
        text = f"To {person}" if person else "To nobody"
        history.note(row, Activity.ASSIGNED, by=by.name, at=at, text=text, data={"person": _slug(person)})
        if before:
            telling.take_back_assigned(row, because=f"{by.name} gave it to {person or 'nobody'}.", at=at)
        if person and not _is(person, by):
            telling.tell_assigned(row, person, by=by.name, at=at)
        tell("assigned", row, before={"assignee": _slug(before)}, after={"assignee": _slug(person)}, by=by, at=at)
    return row


def resolve(
    issue: Issue, *, by: Actor, at: datetime, note: str = "", release: str = "", in_next_release: bool = False
) -> Issue:
    """The issue, done with: now, in `release`, or in the one that comes after it (after the newest, when none is
    named). What brings it back is said in errors.releases. Raises WrongState, IssueGone, ValidationError by field.
    """
    _refuse_long(note=(note, LONGEST_NOTE), release=(release, LONGEST_RELEASE))
    with transaction.atomic():
        row = locked(issue)
        was = row.status
        if in_next_release and not release:
            release = newest_release(row.project, like=row.last_release)
        row.move(
            Status.RESOLVED,
            resolved_at=at,
            resolved_by=by.name[:_NAME],
            resolve_note=note,
            resolved_in_release=release,
            resolved_in_next_release=in_next_release,
            **NOT_IGNORED,
            **clocks.answered(row, by=by, at=at),
        )
        facts = {"release": release, "in_next_release": in_next_release}
        history.note(row, Activity.RESOLVED, by=by.name, at=at, text=note, data=facts)
        nobody_must_look(row, because=f"Resolved by {by.name}.", ending=Ending.OVER, at=at)
        after = {"status": row.status, "note": note, **facts}
        tell("resolved", row, before={"status": was}, after=after, by=by, at=at)
    return row


def ignore(
    issue: Issue,
    *,
    by: Actor,
    at: datetime,
    until: datetime | None = None,
    more_events: int | None = None,
    more_accounts: int | None = None,
) -> Issue:
    """The issue, left alone: until a time, until so many more events or accounts have met it (whichever is first),
    or for good. Raises WrongState, IssueGone, ValidationError by field.
    """
    if until is not None and until <= at:
        raise ValidationError({"until": ["Must be in the future."]})
    for name, value in {"more_events": more_events, "more_accounts": more_accounts}.items():
        if value is not None and not 1 <= value < 2**31:
            raise ValidationError({name: ["Must be 1 or more, and below 2,147,483,648."]})
    with transaction.atomic():
        row = locked(issue)
        was = row.status
        row.move(
            Status.IGNORED,
            ignored_at=at,
            ignored_by=by.name[:_NAME],
            ignored_until=until,
            ignored_until_events=None if more_events is None else row.event_count + more_events,
            ignored_until_accounts=None if more_accounts is None else row.affected_accounts + more_accounts,
            **clocks.answered(row, by=by, at=at),
        )
        ends = until.isoformat() if until else None
        facts: dict[str, object] = {"until": ends, "more_events": more_events, "more_accounts": more_accounts}
        history.note(row, Activity.IGNORED, by=by.name, at=at, data=facts)
        nobody_must_look(row, because=f"Ignored by {by.name}.", ending=Ending.TAKEN_CARE_OF, at=at)
        tell("ignored", row, before={"status": was}, after={"status": row.status, **facts}, by=by, at=at)
    return row


def reopen(issue: Issue, *, by: Actor, at: datetime) -> Issue:
    """The issue, to be dealt with again; its SLA clock starts anew. Raises WrongState, IssueGone."""
    with transaction.atomic():
        row = locked(issue)
        was = row.status
        row.move(Status.UNRESOLVED, **clocks.restarted(row, at=at), **NOT_RESOLVED, **NOT_IGNORED)
        history.note(row, Activity.REOPENED, by=by.name, at=at)
        telling.tell_worse(row, at=at)
        tell("reopened", row, before={"status": was}, after={"status": row.status}, by=by, at=at)
    return row


def set_severity(issue: Issue, severity: Severity | None, *, by: Actor, at: datetime) -> Issue:
    """The issue with the severity a person says, which the rules leave alone from then on; None gives it back to
    them. A person who says it has responded. Raises IssueGone.
    """
    with transaction.atomic():
        row = locked(issue)
        before = {"severity": row.severity, "source": row.severity_source}
        if severity is None:
            found = judge(row, at=at)
            decided = {"severity_rule": found.rule, "severity_because": found.because[:300]}
            severity, source = found.severity, SeveritySource.RULE
        else:
            decided, source = (
                {"severity_rule": None, "severity_because": f"Set by {by.name}"[:300]},
                SeveritySource.MANUAL,
            )
        after = {"severity": severity.value, "source": source.value}
        if after == before:
            return row
        answered = clocks.answered(row, by=by, at=at)  # to the deadline there was
        write(row, severity=severity.value, severity_source=source.value, **decided)
        write(row, **clocks.moved(row, was=Severity(before["severity"]), at=at))
        if answered:
            write(row, **answered)
            telling.responded(row, by=by.name, at=at)
        history.note(row, Activity.SEVERITY, by=by.name, at=at, data={"before": before["severity"], **after})
        telling.tell_worse(row, at=at)
        if before["severity"] == Severity.CRITICAL.value != row.severity:
            how = wording.no_longer_critical(row, row.project, by=by.name)
            end_alert(row, detail=how, ending=Ending.NO_LONGER_CRITICAL, at=at)
        tell("severity_changed", row, before=before, after=after, by=by, at=at)
    return row


def comment(issue: Issue, *, text: str, by: Actor, at: datetime) -> ActivityEntry:
    """What somebody has to say about the issue, in its history. Raises IssueGone, ValidationError."""
    text = text.strip()
    if not text:
        raise ValidationError({"text": ["Must not be empty."]})
    _refuse_long(text=(text, LONGEST_COMMENT))
    with transaction.atomic():
        row = locked(issue)
        answered = clocks.answered(row, by=by, at=at)
        if answered:
            write(row, **answered)
            telling.responded(row, by=by.name, at=at)
        entry = history.note(row, Activity.COMMENT, by=by.name, at=at, text=text)
        tell("commented", row, before=None, after={"comment": entry.pk, "text": text}, by=by, at=at)
    return entry


def locked(issue: Issue) -> Issue:
    """The issue as it is now, ours until the end of the transaction. Raises IssueGone."""
    found = Issue.objects.select_for_update(of=("self",)).select_related("project", "assignee", "service")
    row = found.defer("search").filter(pk=issue.pk).first()
    if row is None:
        raise IssueGone(f"Issue {issue.pk} is not there any more: it was merged into another one, or deleted.")
    return row


def nobody_must_look(row: Issue, *, because: str, ending: Ending, at: datetime) -> None:
    """End the issue's alerts, and take back what was not delivered of it yet."""
    end_alert(row, detail=because, ending=ending, at=at)
    telling.take_back(row, because=because, at=at)
    telling.take_back_assigned(row, because=because, at=at)


def write(row: Issue, **changes: object) -> None:
    """Change what `move` does not: the status stays. Of a row that is locked."""
    Issue.objects.filter(pk=row.pk).update(**changes)
    for name, value in changes.items():
        setattr(row, name, value)


def tell(
    what: str,
    row: Issue,
    *,
    before: Mapping[str, object] | None,
    after: Mapping[str, object] | None,
    by: Actor,
    at: datetime,
) -> None:
    """Publish it, and write it into the audit log; call it last. The log names no title, and of a restricted project
    no comment: who reads it may not see every project's errors."""
    facts = {name: value for name, value in (after or {}).items() if name not in ("note", "text")}
    after = facts if row.project.restricted else after
    data = wording.public({"project": row.project.slug, "by": str(by), **facts}, row.project)
    publish(f"errors.issue.{what}", subject=row.pk, at=at, data=data)
    audit.record(f"errors.issue.{what}", by=by, subject=f"errors.issue:{row.pk}", at=at, before=before, after=after)


def _is(person: Person, by: Actor) -> bool:
    return by.kind == "user" and by.name == actor_name(person)


def _slug(person: Person | None) -> str | None:
    return person.slug if person else None


def _refuse_long(**given: tuple[str, int]) -> None:
    problems = {
        name: [f"Must have at most {limit} characters, not {len(text)}."]
        for name, (text, limit) in given.items()
        if len(text) > limit
    }
    if problems:
        raise ValidationError(problems)
