"""From a message to its deliveries: each recipient once, in the background, whatever fails."""

import threading
from datetime import UTC, datetime, time, timedelta

import pytest
from django.db import connection, transaction

from catalogue.rules import SubscriptionState
from notifications.audience import Audience
from notifications.models import Message
from notifications.rules import GIVE_UP_AFTER, DeliveryState, Level
from notifications.services import messages
from notifications.services.fan_out import fan_out
from tests.notifications.support import (
    AT,
    WINDOW,
    Clock,
    FakeDriver,
    deliveries,
    make_channel,
    make_person,
    make_service,
    make_team,
    post,
    subscribe,
    tell,
    ways,
)


@pytest.mark.django_db
def test_a_subscriber_of_many_services_gets_one_letter(clock: Clock, mail: FakeDriver) -> None:
    make_channel("mail", "fake", Level.WARNING)
    services = [make_service(f"s{n}") for n in range(3)]
    for service in services:
        subscribe(service, "eve@example.org")

    message = tell(Audience(subscribers_of=tuple(service.pk for service in services)), clock=clock)

    [row] = deliveries(message)
    assert (row.address, row.outside, row.person, message.recipients) == ("eve@example.org", True, None, 1)


@pytest.mark.django_db
def test_a_subscriber_who_is_also_in_the_owner_team_gets_one_letter_as_one_of_ours(
    clock: Clock, mail: FakeDriver
) -> None:
    make_channel("mail", "fake", Level.WARNING)
    ada = make_person("ada", ("email", "Ada@Example.org"))
    shop = make_service("shop", make_team("web", ada))
    subscribe(shop, "ada@example.org")
    subscribe(shop, ada)

    [row] = deliveries(tell(Audience(subscribers_of=(shop.pk,), owners_of=(shop.pk,)), clock=clock))

    assert (row.person, row.outside) == (ada, False)


@pytest.mark.django_db
def test_only_who_confirmed_is_told(clock: Clock, mail: FakeDriver) -> None:
    make_channel("mail", "fake", Level.WARNING)
    shop = make_service("shop")
    for state in SubscriptionState:
        subscribe(shop, f"{state}@example.org", state)

    assert ways(tell(Audience(subscribers_of=(shop.pk,)), clock=clock)) == {("mail", "confirmed@example.org")}


@pytest.mark.django_db
def test_a_pending_subscription_itself_can_be_written_to(clock: Clock, mail: FakeDriver) -> None:
    make_channel("mail", "fake", Level.INFO)
    asked = subscribe(make_service("shop"), "eve@example.org", SubscriptionState.PENDING)

    assert ways(tell(Audience(subscriptions=(asked.pk,)), clock=clock, level=Level.INFO)) == {
        ("mail", "eve@example.org")
    }


@pytest.mark.django_db
def test_quiet_hours_hold_back_what_is_neither_critical_nor_urgent(mail: FakeDriver) -> None:
    make_channel("mail", "fake", *Level)
    night = Clock(datetime(2027, 1, 15, 23, tzinfo=UTC))
    ada = make_person("ada", quiet=(time(22), time(7)), time_zone="Europe/Berlin")
    whom = Audience(people=(ada.pk,))

    dues = [
        deliveries(tell(whom, clock=night, level=level, urgent=urgent))[0].due_at
        for level, urgent in [(Level.WARNING, False), (Level.WARNING, True), (Level.CRITICAL, False)]
    ]

    assert dues == [datetime(2027, 1, 16, 6, tzinfo=UTC), night(), night()]


@pytest.mark.django_db
def test_a_key_is_posted_once(clock: Clock, mail: FakeDriver) -> None:
    make_channel("mail", "fake", Level.WARNING)
    whom = Audience(people=(make_person("ada").pk,))
    with transaction.atomic():
        posted = [
            messages.post(
                key="window:12:scheduled", kind="maintenance.scheduled", level=Level.WARNING, context=WINDOW,
                audience=whom, at=AT,
            )
            for _ in range(2)
        ]  # fmt: skip

    assert posted == [True, False]
    assert fan_out(now=clock) == 1
    assert fan_out(now=clock) == 0


@pytest.mark.django_db
def test_what_is_not_true_any_more_reaches_nobody(clock: Clock, mail: FakeDriver) -> None:
    make_channel("mail", "fake", Level.WARNING)

    message = tell(Audience(people=(make_person("ada").pk,)), clock=clock, expires_at=AT)

    assert (message.recipients, deliveries(message)) == (0, [])
    assert message.expired_because


@pytest.mark.django_db
def test_expiring_a_thread_drops_what_waits_and_nothing_else(clock: Clock, mail: FakeDriver) -> None:
    make_channel("mail", "fake", Level.WARNING)
    whom = Audience(people=(make_person("ada").pk,))
    ahead = tell(whom, clock=clock, kind="maintenance.ahead", thread="window:12")
    started = tell(whom, clock=clock, kind="maintenance.started", thread="window:12")

    with transaction.atomic():
        messages.expire(thread="window:12", kinds=["maintenance.ahead"], because="It has started.", at=AT)

    assert [row.state for row in deliveries(ahead)] == [DeliveryState.DROPPED]
    assert [row.state for row in deliveries(started)] == [DeliveryState.PENDING]


@pytest.mark.django_db
def test_subscribers_wait_for_a_mail_channel_that_is_missing_where_it_can_be_seen(
    clock: Clock, sms: FakeDriver
) -> None:
    make_channel("phone", "sms", Level.WARNING)
    shop = make_service("shop")
    subscribe(shop, "eve@example.org")
    subscribe(shop, "bob@example.org")

    [row] = deliveries(tell(Audience(subscribers_of=(shop.pk,)), clock=clock))

    assert row.state == DeliveryState.DEAD
    assert "2 subscribers: no e-mail channel is switched on" in row.error


@pytest.mark.django_db
def test_a_message_that_cannot_be_fanned_out_holds_up_no_other_and_is_given_up_after_a_day(
    clock: Clock, mail: FakeDriver
) -> None:
    make_channel("mail", "fake", Level.WARNING)
    whom = Audience(people=(make_person("ada").pk,))
    broken, sound = post(whom), post(whom)
    Message.objects.filter(pk=broken.pk).update(audience={"no such": "field"})

    fan_out(now=clock)
    assert len(deliveries(sound)) == 1
    broken.refresh_from_db()
    assert broken.fanned_out_at is None

    clock.forward(GIVE_UP_AFTER + timedelta(seconds=1))
    fan_out(now=clock)
    broken.refresh_from_db()
    assert (broken.recipients, "could not be fanned out" in broken.expired_because) == (0, True)


@pytest.mark.django_db
def test_a_large_fan_out_wakes_several_senders(clock: Clock, mail: FakeDriver, woken: list[str]) -> None:
    make_channel("mail", "fake", Level.WARNING)
    shop = make_service("shop")
    for n in range(150):
        subscribe(shop, f"s{n}@example.org")

    tell(Audience(subscribers_of=(shop.pk,)), clock=clock)

    assert woken.count("notifications.send") == 2


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_make_each_delivery_once(clock: Clock, mail: FakeDriver) -> None:
    make_channel("mail", "fake", Level.WARNING)
    ada = make_person("ada")
    for _ in range(20):
        post(Audience(people=(ada.pk,)))
    made: list[int] = []

    def work() -> None:
        made.append(fan_out(now=clock))
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)

    assert sum(made) == len(deliveries()) == 20
