"""From an audience to channels and addresses: routes of teams and levels, on call, operators, fallbacks (SPEC A4)."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from pytest_django import DjangoAssertNumQueries

from catalogue.models import OnCallOverride, Person
from notifications.audience import Audience
from notifications.models import Channel, Delivery
from notifications.reach import reach
from notifications.rules import DeliveryState, Level
from notifications.services.channels import ensure_defaults, set_routes
from notifications.services.sending import send_again
from sysops.access.models import AuditEntry
from tests.notifications.support import (
    AT,
    BY,
    Clock,
    FakeDriver,
    deliveries,
    make_channel,
    make_person,
    make_service,
    make_team,
    tell,
    ways,
)

pytestmark = pytest.mark.django_db


def test_each_level_goes_through_its_own_channels(clock: Clock, mail: FakeDriver, sms: FakeDriver) -> None:
    make_channel("mail", "fake", Level.WARNING)
    make_channel("phone", "sms", Level.CRITICAL)
    ada = make_person("ada", ("email", "ada@example.org"), ("sms", "+4930123456"))

    warning = tell(Audience(people=(ada.pk,)), clock=clock)
    critical = tell(Audience(people=(ada.pk,)), clock=clock, level=Level.CRITICAL)

    assert ways(warning) == {("mail", "ada@example.org")}
    assert ways(critical) == {("phone", "+4930123456")}


def test_a_team_with_routes_of_its_own_does_not_use_the_default(
    clock: Clock, mail: FakeDriver, room: FakeDriver
) -> None:
    database = make_team("database", make_person("ada"))
    web = make_team("web", make_person("bob"))
    make_channel("mail", "fake", Level.WARNING)
    make_channel("chat", "room", Level.WARNING, team=database)

    message = tell(Audience(owners_of=(make_service("db", database).pk, make_service("shop", web).pk)), clock=clock)

    assert ways(message) == {("chat", ""), ("mail", "bob@example.org")}


def test_who_is_on_call_is_told_and_the_rest_of_the_team_is_not(clock: Clock, mail: FakeDriver) -> None:
    make_channel("mail", "fake", Level.CRITICAL)
    ada, bob = make_person("ada"), make_person("bob")
    team = make_team("web", ada, bob)
    OnCallOverride.objects.create(
        team=team, person=bob, starts_at=AT - timedelta(hours=1), ends_at=AT + timedelta(hours=1)
    )

    assert ways(tell(Audience(on_call_of=(team.pk,)), clock=clock, level=Level.CRITICAL)) == {
        ("mail", "bob@example.org")
    }


def test_operators_hear_of_what_is_meant_for_a_team_without_anybody(clock: Clock, mail: FakeDriver) -> None:
    make_channel("mail", "fake", Level.CRITICAL)
    operator = make_person("grace", user=User.objects.create(username="grace", is_superuser=True))
    make_person("ada")

    message = tell(Audience(on_call_of=(make_team("empty").pk,)), clock=clock, level=Level.CRITICAL)

    assert [row.person for row in deliveries(message)] == [operator]


def test_operators_are_people_whose_account_has_the_admin_role(clock: Clock, mail: FakeDriver) -> None:
    make_channel("mail", "fake", Level.WARNING)
    user = User.objects.create(username="grace")
    user.groups.add(Group.objects.get_or_create(name="admin")[0])
    make_person("grace", user=user)
    make_person("ada")

    assert ways(tell(Audience(operators=True), clock=clock)) == {("mail", "grace@example.org")}


def test_without_any_admin_everybody_is_an_operator(clock: Clock, mail: FakeDriver) -> None:
    make_channel("mail", "fake", Level.WARNING)
    for name in ("ada", "bob"):
        make_person(name)

    assert len(ways(tell(Audience(operators=True), clock=clock))) == 2


def test_a_channel_that_is_switched_off_is_not_used(clock: Clock, mail: FakeDriver, sms: FakeDriver) -> None:
    make_channel("phone", "sms", Level.WARNING, enabled=False)
    make_channel("mail", "fake")
    ada = make_person("ada", ("sms", "+4930123456"), ("email", "ada@example.org"))

    assert ways(tell(Audience(people=(ada.pk,)), clock=clock)) == {("mail", "ada@example.org")}


def test_whom_nobody_knows_how_to_reach_is_seen_among_what_was_given_up(clock: Clock, mail: FakeDriver) -> None:
    make_channel("mail", "fake", Level.WARNING)
    ada = make_person("ada", ("chat", "@ada"))

    [row] = deliveries(tell(Audience(people=(ada.pk,)), clock=clock))

    assert (row.state, row.person) == (DeliveryState.DEAD, ada)
    assert "Nobody knows how to reach Ada" in row.error


def test_sending_again_to_somebody_unreached_looks_their_address_up_anew(clock: Clock, mail: FakeDriver) -> None:
    make_channel("mail", "fake", Level.WARNING)
    ada = make_person("ada", ("chat", "@ada"))
    message = tell(Audience(people=(ada.pk,)), clock=clock)
    ada.contacts.create(channel="email", address="ada@example.org")

    assert send_again(deliveries(message), by=BY, at=AT) == 1

    assert [(row.address, row.state) for row in deliveries(message)][1:] == [("ada@example.org", "pending")]


def test_the_first_start_routes_every_level_through_the_mail_server_of_the_environment() -> None:
    ensure_defaults(by=BY, at=AT)
    ensure_defaults(by=BY, at=AT)

    channel = Channel.objects.get()
    assert (channel.slug, channel.driver, channel.settings) == ("email", "email", {})
    assert sorted(channel.routes.values_list("level", flat=True)) == sorted(Level)


def test_routes_are_replaced_as_a_whole_and_audited(mail: FakeDriver, sms: FakeDriver) -> None:
    first, second = make_channel("mail", "fake", Level.WARNING), make_channel("phone", "sms")

    set_routes(Level.WARNING, [second, first], by=BY, at=AT)
    set_routes(Level.WARNING, [second, first], by=BY, at=AT)

    assert list(second.routes.values_list("level", flat=True)) == ["warning"]
    entry = AuditEntry.objects.get(action="notifications.routes.changed")
    assert (entry.before, entry.after) == ({"channels": ["mail"]}, {"channels": ["phone", "mail"]})


def test_finding_out_who_is_told_takes_the_same_queries_however_many_there_are(
    mail: FakeDriver, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    make_channel("mail", "fake", Level.WARNING)
    services = [make_service(f"s{n}", make_team(f"t{n}", make_person(f"p{n}"))) for n in range(20)]
    keys = tuple(service.pk for service in services)
    audience = Audience(
        subscribers_of=keys, owners_of=keys, on_call_of=tuple(s.owner_team_id or 0 for s in services), operators=True
    )

    with django_assert_max_num_queries(18):
        found = reach(audience, level=Level.WARNING, at=AT)

    assert len(found.people) == Person.objects.count() == 20
    assert not Delivery.objects.exists()
