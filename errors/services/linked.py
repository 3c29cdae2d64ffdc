"""Steps taken by the links in messages: what a link offers, and doing it once."""

from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction

from catalogue.models import Person
from errors import links
from errors.links import Promise, Step
from errors.models import ActivityEntry, Issue
from errors.rules import Activity, Status
from errors.services import issues, merging
from errors.services.history import BY_ITSELF
from sysops.access.actors import Actor

_WAS = {
    Status.ACKNOWLEDGED: Activity.ACKNOWLEDGED,
    Status.RESOLVED: Activity.RESOLVED,
    Status.IGNORED: Activity.IGNORED,
}


@dataclass(frozen=True)
class About:
    """An issue as far as the page of a link may name it: who holds the link is not signed in."""

    number: int
    title: str = ""  # empty: its number is all that is said
    project: str = ""


class NotNow(Exception):
    """The link is ours, and what it offers cannot be done any more; the message says why."""

    def __init__(self, message: str, *, about: About | None = None) -> None:
        super().__init__(message)
        self.about = about


class Already(NotNow):
    """What the link offers holds already; the message says since when, and by whom."""


@dataclass(frozen=True)
class Offer:
    """A step somebody may take with an issue."""

    issue: Issue
    person: Person
    step: Step

    @property
    def about(self) -> About:
        return _about(self.issue)


def look(token: str, *, at: datetime) -> Offer:
    """What the link offers. Changes nothing. Raises links.BadLink, links.OldLink, NotNow."""
    promise = links.read(token, at=at)
    issue = Issue.objects.select_related("project", "assignee").defer("search").filter(pk=promise.issue).first()
    return _offer(promise, issue, at=at)


def act(token: str, *, address: str | None, at: datetime) -> Offer:
    """What was done, in the name of the person the link was made for. Raises links.BadLink, links.OldLink, NotNow."""
    promise = links.read(token, at=at)
    with transaction.atomic():
        try:
            issue: Issue | None = issues.locked(Issue(pk=promise.issue))
        except issues.IssueGone:
            issue = None
        offer = _offer(promise, issue, at=at)
        by = Actor.user(links.actor_name(offer.person), address=address)
        return Offer(_take(offer, by=by, at=at), offer.person, offer.step)


def _take(offer: Offer, *, by: Actor, at: datetime) -> Issue:
    match offer.step:
        case Step.ACKNOWLEDGE:
            return issues.acknowledge(offer.issue, by=by, at=at)
        case Step.TAKE:
            return issues.assign(offer.issue, offer.person, by=by, at=at)
        case Step.RESOLVE:
            return issues.resolve(offer.issue, by=by, at=at)
        case Step.IGNORE:
            return issues.ignore(offer.issue, by=by, at=at, until=at + links.IGNORED_FOR)


def _offer(promise: Promise, issue: Issue | None, *, at: datetime) -> Offer:
    if issue is None or issue.project.deleted_at is not None:
        merged = merging.merged_into(promise.issue)
        if merged:
            raise NotNow(f"It is part of issue {merged} now.", about=About(merged))
        raise NotNow("The issue is not there any more.")
    person = Person.objects.select_related("user").filter(pk=promise.person).first()
    # Without their account people may do more than some may with one: its end must not be a promotion.
    changed = person is not None and promise.account not in (None, person.user_id)
    if person is None or changed or not links.may_act(person, issue):
        raise NotNow("Whoever this link was made for may not do this any more.", about=About(issue.pk))
    if links.clock_of(issue) != promise.clock:
        raise NotNow(
            "The issue has come back since this message was sent. Look at the newer message.", about=_about(issue)
        )
    if not links.possible(issue, promise.step):
        raise Already(_already(issue, at=at), about=_about(issue))
    if promise.step is Step.TAKE and issue.assignee_id == person.pk:
        since = f", since {_moment(issue.assigned_at, at=at)}" if issue.assigned_at else ""
        raise Already(f"Already with {person.name}{since}", about=_about(issue))
    return Offer(issue, person, promise.step)


def _about(issue: Issue) -> About:
    """Of a restricted project its number only, as in the messages."""
    if issue.project.restricted:
        return About(issue.pk)
    title = f"{issue.error_type}: {issue.error_message}" if issue.error_message else issue.error_type
    return About(issue.pk, title, issue.project.name)


def _already(issue: Issue, *, at: datetime) -> str:
    """What holds, by whom and since when: "Already acknowledged by Grace Hopper, 20:40 UTC"."""
    kind = _WAS.get(Status(issue.status))
    last = ActivityEntry.objects.filter(issue=issue.pk, kind=kind).order_by("-at", "-pk").first() if kind else None
    if last is None:
        return f"Already {issue.status}"
    by = "Sysops" if last.by == BY_ITSELF else links.called([last.by])[last.by]
    return f"Already {issue.status} by {by}, {_moment(last.at, at=at)}"


def _moment(then: datetime, *, at: datetime) -> str:
    """The time; of another day with its date."""
    exact = then.astimezone(UTC)
    return f"{exact:%H:%M} UTC" if exact.date() == at.astimezone(UTC).date() else f"{exact:%-d %B, %H:%M} UTC"
