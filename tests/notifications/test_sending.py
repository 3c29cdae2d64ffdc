"""Sending: at least once under one id, each recorded at once, retried to a bound, never lost, never lied about."""

import threading
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connection

from catalogue.rules import SubscriptionState
from notifications.audience import Audience
from notifications.channels.base import Letter, SendError
from notifications.models import Channel, Delivery, Message
from notifications.rules import BROKEN_AFTER, GIVE_UP_AFTER, LEASE, MAX_ATTEMPTS, DeliveryState, Level
from notifications.selectors import channel_health, counts
from notifications.services import claims, health, sending
from notifications.services.channels import change_channel, create_channel, remove_channel
from notifications.services.channels import test_channel as send_test
from notifications.services.clean_up import clean_up
from sysops.access.driver_settings import MASK, BadSettings
from sysops.access.models import AuditEntry
from sysops.events.models import Event
from tests.notifications.support import (
    AT,
    BY,
    Clock,
    FakeDriver,
    deliveries,
    make_channel,
    make_person,
    make_service,
    send,
    subscribe,
    tell,
    ways,
)

pytestmark = pytest.mark.django_db
WRONG_PASSWORD = SendError("The password is wrong.", whole_channel=True)


@pytest.fixture
def channel(mail: FakeDriver) -> Channel:
    return make_channel("mail", "fake", *Level)


@pytest.fixture
def whom(channel: Channel) -> Audience:
    """Three people."""
    return Audience(people=tuple(make_person(name).pk for name in ("ada", "bob", "eve")))


def states() -> list[str]:
    return [row.state for row in deliveries()]


def sweep(clock: Clock) -> None:
    """What the tick does, besides waking workers."""
    claims.take_back(now=clock())
    sending.give_up_killers(now=clock())
    sending.give_up_old(now=clock())
    health.tell_broken(now=clock())


def test_what_was_accepted_is_recorded_with_what_the_other_side_called_it(
    clock: Clock, whom: Audience, mail: FakeDriver
) -> None:
    tell(whom, clock=clock)

    assert send(clock) == 3

    assert mail.told == ["ada@example.org", "bob@example.org", "eve@example.org"]
    assert states() == ["sent"] * 3
    assert deliveries()[0].provider_id == "accepted 1"
    assert [letter.id for letter in mail.sent] == [str(row.public_id) for row in deliveries()]
    assert len(mail.opened) == 1, "one connection for the batch"
    assert send(clock) == 0, "nobody is told twice"


def test_what_is_not_due_waits(clock: Clock, whom: Audience, mail: FakeDriver) -> None:
    tell(whom, clock=clock)
    Delivery.objects.update(due_at=AT + timedelta(hours=1))

    assert send(clock) == 0
    clock.forward(timedelta(hours=1))
    assert send(clock) == 3


def test_what_stopped_being_true_in_the_queue_is_dropped_with_the_reason(
    clock: Clock, whom: Audience, mail: FakeDriver
) -> None:
    message = tell(whom, clock=clock, expires_at=AT + timedelta(minutes=5))
    Message.objects.filter(pk=message.pk).update(expired_because="The window was cancelled.")
    clock.forward(timedelta(minutes=5))

    assert send(clock) == 0
    assert {(row.state, row.error) for row in deliveries()} == {("dropped", "The window was cancelled.")}


def test_what_stops_being_true_in_the_middle_of_a_batch_is_not_sent_on(
    clock: Clock, whom: Audience, mail: FakeDriver
) -> None:
    message = tell(whom, clock=clock)

    def cancelled_meanwhile(letter: Letter) -> None:
        Message.objects.filter(pk=message.pk).update(expires_at=clock(), expired_because="Cancelled.")

    mail.fails = cancelled_meanwhile
    send(clock)

    assert states() == ["sent", "dropped", "dropped"]


def test_who_unsubscribed_since_the_fan_out_is_not_mailed(clock: Clock, channel: Channel, mail: FakeDriver) -> None:
    shop = make_service("shop")
    gone, _ = subscribe(shop, "gone@example.org"), subscribe(shop, "here@example.org")
    tell(Audience(subscribers_of=(shop.pk,)), clock=clock)
    gone.state = SubscriptionState.ENDED.value
    gone.save()

    send(clock)

    assert mail.told == ["here@example.org"]


