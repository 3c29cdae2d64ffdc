"""People to tell, a driver that remembers what it was handed, and a real mail server."""

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.db import transaction

from catalogue.models import ContactAddress, Membership, Person, Service, Subscription, Team
from catalogue.rules import SubscriptionState
from notifications.audience import Audience
from notifications.channels.base import Letter, Receipt
from notifications.models import Channel, Delivery, Message, Route
from notifications.rules import Level
from notifications.services import messages
from notifications.services.fan_out import fan_out
from notifications.services.sending import send_due
from sysops.access.actors import Actor

AT = datetime(2027, 1, 15, 12, tzinfo=UTC)
BY = Actor.user("ada")
WINDOW: Mapping[str, object] = {
    "window_id": 12,
    "title": "Upgrade",
    "start_at": "2027-01-16T02:00:00+00:00",
    "end_at": "2027-01-16T04:00:00+00:00",
    "maintenance_type": "planned",
    "services": ["Shop"],
    "url": "/admin/maintenance/window/12/change/",
}


class Clock:
    """A clock that stands still until it is set forward."""

    def __init__(self, at: datetime = AT) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def forward(self, by: timedelta) -> None:
        self.at += by


class FakeDriver:
    """Remembers what it was handed; fails when told to."""

    label = "Fake"
    settings_schema: Mapping[str, object] = {
        "type": "object",
        "properties": {"host": {"type": "string"}, "password": {"type": "string", "writeOnly": True}},
        "additionalProperties": False,
    }

    def __init__(self, reaches: str) -> None:
        self.reaches = reaches
        self.opened: list[Mapping[str, object]] = []
        self.sent: list[Letter] = []
        self.cannot_open: Exception | None = None
        self.fails: Callable[[Letter], Exception | None] = lambda letter: None

    @contextmanager
    def open(self, settings: Mapping[str, object]) -> Iterator["FakeDriver"]:
        self.opened.append(settings)
        if self.cannot_open:
            raise self.cannot_open
        yield self

    def send(self, letter: Letter) -> Receipt:
        if failure := self.fails(letter):
            raise failure
        self.sent.append(letter)
        return Receipt(f"accepted {len(self.sent)}")

    @property
    def told(self) -> list[str]:
        """Who was told, in order."""
        return [letter.to for letter in self.sent]


def make_channel(slug: str, driver: str, *levels: Level, team: Team | None = None, **fields: object) -> Channel:
    channel = Channel.objects.create(slug=slug, name=slug.capitalize(), driver=driver, **fields)
    for level in levels:
        Route.objects.create(level=level.value, channel=channel, team=team)
    return channel


def make_person(
    slug: str, *contacts: tuple[str, str], quiet: tuple[time, time] | None = None, **fields: object
) -> Person:
    person = Person.objects.create(slug=slug, name=slug.capitalize(), **fields)
    if quiet:
        person.quiet_from, person.quiet_until = quiet
        person.save()
    for position, (kind, address) in enumerate(contacts or [("email", f"{slug}@example.org")]):
        ContactAddress.objects.create(person=person, channel=kind, address=address, position=position)
    return person


def make_team(slug: str, *members: Person) -> Team:
    team = Team.objects.create(slug=slug, name=slug.capitalize())
    Membership.objects.bulk_create(Membership(team=team, person=person) for person in members)
    return team


def make_service(slug: str, team: Team | None = None) -> Service:
    return Service.objects.create(slug=slug, name=slug.capitalize(), owner_team=team)


def subscribe(
    service: Service, who: Person | str, state: SubscriptionState = SubscriptionState.CONFIRMED
) -> Subscription:
    person, email = (None, who) if isinstance(who, str) else (who, "")
    return Subscription.objects.create(service=service, person=person, email=email, state=state.value)


def post(
    audience: Audience,
    *,
    level: Level = Level.WARNING,
    at: datetime = AT,
    kind: str = "maintenance.scheduled",
    context: Mapping[str, object] = WINDOW,
    **more: object,
) -> Message:
    key = uuid.uuid4().hex
    with transaction.atomic():
        messages.post(key=key, kind=kind, level=level, context=context, audience=audience, at=at, **more)  # type: ignore[arg-type]
    return Message.objects.get(key=key)


def tell(audience: Audience, *, clock: Clock, **more: object) -> Message:
    """Post and fan out."""
    message = post(audience, at=clock(), **more)  # type: ignore[arg-type]
    fan_out(now=clock)
    message.refresh_from_db()
    return message


def send(clock: Clock) -> int:
    return send_due(now=clock, seconds=20)


def deliveries(message: Message | None = None) -> list[Delivery]:
    rows = Delivery.objects.select_related("channel", "person", "message").order_by("pk")
    return list(rows.filter(message=message) if message else rows)


def ways(message: Message) -> set[tuple[str, str]]:
    """Through what and to where a message goes."""
    return {(row.channel.slug, row.address) for row in deliveries(message)}


class MailServer:
    """A real SMTP server on the loopback. `on_mail` and `on_recipient` may answer for it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails: list[EmailMessage] = []
        self.on_mail: Callable[[EmailMessage], str] = lambda mail: "250 OK"
        self.on_recipient: Callable[[str], str] = lambda address: "250 OK"
        self._lock = threading.Lock()
        self._controller: Controller | None = None

    def start(self) -> None:
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, server_hostname="mail.test")
        self._controller.start()

    def stop(self) -> None:
        if self._controller:
            self._controller.stop()
            self._controller = None

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.on_recipient(address)
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        mail["X-Envelope-To"] = ", ".join(envelope.rcpt_tos)
        with self._lock:
            self.mails.append(mail)
        return self.on_mail(mail)

    @property
    def told(self) -> list[str]:
        return sorted(mail["X-Envelope-To"] for mail in self.mails)
