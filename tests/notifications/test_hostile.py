"""What must not be lost, held up or told wrongly when channels, clocks, people and neighbours misbehave."""

import time
from datetime import timedelta

import pytest
from django.db import connection

from catalogue.models import Person, Subscription
from catalogue.rules import SubscriptionState
from notifications import reach
from notifications.audience import Audience
from notifications.channels.base import Letter, SendError
from notifications.models import Channel, Delivery, Message
from notifications.rules import GIVE_UP_AFTER, LEASE, LONGEST_ASKED_REST, MAX_ATTEMPTS, Level
from notifications.services import claims, sending
from notifications.services.fan_out import fan_out
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
    post,
    send,
    subscribe,
    tell,
)

pytestmark = pytest.mark.django_db
AWAY = SendError("Connection refused", whole_channel=True)


@pytest.fixture
def channel(mail: FakeDriver) -> Channel:
    return make_channel("mail", "fake", *Level)


def people(*names: str) -> Audience:
    return Audience(people=tuple(make_person(name).pk for name in names))


def states() -> list[str]:
    return [row.state for row in deliveries()]


def test_after_days_without_a_worker_a_mail_server_that_starts_later_costs_no_message(
    clock: Clock, channel: Channel, mail: FakeDriver
) -> None:
    many = claims.BATCH + 1
    tell(people(*(f"p{n}" for n in range(many))), clock=clock)
    clock.forward(2 * GIVE_UP_AFTER)
    mail.cannot_open = AWAY
    send(clock)

    assert sending.give_up_old(now=clock()) == 0

    mail.cannot_open = None
    clock.forward(timedelta(minutes=1))
    assert send(clock) == many


@pytest.mark.parametrize("wrong", ["expired", "bad address"])
def test_a_channel_that_is_back_is_not_held_up_by_what_cannot_be_sent(
    clock: Clock, channel: Channel, mail: FakeDriver, wrong: str
) -> None:
    old = tell(people(*(f"p{n}" for n in range(20))), clock=clock)
    clock.forward(timedelta(seconds=1))
    tell(people("ada"), clock=clock)
    mail.cannot_open = AWAY
    send(clock)
    mail.cannot_open = None
    if wrong == "expired":
        Message.objects.filter(pk=old.pk).update(expires_at=clock())
    else:
        mail.fails = lambda letter: SendError("No such user", permanent=True) if letter.to.startswith("p") else None
    clock.forward(timedelta(seconds=5))

    send(clock)

    assert mail.told == ["ada@example.org"]
    channel.refresh_from_db()
    assert (channel.failing_since, channel.resting_until) == (None, None)


def test_a_slow_channel_leaves_the_others_their_turn(clock: Clock, channel: Channel, sms: FakeDriver) -> None:
    make_channel("phone", "sms", Level.WARNING)
    ada = make_person("ada", ("email", "ada@example.org"), ("sms", "+4930123456"))
    tell(Audience(teams=(make_team("shop", ada).pk,)), clock=clock)

    first = {claims.busy_channels(clock())[0].slug for _ in range(60)}

    assert first == {"mail", "phone"}