def test_an_outside_recipient_gets_an_unsubscribe_link_and_no_admin_link(
    clock: Clock, channel: Channel, mail: FakeDriver
) -> None:
    shop = make_service("shop")
    subscribe(shop, "eve@example.org")
    tell(Audience(subscribers_of=(shop.pk,), people=(make_person("ada").pk,)), clock=clock)
    send(clock)

    ours, theirs = sorted(mail.sent, key=lambda letter: letter.to)
    assert "/admin/" in ours.text
    assert ours.unsubscribe_url == ""
    assert theirs.unsubscribe_url.startswith("http")
    for part in (theirs.text, theirs.html):
        assert "/admin/" not in part
        assert theirs.unsubscribe_url in part
    assert "url" not in theirs.data


def test_a_passing_failure_is_tried_again_later_under_the_same_id(
    clock: Clock, whom: Audience, mail: FakeDriver
) -> None:
    tell(whom, clock=clock)
    mail.fails = lambda letter: SendError("Mailbox busy") if letter.to.startswith("bob") else None

    assert send(clock) == 2
    bob = deliveries()[1]
    assert (bob.state, bob.attempt, bob.error) == ("pending", 1, "Mailbox busy")
    assert timedelta(seconds=10) < bob.due_at - AT < timedelta(seconds=20)

    mail.fails = lambda letter: None
    clock.forward(timedelta(seconds=20))
    assert send(clock) == 1
    assert mail.sent[-1].id == str(bob.public_id)


def test_the_other_sides_wish_for_a_later_try_is_heard(clock: Clock, whom: Audience, mail: FakeDriver) -> None:
    tell(whom, clock=clock)
    mail.fails = lambda letter: SendError("Slow down", retry_after=timedelta(minutes=7))
    send(clock)

    assert {row.due_at for row in deliveries()} == {AT + timedelta(minutes=7)}


def test_tries_have_an_end_and_the_reason_is_kept(clock: Clock, whom: Audience, mail: FakeDriver) -> None:
    tell(whom, clock=clock)
    mail.fails = lambda letter: SendError("Mailbox busy")
    for _ in range(MAX_ATTEMPTS + 1):
        send(clock)
        clock.forward(timedelta(hours=1))

    assert states() == ["dead"] * 3
    assert deliveries()[0].error == f"Mailbox busy (tried {MAX_ATTEMPTS} times)"
    assert counts(at=clock()).dead_last_day == 3


def test_a_letter_that_crashes_the_driver_does_not_hold_up_its_neighbours(
    clock: Clock, whom: Audience, mail: FakeDriver
) -> None:
    tell(whom, clock=clock)

    def crash(letter: Letter) -> None:
        if letter.to.startswith("ada"):
            raise ZeroDivisionError("password=hunter2")

    mail.fails = crash
    assert send(clock) == 2
    assert states() == ["pending", "sent", "sent"]
    assert deliveries()[0].error == "Unexpected: ZeroDivisionError: password=[redacted]"


def test_a_refused_address_is_dead_at_once_and_the_next_one_is_used(
    clock: Clock, channel: Channel, mail: FakeDriver, sms: FakeDriver
) -> None:
    make_channel("phone", "sms")
    ada = make_person("ada", ("email", "ada@example.org"), ("sms", "+4930123456"))
    message = tell(Audience(people=(ada.pk,)), clock=clock)
    mail.fails = lambda letter: SendError("No such mailbox", permanent=True)

    send(clock)
    send(clock)

    dead, sent = deliveries(message)
    assert (dead.state, dead.error) == ("dead", "No such mailbox")
    assert (sent.state, sent.address, sent.fallback_of, sent.person) == ("sent", "+4930123456", dead, ada)


def test_nobody_is_told_a_second_time_because_another_of_their_channels_failed(
    clock: Clock, channel: Channel, mail: FakeDriver, sms: FakeDriver
) -> None:
    make_channel("phone", "sms", Level.WARNING)
    ada = make_person("ada", ("email", "ada@example.org"), ("sms", "+4930123456"), ("email", "ada@example.net"))
    tell(Audience(people=(ada.pk,)), clock=clock)
    mail.fails = lambda letter: SendError("No such mailbox", permanent=True)

    send(clock)
    send(clock)

    assert sorted(states()) == ["dead", "sent"]


def test_a_channel_that_fails_as_a_whole_rests_and_burns_no_attempts(
    clock: Clock, whom: Audience, mail: FakeDriver, channel: Channel
) -> None:
    tell(whom, clock=clock)
    mail.cannot_open = WRONG_PASSWORD

    for _ in range(5):
        send(clock)
    assert len(mail.opened) == 1, "it rests"
    clock.forward(timedelta(seconds=5))
    send(clock)

    channel.refresh_from_db()
    assert (channel.failures, channel.failing_since, channel.last_error) == (2, AT, "The password is wrong.")
    assert channel.resting_until == clock() + timedelta(seconds=10)
    assert {(row.state, row.attempt) for row in deliveries()} == {("pending", 0)}
    assert [h.state for h in channel_health(at=clock())] == ["failing"]
    assert counts(at=clock()).broken_channels == [channel]


