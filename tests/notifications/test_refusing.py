"""A channel that answers and takes nothing is failing, and everything says so until it takes something."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import escape
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from notifications.audience import Audience
from notifications.channels.base import Letter, SendError, drivers
from notifications.channels.webhook import Webhook
from notifications.looks import health as health_words
from notifications.models import Channel, Delivery, Message
from notifications.rules import BROKEN_AFTER, MAX_ATTEMPTS, REFUSALS, DeliveryState, Level, Untaken, refuses_since
from notifications.selectors import channel_health
from notifications.services import claims, health, sending
from notifications.services.channels import create_channel
from notifications.services.channels import test_channel as send_test
from notifications.services.claims import DIED
from notifications.services.fan_out import fan_out
from sysops.dashboard import people
from sysops.events.models import Event
from tests.admin.conftest import sign_in
from tests.api.conftest import _static_files_on_demand, api, token
from tests.notifications.support import (
    AT,
    BY,
    Clock,
    FakeDriver,
    MailServer,
    make_channel,
    make_person,
    make_team,
    send,
    tell,
)
from tests.receivers import Answer, Receiver

__all__ = ["_static_files_on_demand", "api", "sign_in", "token"]
pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
BROKEN, WORKS = "notifications.channel_broken", "notifications.channel_works"

moments = st.integers(0, 600).map(lambda minutes: AT + minutes * MINUTE)


@st.composite
def untaken(draw: st.DrawFn) -> Untaken:
    tried = draw(moments)
    given_up = draw(st.none() | st.integers(0, 300).map(lambda minutes: tried + minutes * MINUTE))
    return Untaken(draw(st.sampled_from(["", "a@x", "b@x", "c@x", "d@x"])), draw(st.integers(1, 14)), tried, given_up)


LATER = AT + timedelta(days=1)


@given(st.lists(untaken()), st.booleans())
def test_whatever_was_accepted_after_it_all_ends_it(found: list[Untaken], one_place: bool) -> None:
    assert refuses_since(found, one_place=one_place, accepted_at=LATER, at=LATER) is None


@given(st.lists(untaken()), untaken(), st.booleans(), st.none() | moments)
def test_one_more_that_was_not_taken_never_makes_it_better(
    found: list[Untaken], more: Untaken, one_place: bool, accepted: object
) -> None:
    before = refuses_since(found, one_place=one_place, accepted_at=accepted, at=LATER)  # type: ignore[arg-type]
    after = refuses_since([*found, more], one_place=one_place, accepted_at=accepted, at=LATER)  # type: ignore[arg-type]
    assert before is None or (after is not None and after <= before)


@given(st.lists(untaken()).map(lambda found: [each for each in found if each.address in ("a@x", "b@x")]))
def test_two_bad_mailboxes_are_never_the_channels_fault(found: list[Untaken]) -> None:
    assert refuses_since(found, one_place=False, accepted_at=None, at=LATER) is None


@given(st.lists(untaken()), st.booleans(), moments)
def test_since_when_is_never_before_what_was_accepted_last(
    found: list[Untaken], one_place: bool, accepted: object
) -> None:
    since = refuses_since(found, one_place=one_place, accepted_at=accepted, at=LATER)  # type: ignore[arg-type]
    assert since is None or since > accepted  # type: ignore[operator]


def test_a_place_that_only_stumbles_is_given_two_minutes() -> None:
    busy = [Untaken("", REFUSALS, AT)]
    assert refuses_since(busy, one_place=True, accepted_at=None, at=AT + BROKEN_AFTER - MINUTE) is None
    assert refuses_since(busy, one_place=True, accepted_at=None, at=AT + BROKEN_AFTER) == AT
    assert refuses_since([Untaken("", REFUSALS - 1, AT)], one_place=True, accepted_at=None, at=LATER) is None


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A real HTTP server that the driver `webhook` may reach."""
    monkeypatch.setitem(drivers._things, "webhook", Webhook(allow_private=lambda: True, seconds=2))
    with Receiver().serving() as served:
        yield served


@pytest.fixture
def room(receiver: Receiver) -> Channel:
    """The receiver as a channel of notices."""
    url = f"http://127.0.0.1:{receiver.port}/hooks/secret-path"
    settings = {"url": url, "secret": "whsec_" + "A" * 43 + "="}
    made = create_channel(slug="room", name="Room", driver="webhook", settings=settings, by=BY, at=AT)
    made.routes.create(level=Level.INFO.value)
    return made


