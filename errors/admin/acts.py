"""What people may do to issues from their pages."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import models
from django.urls import reverse

from catalogue.models import Person
from errors.admin import forms
from errors.admin.base import MANAGE
from errors.models import Grouping, Issue
from errors.rules import Severity, Status
from errors.selectors import visible_issues
from errors.services import issues, merging
from sysops.access.actors import Actor
from sysops.kernel.words import utc_words
from sysops.pages.acts import Act, Done

Given = Mapping[str, object]
OPEN = (Status.UNRESOLVED, Status.ACKNOWLEDGED)


def name(issue: Issue) -> str:
    return f"Issue {issue.pk}"


def _issue(row: models.Model) -> Issue:
    return cast(Issue, row)


def _is_open(row: models.Model) -> bool:
    return _issue(row).status in OPEN


def _unresolved(row: models.Model) -> bool:
    return _issue(row).status == Status.UNRESOLVED


def _not_resolved(row: models.Model) -> bool:
    return _issue(row).status != Status.RESOLVED


def _not_unresolved(row: models.Model) -> bool:
    return _issue(row).status != Status.UNRESOLVED


def acknowledge(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    issue = issues.acknowledge(_issue(row), by=by, at=at)
    return Done(f"{name(issue)} is acknowledged; its deadline is met.")


def take(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    person = Person.objects.filter(user__username=by.name).first()
    if person is None:
        raise ValidationError("Your account belongs to no person of the catalogue. Link it there, under People.")
    issue = issues.assign(_issue(row), person, by=by, at=at)
    return Done(f"{name(issue)} is yours.")


def assign(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    person = cast(Person | None, given["person"])
    issue = issues.assign(_issue(row), person, by=by, at=at)
    return Done(f"{name(issue)} is given to {person}." if person else f"{name(issue)} is nobody's now.")


def resolve(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    chosen = forms.resolution(given)
    issue = issues.resolve(
        _issue(row),
        by=by,
        at=at,
        note=str(chosen["note"]),
        release=str(chosen["release"]),
        in_next_release=bool(chosen["in_next_release"]),
    )
    return Done(f"{name(issue)} is resolved.")


def ignore(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    period = cast(int | None, given["period"])
    until = at + timedelta(seconds=period) if period else None
    issue = issues.ignore(
        _issue(row),
        by=by,
        at=at,
        until=until,
        more_events=cast(int | None, given["more_events"]),
        more_accounts=cast(int | None, given["more_accounts"]),
    )
    return Done(f"{name(issue)} is ignored{f' until {utc_words(until)}' if until else ''}.")


def reopen(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    issue = issues.reopen(_issue(row), by=by, at=at)
    return Done(f"{name(issue)} is open again.")


def set_severity(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    chosen = str(given["severity"])
    issue = issues.set_severity(_issue(row), None if chosen == forms.RULES else Severity(chosen), by=by, at=at)
    return Done(f"{name(issue)} is {issue.severity}.")


def comment(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    issues.comment(_issue(row), text=str(given["text"]), by=by, at=at)
    return Done("Your comment is added.")


def split_off(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    grouping = Grouping.objects.filter(issue=row.pk, pk=int(str(given["grouping"]))).first()
    if grouping is None:
        raise ValidationError("That group is not part of this issue any more.")
    issue = merging.unmerge(grouping, by=by, at=at)
    return Done(f"It is {name(issue)} now.", reverse("admin:errors_issue_change", args=[issue.pk]))


def merge(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    """The issues of these numbers made part of this one; only of those that the person sees."""
    numbers = set(cast(Sequence[int], given["numbers"])) - {row.pk}
    others = list(visible_issues(User.objects.get(username=by.name)).filter(pk__in=numbers))
    if missing := sorted(numbers - {issue.pk for issue in others}):
        raise ValidationError(f"There is no other issue {', '.join(map(str, missing))}.")
    if not others:
        raise ValidationError("Name at least one other issue.")
    merging.merge(_issue(row), others, by=by, at=at)
    return Done(f"{len(others)} merged into issue {row.pk}.")


def _resolve_will(row: models.Model) -> Sequence[str]:
    return (
        "Nobody is told of it any more. It comes back by itself when a release that should have the fix reports it.",
        "Its alert, if there is one, ends.",
    )


def _ignore_will(row: models.Model) -> Sequence[str]:
    return ("Its events are still stored and counted. Nobody is told of it until what you say below is reached.",)


def _reopen_will(row: models.Model) -> Sequence[str]:
    return ("It waits for somebody again, and its time to respond starts anew.",)


def _merge_will(row: models.Model) -> Sequence[str]:
    return (
        "The others become part of this one: events, counts, comments. Their own pages are gone.",
        "Each can be split off again.",
    )


ACKNOWLEDGE = Act(
    "acknowledge",
    "Acknowledge",
    MANAGE,
    acknowledge,
    lambda row: ("Others see that you look at it. Its deadline counts as met, and reminders end.",),
    _unresolved,
    icon="visibility",
    tone="main",
)
TAKE = Act(
    "take",
    "Take it",
    MANAGE,
    take,
    lambda row: ("It is given to you, and its deadline counts as met.",),
    lambda row: _is_open(row) and _issue(row).assignee_id is None,
    icon="back_hand",
)
ASSIGN = Act("assign", "Assign…", MANAGE, assign, lambda row: (), _not_resolved, forms.AssignForm, icon="person_add")
RESOLVE = Act("resolve", "Resolve…", MANAGE, resolve, _resolve_will, _not_resolved, forms.ResolveForm, icon="check")
IGNORE = Act("ignore", "Ignore…", MANAGE, ignore, _ignore_will, _is_open, forms.IgnoreForm, icon="notifications_off")
REOPEN = Act("reopen", "Reopen", MANAGE, reopen, _reopen_will, _not_unresolved, icon="undo")
SEVERITY = Act(
    "severity", "Change severity…", MANAGE, set_severity, lambda row: (), form=forms.SeverityForm, icon="priority_high"
)
COMMENT = Act("comment", "Comment…", MANAGE, comment, lambda row: (), form=forms.CommentForm, icon="chat")
MERGE = Act("merge", "Merge others into it…", MANAGE, merge, _merge_will, form=forms.MergeForm, icon="merge")
SPLIT = Act(
    "split-off",
    "Split off…",
    MANAGE,
    split_off,
    lambda row: ("It becomes an issue of its own, with its own events and counts.",),
    lambda row: _issue(row).groupings.count() > 1,
    forms.SplitForm,
    icon="call_split",
)
FIRST = (ACKNOWLEDGE, TAKE, REOPEN, RESOLVE, ASSIGN, IGNORE)  # those beside what is wrong
ASIDE = (SEVERITY, COMMENT, MERGE, SPLIT)  # those beside what they are about
TOGETHER = {act.name: act for act in (RESOLVE, ASSIGN, IGNORE)}  # those that ask the same of many