def test_a_channel_that_works_again_sends_everything_and_is_told_of_as_recovered(
    clock: Clock, whom: Audience, mail: FakeDriver, channel: Channel
) -> None:
    tell(whom, clock=clock)
    mail.cannot_open = WRONG_PASSWORD
    send(clock)
    clock.forward(BROKEN_AFTER)
    sweep(clock)
    mail.cannot_open = None

    assert send(clock) == 3

    channel.refresh_from_db()
    assert (channel.failures, channel.failing_since, channel.resting_until, channel.last_error) == (0, None, None, "")
    assert channel.last_sent_at == clock()
    names = list(Event.objects.order_by("pk").values_list("name", flat=True))
    assert names == ["notifications.channel.broken", "notifications.channel.recovered"]


def test_that_a_channel_works_again_is_not_read_after_it_has_failed_again(
    clock: Clock, whom: Audience, mail: FakeDriver, channel: Channel
) -> None:
    for _ in range(2):
        tell(whom, clock=clock)
        mail.cannot_open = WRONG_PASSWORD
        send(clock)
        clock.forward(BROKEN_AFTER)
        sweep(clock)
        if not Message.objects.filter(kind="notifications.channel_works").exists():
            mail.cannot_open = None
            send(clock)
            assert Message.objects.get(kind="notifications.channel_works").expired_because == ""

    assert Message.objects.get(kind="notifications.channel_works").expired_because == "The channel fails again."


def test_a_broken_channel_is_told_of_once_through_another_one(
    clock: Clock, whom: Audience, mail: FakeDriver, sms: FakeDriver, channel: Channel
) -> None:
    make_channel("phone", "sms")
    make_person("grace", ("email", "grace@example.org"), ("sms", "+4930123456"))
    tell(whom, clock=clock)
    mail.cannot_open = WRONG_PASSWORD
    for _ in range(30):
        send(clock)
        sweep(clock)
        clock.forward(timedelta(seconds=15))

    from notifications.services.fan_out import fan_out

    fan_out(now=clock)
    send(clock)

    assert [letter.kind for letter in sms.sent] == ["notifications.channel_broken"]
    assert "The password is wrong." in sms.sent[0].text
    told = Message.objects.filter(kind="notifications.channel_broken")
    assert told.count() == 1
    assert Event.objects.filter(name="notifications.channel.broken").count() == 1
    assert ("phone", "+4930123456") in ways(told.get())

    mail.cannot_open = None
    for _ in range(3):
        clock.forward(timedelta(minutes=5))
        send(clock)
    assert Message.objects.filter(kind="notifications.channel_works").count() == 1, "and of its recovery, once"


def test_only_one_worker_at_a_time_tries_a_channel_that_failed(clock: Clock, whom: Audience, mail: FakeDriver) -> None:
    tell(whom, clock=clock)
    mail.cannot_open = WRONG_PASSWORD
    send(clock)
    clock.forward(timedelta(seconds=5))

    first = claims.claim(clock(), patience=sending.PATIENCE)
    assert first is not None
    assert len(first.deliveries) == 1
    assert claims.claim(clock(), patience=sending.PATIENCE) is None


def test_what_waited_a_day_for_a_broken_channel_goes_another_way(
    clock: Clock, channel: Channel, mail: FakeDriver, sms: FakeDriver
) -> None:
    make_channel("phone", "sms")
    ada = make_person("ada", ("email", "ada@example.org"), ("sms", "+4930123456"))
    bob = make_person("bob")
    message = tell(Audience(people=(ada.pk, bob.pk)), clock=clock)
    mail.cannot_open = WRONG_PASSWORD
    send(clock)

    clock.forward(GIVE_UP_AFTER - timedelta(seconds=1))
    sweep(clock)
    assert {row.state for row in deliveries(message)} == {"pending"}
    clock.forward(timedelta(seconds=1))
    sweep(clock)
    send(clock)

    assert [(row.name, row.channel.slug, row.state) for row in deliveries(message)] == [
        ("Ada", "mail", "dead"),
        ("Bob", "mail", "dead"),
        ("Ada", "phone", "sent"),
    ]
    assert "failing for a day: The password is wrong." in deliveries(message)[0].error