@pytest.fixture
def post_office(mail_server: MailServer) -> Channel:
    """A real mail server as the channel of what matters."""
    settings = {"host": "127.0.0.1", "port": mail_server.port, "security": "none", "from_address": "sysops@example.org"}
    return make_channel("mail", "email", Level.WARNING, Level.CRITICAL, settings=settings)


def notice(clock: Clock, times: int = 1) -> None:
    """Messages for the room, each a minute after the other and sent at once."""
    for _ in range(times):
        tell(Audience(operators=True), clock=clock, level=Level.INFO)
        send(clock)
        clock.forward(MINUTE)


def sweep(clock: Clock) -> None:
    claims.take_back(now=clock())
    sending.give_up_old(now=clock())
    health.tell_broken(now=clock())
    fan_out(now=clock)
    send(clock)


def words(channel: Channel) -> tuple[str, str]:
    return health_words(Channel.objects.get(pk=channel.pk), now=AT + timedelta(hours=1))


def test_a_url_that_is_gone_makes_its_channel_failing_and_what_it_takes_ends_that(
    clock: Clock, receiver: Receiver, room: Channel
) -> None:
    notice(clock)
    assert words(room) == ("good", "Works")
    receiver.answer = Answer(404)

    notice(clock, REFUSALS - 1)
    assert words(room) == ("warn", "Did not take the last message")
    notice(clock)

    room.refresh_from_db()
    assert room.failing_since == AT + MINUTE, "the first that was refused"
    assert room.last_error == f"127.0.0.1:{receiver.port} answered 404 Not Found"
    assert words(room) == ("bad", "Failing since 59 min ago, takes no message")
    assert [each.state for each in channel_health(at=clock())] == ["failing"]

    receiver.answer = Answer(204)
    notice(clock)
    assert words(room) == ("good", "Works")
    after = Channel.objects.get(pk=room.pk)
    assert (after.failing_since, after.last_error) == (None, "")


def test_each_message_is_still_tried_once_and_given_up_for_its_own_reason(
    clock: Clock, receiver: Receiver, room: Channel
) -> None:
    receiver.answer = Answer(410)

    notice(clock, 2 * REFUSALS)

    assert len(receiver.got) == 2 * REFUSALS
    assert {(row.state, row.attempt) for row in Delivery.objects.filter(channel=room)} == {("dead", 1)}


def test_people_are_told_once_by_another_channel_and_again_when_it_works(
    clock: Clock, receiver: Receiver, room: Channel, post_office: Channel, mail_server: MailServer
) -> None:
    make_person("ada")
    receiver.answer = Answer(404)
    notice(clock, REFUSALS)
    for _ in range(5):
        sweep(clock)
        clock.forward(MINUTE)

    first, failing = mail_server.mails
    assert "The channel Room is broken: messages are given up" in str(first["Subject"])
    told = failing.get_body(("plain",))
    assert told is not None
    text = " ".join(told.get_content().split())
    assert "Nothing can be sent through the channel Room since" in text
    assert "12:00" in text, "the first that was refused"
    assert f"127.0.0.1:{receiver.port} answered 404 Not Found" in text
    assert "waits" not in text
    assert "secret-path" not in text
    assert Event.objects.filter(name="notifications.channel.broken").count() == 1

    receiver.answer = Answer(204)
    notice(clock)
    sweep(clock)
    assert "The channel Room works again" in str(mail_server.mails[-1]["Subject"])
    assert Message.objects.filter(kind=WORKS).count() == 1


def test_two_channels_that_refuse_everything_do_not_tell_of_each_other_for_ever(
    clock: Clock, receiver: Receiver, room: Channel, post_office: Channel, mail_server: MailServer
) -> None:
    for name in ("ada", "bob", "eve"):
        make_person(name)
    receiver.answer, mail_server.on_recipient = Answer(403), lambda address: "550 5.7.1 Not from you"

    notice(clock, REFUSALS)
    for _ in range(30):
        sweep(clock)
        clock.forward(MINUTE)

    assert words(room)[0] == words(post_office)[0] == "bad"
    # Of the room: a lost message and that it fails. Of the mail server: that it fails.
    assert Message.objects.filter(kind=BROKEN).count() == 3


