"""A shop that has told people things for a while: channels in every state of health, messages, deliveries."""

from datetime import UTC, datetime, timedelta

from catalogue.models import Person, Service, Team
from catalogue.services import create
from notifications.models import Channel, Delivery, Message
from notifications.rules import DeliveryState, Level
from notifications.services.channels import set_routes
from sysops.access.actors import Actor

BY = Actor.user("tester")
HOSTILE = '<script>document.title = "owned"</script>'
WINDOW = {
    "window_id": 12,
    "title": "New disks for the shop's database",
    "services": ["Shop database"],
    "start_at": "2026-11-02T02:00:00+00:00",
    "end_at": "2026-11-02T04:00:00+00:00",
    "url": "/admin/maintenance/window/12/change/",
}


def make_channel(slug: str, *, driver: str = "email", **fields: object) -> Channel:
    values: dict[str, object] = {"name": slug.replace("-", " ").capitalize(), "driver": driver, **fields}
    return Channel.objects.create(slug=slug, **values)


def make_message(key: str, *, at: datetime, level: Level = Level.WARNING, **fields: object) -> Message:
    values: dict[str, object] = {
        "kind": "maintenance.scheduled",
        "thread": "window:12",
        "context": WINDOW,
        "audience": {"subscribers_of": [1]},
        "fanned_out_at": at,
        "recipients": 1,
        **fields,
    }
    return Message.objects.create(key=key, level=level.value, posted_at=at, **values)


def make_delivery(
    message: Message, channel: Channel, address: str, *, state: DeliveryState = DeliveryState.SENT, **fields: object
) -> Delivery:
    at = message.posted_at
    ended = state in (DeliveryState.SENT, DeliveryState.DEAD, DeliveryState.DROPPED)
    values: dict[str, object] = {
        "due_at": at,
        "attempt": 1,
        "sent_at": at if state is DeliveryState.SENT else None,
        "ended_at": at if ended else None,
        **fields,
    }
    return Delivery.objects.create(message=message, channel=channel, address=address, state=state.value, **values)


def furnish(*, now: datetime) -> None:
    """Everything a page of notifications can show."""
    team = create(Team, {"slug": "shop-team", "name": "Shop team"}, by=BY, at=now)
    create(Team, {"slug": "data-team", "name": "Data team"}, by=BY, at=now)
    create(Service, {"slug": "shop-db", "name": "Shop database", "owner_team": team}, by=BY, at=now)
    contacts = [("email", "ada@example.org"), ("sms", "+4930123456")]
    ada = create(
        Person,
        {"slug": "ada", "name": "Ada Lovelace", "time_zone": "Europe/London", "contacts": contacts},
        by=BY,
        at=now,
    )
    mail = make_channel("email", name="E-mail", last_sent_at=now - timedelta(minutes=2))
    room = make_channel(
        "ops-room", driver="webhook", name="Room of the operators",
        failing_since=now - timedelta(minutes=31), failures=9,
        resting_until=now + timedelta(minutes=4), told_broken_at=now - timedelta(minutes=29),
        last_error="Connection refused by chat.example.org:443",
    )  # fmt: skip
    make_channel("old-room", driver="webhook", name="Old room", enabled=False)
    set_routes(Level.CRITICAL, [mail, room], by=BY, at=now)
    set_routes(Level.WARNING, [mail], by=BY, at=now)
    set_routes(Level.INFO, [room], by=BY, at=now)
    set_routes(Level.WARNING, [room], team=team, by=BY, at=now)
    first = make_message("window:12:scheduled", at=now - timedelta(hours=3), recipients=4)
    make_delivery(first, mail, "ada@example.org", person=ada, name=ada.name, zone="Europe/London")
    make_delivery(first, mail, "someone@example.com", outside=True)
    dead = make_delivery(
        first, mail, "gone@example.org", name="Charles", state=DeliveryState.DEAD, attempt=1,
        error="550 5.1.1 gone@example.org: no such user",
    )  # fmt: skip
    make_delivery(first, room, "", state=DeliveryState.PENDING, attempt=2, error=room.last_error, fallback_of=dead)
    alert = make_message(
        "alert:7:raised", at=now - timedelta(minutes=5), level=Level.CRITICAL, kind="alert.raised", thread="alert:7",
        context={"title": f"Backups fail {HOSTILE}", "level": "critical", "raised_at": now.isoformat()},
    )  # fmt: skip
    make_delivery(alert, mail, "ada@example.org", person=ada, name=ada.name, state=DeliveryState.SENDING)
    make_delivery(
        alert, mail, "unreached:bob", name="Bob", state=DeliveryState.DEAD, attempt=0,
        error="Nobody knows how to reach Bob: none of their addresses in the catalogue (none) fits.",
    )  # fmt: skip
    late = make_message(
        "window:11:ahead", at=now - timedelta(days=2), kind="maintenance.ahead", thread="window:11",
        expired_because="The window was cancelled.", context={**WINDOW, "title": HOSTILE},
    )  # fmt: skip
    make_delivery(late, mail, "ada@example.org", state=DeliveryState.DROPPED, error="The window was cancelled.")
    make_message("window:13:started", at=now, kind="maintenance.started", fanned_out_at=None, recipients=None)


NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