def test_a_server_that_greets_longer_than_a_turn_lasts_is_sent_through_all_the_same(
    clock: Clock, channel: Channel, mail: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(people("ada"), clock=clock)
    opened = sending._open

    def slowly(*args: object) -> object:
        time.sleep(0.1)
        return opened(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(sending, "_open", slowly)

    assert sending.send_due(now=clock, seconds=0.05) == 1


def test_a_page_goes_before_ten_thousand_urgent_notices(clock: Clock, channel: Channel, mail: FakeDriver) -> None:
    tell(people("ada", "bob", "eve"), clock=clock, urgent=True)
    clock.forward(timedelta(seconds=1))
    tell(people("grace"), clock=clock, level=Level.CRITICAL)

    send(clock)

    assert mail.told[0] == "grace@example.org"


def test_what_is_critical_is_fanned_out_before_what_was_posted_earlier(
    clock: Clock, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = people("ada")
    notice, urgent, page = post(ada), post(ada, urgent=True), post(ada, level=Level.CRITICAL)

    fan_out(now=clock)

    order = list(Delivery.objects.order_by("pk").values_list("message", flat=True))
    assert order == [page.pk, urgent.pk, notice.pk]


def end(subscription: Subscription, clock: Clock) -> None:
    subscription.state, subscription.ended_at = SubscriptionState.ENDED.value, clock()
    subscription.save()


def test_a_person_who_ended_the_subscription_since_is_told_only_for_another_reason(
    clock: Clock, channel: Channel, mail: FakeDriver
) -> None:
    ada, bob, eve, ida = (make_person(name) for name in ("ada", "bob", "eve", "ida"))
    shop, mill = make_service("shop", make_team("owners", bob)), make_service("mill")
    gone = [subscribe(shop, person) for person in (ada, bob, ida)]
    subscribe(shop, eve)
    subscribe(mill, ida)
    services = (shop.pk, mill.pk)
    tell(Audience(subscribers_of=services, owners_of=services), clock=clock)
    clock.forward(timedelta(seconds=1))
    for subscription in gone:
        end(subscription, clock)

    send(clock)

    assert sorted(mail.told) == ["bob@example.org", "eve@example.org", "ida@example.org"]
    dropped = Delivery.objects.get(person=ada)
    assert (dropped.state, dropped.error) == ("dropped", sending.UNSUBSCRIBED)


def test_subscribers_without_an_email_channel_are_told_when_there_is_one_and_it_is_sent_again(
    clock: Clock, mail: FakeDriver, sms: FakeDriver
) -> None:
    make_channel("phone", "sms")
    shop = make_service("shop")
    for name in ("ada", "eve"):
        subscribe(shop, f"{name}@example.org")
    tell(Audience(subscribers_of=(shop.pk,)), clock=clock)
    assert (states(), deliveries()[0].name) == (["dead"], "2 subscribers")
    assert sending.send_again(deliveries(), by=BY, at=clock()) == 0, "still no way"
    make_channel("mail", "fake", *Level)

    assert sending.send_again(deliveries(), by=BY, at=clock()) == 2
    send(clock)

    assert mail.told == ["ada@example.org", "eve@example.org"]


def test_a_person_whose_time_zone_is_not_known_any_more_keeps_nobody_from_being_told(
    clock: Clock, channel: Channel, mail: FakeDriver
) -> None:
    night = (AT.time(), (AT + timedelta(hours=8)).time())
    lost = make_person("lost", quiet=night)
    Person.objects.filter(pk=lost.pk).update(time_zone="Mars/Olympus_Mons")
    tell(Audience(people=(lost.pk, make_person("ada").pk)), clock=clock)

    send(clock)
    assert mail.told == ["ada@example.org"]
    clock.forward(timedelta(hours=8))
    send(clock)
    assert mail.told == ["ada@example.org", "lost@example.org"]


def test_the_other_side_cannot_ask_for_a_later_try_than_an_hour(
    clock: Clock, channel: Channel, mail: FakeDriver
) -> None:
    tell(people("ada"), clock=clock)
    mail.fails = lambda letter: SendError("Slow down", retry_after=timedelta(days=1))

    send(clock)

    assert deliveries()[0].due_at == AT + LONGEST_ASKED_REST


def test_what_was_taken_back_is_not_sent_by_a_worker_whose_clock_is_behind(
    clock: Clock, channel: Channel, mail: FakeDriver
) -> None:
    message = tell(people("ada", "bob"), clock=clock)

    def cancelled_meanwhile(letter: Letter) -> None:
        later = clock() + timedelta(minutes=3)
        Message.objects.filter(pk=message.pk).update(expires_at=later, expired_because="Cancelled.")

    mail.fails = cancelled_meanwhile
    send(clock)

    assert states() == ["sent", "dropped"]


def test_a_clock_that_was_a_day_ahead_holds_up_nothing_when_it_is_right_again(
    clock: Clock, channel: Channel, mail: FakeDriver
) -> None:
    tell(people("ada", "bob"), clock=clock)
    clock.forward(timedelta(days=1))
    mail.fails = lambda letter: AWAY
    send(clock)
    assert claims.claim(clock() + timedelta(minutes=6), patience=sending.PATIENCE)
    mail.fails = lambda letter: None
    clock.forward(-timedelta(days=1))
    Delivery.objects.filter(state="pending").update(due_at=clock())

    claims.take_back(now=clock())

    assert send(clock) == 2


def test_a_living_worker_whose_clock_is_a_little_ahead_keeps_what_it_holds(
    clock: Clock, channel: Channel, mail: FakeDriver
) -> None:
    tell(people("ada"), clock=clock)
    assert claims.claim(clock() + timedelta(minutes=5), patience=sending.PATIENCE)

    assert claims.take_back(now=clock() + LEASE) == 0


def test_a_message_that_runs_into_a_limit_of_the_database_holds_up_no_other(
    clock: Clock, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(people("ada"))
    tellable = post(people("bob"))
    real, stopped = reach.reach, list[bool]()

    def limited(*args: object, **kwargs: object) -> object:
        if not stopped:
            stopped.append(True)
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = '10ms'")
                cursor.execute("SELECT pg_sleep(5)")
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(reach, "reach", limited)

    assert fan_out(now=clock) == 1

    assert [row.message for row in deliveries()] == [tellable]


def test_an_answer_that_repeats_the_unsubscribe_link_is_kept_without_its_token(
    clock: Clock, channel: Channel, mail: FakeDriver
) -> None:
    shop = make_service("shop")
    subscribe(shop, "eve@example.org")
    tell(Audience(subscribers_of=(shop.pk,)), clock=clock)
    mail.fails = lambda letter: SendError(f"554 Listed: {letter.unsubscribe_url} found", permanent=True)

    send(clock)

    [row] = deliveries()
    assert row.error.endswith("/subscriptions/end/… found")


def test_a_letter_that_is_lost_without_an_answer_each_time_is_repeated_to_a_bound(
    clock: Clock, channel: Channel, mail: FakeDriver
) -> None:
    tell(people("ada"), clock=clock)
    tried: list[str] = []

    def lost(letter: Letter) -> SendError:
        tried.append(letter.id)
        return SendError("Connection lost", whole_channel=True, in_doubt=True)

    mail.fails = lost
    for _ in range(24 * 12):
        send(clock)
        clock.forward(timedelta(minutes=5))

    assert (len(tried), len(set(tried))) == (MAX_ATTEMPTS, 1)
    assert states() == ["dead"]