def test_a_place_that_is_ill_for_minutes_is_failing_while_its_messages_wait(
    clock: Clock, receiver: Receiver, room: Channel
) -> None:
    receiver.answer = Answer(503)
    tell(Audience(operators=True), clock=clock, level=Level.INFO)
    for _ in range(2):
        send(clock)
        assert words(room) == ("warn", "Did not take the last message")
        clock.forward(MINUTE)
    send(clock)

    assert words(room)[0] == "bad"
    assert Delivery.objects.get().state == DeliveryState.PENDING
    receiver.answer = Answer(204)
    clock.forward(timedelta(hours=1))
    send(clock)
    assert words(room) == ("good", "Works")


def test_people_hear_of_a_place_that_loses_messages_at_most_once_a_day(
    clock: Clock, receiver: Receiver, room: Channel
) -> None:
    make_channel("phone", "sms")
    told = Message.objects.filter(kind=BROKEN)
    receiver.answer = Answer(503)
    notice(clock, REFUSALS)
    sweep(clock)
    assert told.count() == 1, "it fails"

    receiver.answer = Answer(410)
    notice(clock, REFUSALS)
    assert told.count() == 1, "they know already"
    clock.forward(timedelta(days=1))
    notice(clock, REFUSALS)
    assert told.count() == 2


