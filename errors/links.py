"""Links in messages that do one step with one issue in one person's name.

The token is the whole authority, so it is narrow: this person, this issue, this step, for a week, and only while the
trouble that the message told of lasts: a link from before a regression must not resolve what came back.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from django.core import signing
from django.db.models import Q

from catalogue.links import BadLink, base_url
from catalogue.links import OldLink as AnyOldLink
from catalogue.models import Person
from errors.models import Issue
from errors.rules import Status, may_move
from sysops.access.rights import has_right

__all__ = ["BadLink", "OldLink", "Promise", "Step", "act_url", "act_urls", "called", "may_act", "read"]

LIVES = timedelta(days=7)
IGNORED_FOR = timedelta(days=1)
BY_LINK = " (by link, without an account)"  # after the slug of who has none: no account can be called so
_SALT = "errors.issue.act"


class OldLink(AnyOldLink):
    """The link was made by us, too long ago; `issue` is the number of the one it was for."""

    def __init__(self, message: str, *, issue: int) -> None:
        super().__init__(message)
        self.issue = issue


class Step(StrEnum):
    """What a link does."""

    ACKNOWLEDGE = "acknowledge"
    TAKE = "take"  # assign it to the person the link is for
    RESOLVE = "resolve"
    IGNORE = "ignore"  # for a day


_LEADS_TO = {
    Step.ACKNOWLEDGE: Status.ACKNOWLEDGED,
    Step.RESOLVE: Status.RESOLVED,
    Step.IGNORE: Status.IGNORED,
}


@dataclass(frozen=True)
class Promise:
    """What a link may do. `clock` is the second in which the trouble began that it was made for; `account` the one
    that the person had when it was made."""

    issue: int
    person: int
    account: int | None
    step: Step
    clock: int
    until: datetime


def act_url(issue: Issue, *, person: Person, step: Step, at: datetime) -> str:
    """The link by which this person takes this step. Works for a week."""
    until = int((at + LIVES).timestamp())
    token = signing.dumps([issue.pk, person.pk, person.user_id, step.value, clock_of(issue), until], salt=_SALT)
    return f"{base_url()}/errors/act/{token}"


def act_urls(issue: Issue, *, person: Person, at: datetime) -> dict[str, str]:
    """The links to give this person, by step: those the issue's status allows, none when they may not act."""
    if not may_act(person, issue):
        return {}
    return {step.value: act_url(issue, person=person, step=step, at=at) for step in Step if possible(issue, step)}


def read(token: str, *, at: datetime) -> Promise:
    """What the link stands for. Raises BadLink, OldLink."""
    try:
        issue, person, account, step, clock, until = signing.loads(token, salt=_SALT)
        promise = Promise(issue, person, account, Step(step), clock, datetime.fromtimestamp(until, UTC))
    except (signing.BadSignature, ValueError, TypeError):
        raise BadLink("This link is not complete, or not from here.") from None
    if at >= promise.until:
        raise OldLink(f"This link is older than {LIVES.days} days.", issue=promise.issue)
    return promise


def possible(issue: Issue, step: Step) -> bool:
    """Whether the issue's status allows the step."""
    if step is Step.TAKE:
        return issue.status != Status.RESOLVED
    return may_move(Status(issue.status), _LEADS_TO[step])


def may_act(person: Person, issue: Issue) -> bool:
    """Whether this person may still take steps with this issue: asked when a link is made, and again when it is used.

    Who has no account is told of trouble all the same, when on call say; of a restricted project only readers are.
    """
    user = person.user
    if user is not None and not (user.is_active and has_right(user, "errors.manage")):
        return False
    project = issue.project
    if not project.restricted:
        return True
    return user is not None and (has_right(user, "errors.configure") or project.readers.filter(pk=user.pk).exists())


def actor_name(person: Person) -> str:
    """The name under which this person's steps are kept."""
    return person.user.get_username() if person.user else f"{person.slug}{BY_LINK}"


def called(names: Collection[str]) -> dict[str, str]:
    """What people are called whom history knows by these names; a name that is nobody's stays. One query, or none."""
    if not names:
        return {}
    slugs = [name.removesuffix(BY_LINK) for name in names if name.endswith(BY_LINK)]
    found = Person.objects.filter(Q(slug__in=slugs) | Q(user__username__in=names)).select_related("user")
    known = {f"{person.slug}{BY_LINK}": person.name for person in found}
    known |= {person.user.get_username(): person.name for person in found if person.user}
    return {name: known.get(name, name) for name in names}


def clock_of(issue: Issue) -> int:
    """The second in which the present trouble of the issue began."""
    return int(issue.clock_started_at.timestamp())
