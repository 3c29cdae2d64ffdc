"""Steps taken by the links in messages: what a link offers, and doing it once."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from catalogue.models import Person
from errors import links
from errors.links import Promise, Step
from errors.models import Issue
from errors.services import issues, merging
from sysops.access.actors import Actor


class NotNow(Exception):
    """The link is ours, and what it offers cannot be done any more; the message says why."""


@dataclass(frozen=True)
class Offer:
    """A step somebody may take with an issue."""

    issue: Issue
    person: Person
    step: Step


def look(token: str, *, at: datetime) -> Offer:
    """What the link offers. Changes nothing. Raises links.BadLink, links.OldLink, NotNow."""
    promise = links.read(token, at=at)
    issue = Issue.objects.select_related("project", "assignee").defer("search").filter(pk=promise.issue).first()
    return _offer(promise, issue)


def act(token: str, *, address: str | None, at: datetime) -> Offer:
    """What was done, in the name of the person the link was made for. Raises links.BadLink, links.OldLink, NotNow."""
    promise = links.read(token, at=at)
    with transaction.atomic():
        try:
            issue: Issue | None = issues.locked(Issue(pk=promise.issue))
        except issues.IssueGone:
            issue = None
        offer = _offer(promise, issue)
        person, user = offer.person, offer.person.user
        name = user.get_username() if user else f"{person.slug} (by link, without an account)"
        by = Actor.user(name, address=address)
        return Offer(_take(offer, by=by, at=at), person, offer.step)


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


def _offer(promise: Promise, issue: Issue | None) -> Offer:
    if issue is None or issue.project.deleted_at is not None:
        merged = merging.merged_into(promise.issue)
        raise NotNow(f"It is part of issue {merged} now." if merged else "The issue is not there any more.")
    person = Person.objects.select_related("user").filter(pk=promise.person).first()
    # Without their account people may do more than some may with one: its end must not be a promotion.
    changed = person is not None and promise.account not in (None, person.user_id)
    if person is None or changed or not links.may_act(person, issue):
        raise NotNow("Whoever this link was made for may not do this any more.")
    if links.clock_of(issue) != promise.clock:
        raise NotNow("The issue has come back since this message was sent. Look at the newer message.")
    if not links.possible(issue, promise.step):
        raise NotNow(f"The issue is {issue.status} already.")
    return Offer(issue, person, promise.step)