def test_a_place_that_comes_up_and_refuses_is_not_said_to_have_messages_waiting(
    clock: Clock, sms: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = FakeDriver("")
    monkeypatch.setitem(drivers._things, "place", place)
    room = make_channel("room", "place", Level.INFO)
    place.cannot_open = SendError("Nobody answers.", whole_channel=True)
    notice(clock)
    assert "waits." in people.unreached()[0].detail

    place.cannot_open, place.fails = None, lambda letter: SendError("404 Not Found", permanent=True)
    clock.forward(timedelta(hours=1))
    send(clock)

    room.refresh_from_db()
    assert (room.failing_since, room.refuses, room.last_error) == (AT, True, "404 Not Found")
    assert "404 Not Found. What it should send is given up." in people.unreached()[0].detail


def test_one_bad_mailbox_does_not_make_the_mail_server_failing(
    clock: Clock, post_office: Channel, mail_server: MailServer
) -> None:
    mail_server.on_recipient = lambda address: "550 5.1.1 No such user"
    whom = Audience(people=(make_person("ada").pk,))
    for _ in range(2 * REFUSALS):
        tell(whom, clock=clock)
        send(clock)
        clock.forward(MINUTE)

    assert words(post_office) == ("off", "Not used yet")
    assert Message.objects.filter(kind=BROKEN).count() == 0


def test_a_mail_server_that_refuses_whoever_it_is_for_is_failing_until_it_takes_a_mail(
    clock: Clock, post_office: Channel, mail_server: MailServer
) -> None:
    names = ("ada", "bob", "eve")
    whom = Audience(people=tuple(make_person(name).pk for name in names))
    mail_server.on_recipient = lambda address: "550 5.7.1 Relaying denied"
    tell(whom, clock=clock)
    send(clock)
    assert words(post_office)[0] == "bad"
    assert "Relaying denied" in Channel.objects.get().last_error

    mail_server.on_recipient = lambda address: "250 OK"
    tell(whom, clock=clock)
    assert send(clock) == len(names)
    assert words(post_office) == ("good", "Works")


def test_mailboxes_that_are_full_for_hours_are_counted_once_they_are_given_up(
    clock: Clock, mail: FakeDriver, sms: FakeDriver
) -> None:
    channel = make_channel("mail", "fake", *Level)
    mail.fails = lambda letter: SendError("452 Mailbox full")
    tell(Audience(people=tuple(make_person(name).pk for name in ("ada", "bob", "eve"))), clock=clock)

    for tried in range(1, MAX_ATTEMPTS + 1):
        send(clock)
        clock.forward(timedelta(hours=1))
        assert (words(channel)[0] == "bad") == (tried == MAX_ATTEMPTS)


@pytest.mark.parametrize(("order", "tone"), [("rrrar", "warn"), ("arrr", "bad"), ("rrar", "warn"), ("rrra", "good")])
def test_only_what_comes_after_the_last_accepted_one_of_a_batch_counts(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, order: str, tone: str
) -> None:
    place, turns = FakeDriver(""), iter(order)
    monkeypatch.setitem(drivers._things, "place", place)
    room = make_channel("room", "place", Level.INFO)

    def fails(letter: Letter) -> Exception | None:
        clock.forward(timedelta(seconds=1))
        return SendError("403 Forbidden", permanent=True) if next(turns) == "r" else None

    place.fails = fails
    for _ in order:
        tell(Audience(operators=True), clock=clock, level=Level.INFO)
    send(clock)

    assert len(place.opened) <= 2, "one batch, or a second one when it failed in between"
    assert words(room)[0] == tone


def test_what_was_accepted_ends_what_another_worker_found_before_it(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = FakeDriver("")
    monkeypatch.setitem(drivers._things, "place", place)
    room = make_channel("room", "place", Level.INFO)

    def fails(letter: Letter) -> Exception | None:
        clock.forward(timedelta(seconds=1))
        if not place.sent:
            return None
        Channel.objects.update(failing_since=AT, last_error="403 Forbidden")  # by the other one
        return SendError("403 Forbidden", permanent=True)

    place.fails = fails
    for _ in range(2):
        tell(Audience(operators=True), clock=clock, level=Level.INFO)
    send(clock)

    assert [row.state for row in Delivery.objects.filter(channel=room).order_by("pk")] == ["sent", "dead"]
    assert words(room)[0] != "bad"


def test_test_messages_do_not_make_it_failing_but_one_that_is_accepted_ends_it(
    clock: Clock, receiver: Receiver, room: Channel
) -> None:
    receiver.answer = Answer(404)
    for _ in range(2 * REFUSALS):
        send_test(room, address="", by=BY, at=clock())
        send(clock)
        clock.forward(MINUTE)
    assert words(room) == ("warn", "Did not take the last message")
    assert Message.objects.filter(kind=BROKEN).count() == 0

    notice(clock, REFUSALS)
    assert words(room)[0] == "bad"
    receiver.answer = Answer(204)
    send_test(room, address="", by=BY, at=clock())
    send(clock)
    assert words(room) == ("good", "Works")


def test_a_letter_that_ended_its_workers_says_nothing_about_the_place(
    clock: Clock, receiver: Receiver, room: Channel
) -> None:
    receiver.answer = Answer(404)
    notice(clock, REFUSALS - 1)
    Delivery.objects.update(error=f"{DIED} (tried {MAX_ATTEMPTS} times)", attempt=MAX_ATTEMPTS)

    notice(clock)

    assert words(room) == ("warn", "Did not take the last message")


def test_the_page_the_list_the_api_and_the_first_page_say_so(
    clock: Clock,
    receiver: Receiver,
    room: Channel,
    sign_in: Callable[[str], Client],
    api: Callable[[str], APIClient],
) -> None:
    receiver.answer = Answer(404)
    notice(clock, REFUSALS)
    said = f"127.0.0.1:{receiver.port} answered 404 Not Found"
    operator = sign_in("operator")

    def shown(name: str, args: Sequence[object] = ()) -> str:
        return operator.get(reverse(name, args=args)).content.decode()

    page = shown("admin:notifications_channel_change", [room.pk])
    assert "It answers and takes no message: what is sent is given up." in page
    assert said in page
    listed = shown("admin:notifications_channel_changelist")
    assert "takes no message" in listed
    assert escape(said) in listed
    assert "Nobody is reached through Room" in shown("admin:index")
    assert said in shown("admin:notifications_route_changelist")

    [row] = api("admin").get("/api/system/notification-channels").json()["results"]
    assert row["health"].startswith("Failing since")
    assert row["health"].endswith("takes no message")
    assert (row["last_error"], row["failing_since"]) == (said, "2027-01-15T12:00:00Z")


def test_a_team_still_hears_by_mail_while_its_room_refuses(
    clock: Clock, receiver: Receiver, room: Channel, post_office: Channel, mail_server: MailServer
) -> None:
    room.routes.create(level=Level.WARNING.value)
    team = make_team("shop", make_person("ada"))
    receiver.answer = Answer(404)

    for _ in range(REFUSALS):
        tell(Audience(teams=(team.pk,)), clock=clock)
        while send(clock):
            clock.forward(MINUTE)

    assert words(room)[0] == "bad"
    notices = [mail for mail in mail_server.mails if "broken" not in str(mail["Subject"])]
    assert len(notices) == REFUSALS