def test_nothing_is_given_up_because_nobody_worked_for_two_days(clock: Clock, whom: Audience, mail: FakeDriver) -> None:
    tell(whom, clock=clock)
    clock.forward(timedelta(days=2))
    sweep(clock)
    assert send(clock) == 3


def test_a_letter_that_breaks_the_connection_each_time_goes_behind_the_others_and_is_bounded(
    clock: Clock, whom: Audience, mail: FakeDriver
) -> None:
    tell(whom, clock=clock)
    lost = SendError("Connection lost", whole_channel=True)
    mail.fails = lambda letter: lost if letter.to.startswith("ada") else None

    send(clock)
    assert states() == ["pending"] * 3
    clock.forward(timedelta(seconds=6))
    send(clock)
    assert states() == ["pending", "sent", "sent"]
    for _ in range(4 * MAX_ATTEMPTS):
        clock.forward(timedelta(minutes=45))
        send(clock)
        sweep(clock)
    assert states()[0] == "dead"


def test_what_a_dead_worker_held_is_sent_by_another_when_its_lease_is_over(
    clock: Clock, whom: Audience, mail: FakeDriver
) -> None:
    tell(whom, clock=clock)
    assert claims.claim(clock(), patience=sending.PATIENCE)

    sweep(clock)
    assert send(clock) == 0, "it may still be alive"
    clock.forward(LEASE)
    sweep(clock)
    assert send(clock) == 3
    assert [row.attempt for row in deliveries()] == [2, 2, 2]


class Killed(BaseException):
    """What ends a worker at once."""


def test_a_letter_that_kills_every_worker_is_given_up_and_takes_no_other_along(
    clock: Clock, whom: Audience, mail: FakeDriver
) -> None:
    tell(whom, clock=clock)

    def kill(letter: Letter) -> None:
        if letter.to.startswith("bob"):
            raise Killed

    mail.fails = kill
    for _ in range(2 * MAX_ATTEMPTS):
        with suppress(Killed):
            send(clock)
        clock.forward(LEASE)
        sweep(clock)

    assert mail.told == ["ada@example.org", "eve@example.org"]
    assert [(row.name, row.state) for row in deliveries()] == [("Ada", "sent"), ("Bob", "dead"), ("Eve", "sent")]
    assert "worker that was sending it died" in deliveries()[1].error


def test_a_worker_that_lost_its_lease_neither_sends_nor_records(clock: Clock, whom: Audience, mail: FakeDriver) -> None:
    tell(whom, clock=clock)

    def stall(letter: Letter) -> None:
        mail.fails = lambda letter: None
        clock.forward(LEASE)
        sweep(clock)
        assert send(clock) == 3

    mail.fails = stall
    send(clock)

    assert mail.told[:3] == ["ada@example.org", "bob@example.org", "eve@example.org"]
    assert mail.told[3:] == ["ada@example.org"], "only what was in hand when the worker stalled went out twice"
    assert {(row.state, row.attempt) for row in deliveries()} == {("sent", 2)}


def test_a_worker_that_lost_its_lease_does_not_write_over_the_one_that_is_sending_now(
    clock: Clock, whom: Audience, mail: FakeDriver
) -> None:
    tell(whom, clock=clock)

    def stall(letter: Letter) -> None:
        mail.fails = lambda letter: None
        clock.forward(LEASE)
        sweep(clock)
        while claims.claim(clock(), patience=sending.PATIENCE):
            pass

    mail.fails = stall
    send(clock)

    assert mail.told == ["ada@example.org"]
    assert {(row.state, row.attempt) for row in deliveries()} == {("sending", 2)}


def test_a_long_batch_keeps_what_it_holds(clock: Clock, whom: Audience, mail: FakeDriver) -> None:
    tell(whom, clock=clock)

    def slow(letter: Letter) -> None:
        clock.forward(timedelta(seconds=35))
        claims.take_back(now=clock())

    mail.fails = slow
    assert send(clock) == 3
    assert {row.attempt for row in deliveries()} == {1}


def test_a_page_goes_before_ten_thousand_notices(clock: Clock, whom: Audience, mail: FakeDriver) -> None:
    tell(whom, clock=clock)
    tell(Audience(people=(make_person("grace").pk,)), clock=clock, level=Level.CRITICAL)

    send(clock)

    assert mail.told[0] == "grace@example.org"


@pytest.mark.django_db(transaction=True)
def test_several_workers_share_the_work_and_tell_each_once(clock: Clock, channel: Channel, mail: FakeDriver) -> None:
    people = tuple(make_person(f"p{n}").pk for n in range(200))
    tell(Audience(people=people), clock=clock)
    sent: list[int] = []

    def work() -> None:
        sent.append(send(clock))
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert sum(sent) == 200
    assert len(set(mail.told)) == len(mail.told) == 200


