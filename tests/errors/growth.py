"""Makers for tests of what follows from a batch: issues that grow through `settle`, and ticks of a clock that moves."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction

from catalogue.models import Membership, Person, Service, Team
from errors.growth import DigestedEvent
from errors.models import Issue, Project
from errors.services.growing import settle
from errors.services.ticking import tick
from notifications.models import Message
from tests.errors.support import NOW, digested, growth, issue

TICK = timedelta(seconds=15)


def team(slug: str = "shop", *members: str) -> Team:
    made = Team.objects.create(slug=slug, name=slug.title())
    for name in members:
        person, _ = Person.objects.get_or_create(slug=name, defaults={"name": name.title()})
        Membership.objects.create(team=made, person=person)
    return made


def service(slug: str = "shop", owner: Team | None = None) -> Service:
    return Service.objects.create(slug=slug, name=slug.title(), kind="website", tier=1, owner_team=owner)


def person(slug: str) -> Person:
    return Person.objects.get(slug=slug)


def arrive(of: Project, *events: DigestedEvent, at: datetime = NOW, accounts: int = 0, **values: object) -> Issue:
    """A new issue, as the digest settles it with its first events."""
    first = events or (digested(at=at),)
    made = issue(of, first[0].error_type, first[0].error_message, at=at, events=0, level=first[0].level, **values)
    Issue.objects.filter(pk=made.pk).update(event_count=len(first), affected_accounts=accounts)
    made.refresh_from_db()
    with transaction.atomic():
        settle([growth(made, *first, new=True)], at=at)
    made.refresh_from_db()
    return made


def grow(of: Issue, *events: DigestedEvent, at: datetime, accounts: int | None = None) -> Issue:
    """More events of an issue, settled as one batch."""
    more = events or (digested(of.error_type, of.error_message, at=at, level=of.level),)
    return grow_all([of], *more, at=at, accounts=accounts)[0]


def grow_all(
    issues: Iterable[Issue], *events: DigestedEvent, at: datetime, accounts: int | None = None, new: bool = False
) -> list[Issue]:
    """The same events for each of these issues, in one batch."""
    with transaction.atomic():
        keys = [each.pk for each in issues]
        rows = list(Issue.objects.select_for_update().filter(pk__in=keys).order_by("pk"))
        for row in rows:
            row.event_count = len(events) if new else row.event_count + len(events)
            row.affected_accounts = row.affected_accounts if accounts is None else accounts
            row.last_seen = at
            row.save(update_fields=["event_count", "affected_accounts", "last_seen"])
        settle([growth(row, *events, new=new) for row in rows], at=at)
    return list(Issue.objects.filter(pk__in=keys).order_by("pk"))


def run_clock(start: datetime, until: datetime, *, step: timedelta = TICK) -> None:
    """Tick as beat does, from `start` until `until`."""
    at = start
    while at <= until:
        tick(now=lambda at=at: at)  # type: ignore[misc]
        at += step


def kinds() -> list[str]:
    """The kinds of all messages there are, in order."""
    return list(Message.objects.order_by("pk").values_list("kind", flat=True))