def test_what_was_given_up_can_be_sent_again_under_the_same_id(clock: Clock, whom: Audience, mail: FakeDriver) -> None:
    tell(whom, clock=clock)
    mail.fails = lambda letter: SendError("No such mailbox", permanent=True)
    send(clock)
    before = [str(row.public_id) for row in deliveries()]
    mail.fails = lambda letter: None

    assert sending.send_again(deliveries(), by=BY, at=clock()) == 3
    assert send(clock) == 3

    assert [letter.id for letter in mail.sent] == before
    assert AuditEntry.objects.filter(action="notifications.delivery.sent_again").count() == 3


def test_a_place_that_refuses_for_good_is_told_of(clock: Clock, channel: Channel, room: FakeDriver) -> None:
    chat = make_channel("chat", "room", Level.INFO)
    tell(Audience(operators=True), clock=clock, level=Level.INFO)
    room.fails = lambda letter: SendError("410 Gone", permanent=True)

    send(clock)

    [told] = Message.objects.filter(kind="notifications.channel_broken")
    assert (told.context["channel_id"], told.context["error"]) == (chat.pk, "410 Gone")


def test_a_driver_that_is_not_installed_any_more_is_a_broken_channel(clock: Clock, whom: Audience) -> None:
    tell(whom, clock=clock)
    Channel.objects.update(driver="pigeon")

    send(clock)

    assert "There is no channel driver 'pigeon'" in Channel.objects.get().last_error
    assert {row.attempt for row in deliveries()} == {0}


def test_secrets_of_a_channel_are_sealed_and_reach_only_the_driver(clock: Clock, mail: FakeDriver) -> None:
    channel = create_channel(
        slug="mail", name="Mail", driver="fake", settings={"host": "a", "password": "hunter2"}, by=BY, at=AT
    )
    send_test(channel, address="ada@example.org", by=BY, at=AT)
    send(clock)

    assert mail.opened == [{"host": "a", "password": "hunter2"}]
    assert mail.sent[0].kind == "notifications.test"
    stored = f"{channel.settings} {channel.sealed_settings} {list(AuditEntry.objects.values())}"
    assert "hunter2" not in stored


def test_a_kept_secret_is_not_handed_to_another_server(mail: FakeDriver) -> None:
    channel = create_channel(
        slug="mail", name="Mail", driver="fake", settings={"host": "a", "password": "hunter2"}, by=BY, at=AT
    )
    change_channel(channel, name="Post", settings={"host": "a", "password": MASK}, by=BY, at=AT)
    with pytest.raises(BadSettings, match="host changed: enter it again"):
        change_channel(channel, settings={"host": "evil", "password": MASK}, by=BY, at=AT)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("slug", {"slug": "Not A Slug"}),
        ("driver", {"driver": "pigeon"}),
        ("settings", {"settings": {"colour": "red"}}),
        ("slug", {"slug": "taken"}),
    ],
)
def test_a_channel_that_makes_no_sense_is_refused_by_field(
    mail: FakeDriver, field: str, values: dict[str, object]
) -> None:
    make_channel("taken", "fake")
    given: dict[str, object] = {"slug": "mail", "name": "Mail", "driver": "fake", "settings": {}, **values}
    with pytest.raises(BadSettings) as refused:
        create_channel(**given, by=BY, at=AT)  # type: ignore[arg-type]
    assert list(refused.value.errors) == [field]


def test_a_channel_something_was_sent_through_is_switched_off_rather_than_removed(
    clock: Clock, whom: Audience, channel: Channel, mail: FakeDriver
) -> None:
    tell(whom, clock=clock)
    with pytest.raises(BadSettings, match="switch it off"):
        remove_channel(channel, by=BY, at=AT)

    change_channel(channel, enabled=False, by=BY, at=AT)
    assert send(clock) == 0
    remove_channel(make_channel("unused", "fake"), by=BY, at=AT)
    assert Channel.objects.count() == 1


def test_records_are_kept_for_half_a_year(clock: Clock, whom: Audience, mail: FakeDriver) -> None:
    tell(whom, clock=clock)
    send(clock)
    clock.forward(timedelta(days=179))
    tell(whom, clock=clock)

    assert clean_up(now=clock) == 0
    clock.forward(timedelta(days=2))
    assert clean_up(now=clock, batch=2) == 4
    assert (Message.objects.count(), Delivery.objects.count()) == (1, 3)
    assert DeliveryState.PENDING in states()
