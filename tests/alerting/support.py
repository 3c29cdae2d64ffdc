"""A shop with an owner team, and short ways to say what happens to it."""

from datetime import UTC, datetime, timedelta

from alerting import services
from alerting.models import Alert
from alerting.rules import Ending
from catalogue.models import Service, Team
from catalogue.rules import State
from catalogue.services import create, set_state
from notifications.models import Message
from notifications.rules import Level
from sysops.access.actors import Actor
from sysops.events.models import Event

BY = Actor.system("test")
NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KEY = "backups.source:12"


def make_team(slug: str = "shop-team") -> Team:
    return create(Team, {"slug": slug, "name": slug.capitalize()}, by=BY, at=NOW)


def make_service(slug: str = "shop-db", *, owner: Team | None = None) -> Service:
    values = {"slug": slug, "name": slug.capitalize(), "owner_team": owner}
    return create(Service, values, by=BY, at=NOW)


def fire(
    service: Service | None = None,
    *,
    key: str = KEY,
    level: Level = Level.WARNING,
    title: str = "Backups of shop-db fail",
    detail: str = "",
    at: datetime = NOW,
) -> Alert:
    return services.fire(key=key, level=level, title=title, detail=detail, service=service, path="/admin/", at=at)


def resolve(
    *,
    key: str = KEY,
    detail: str = "A backup succeeded.",
    ending: Ending = Ending.OVER,
    at: datetime = NOW + 9 * MINUTE,
) -> bool:
    return services.resolve(key=key, detail=detail, ending=ending, at=at)


def release(at: datetime = NOW + 5 * MINUTE) -> int:
    return services.release_held(now=lambda: at)


def maintenance(service: Service, *, at: datetime = NOW, reason: str = "Window 12: new disks") -> None:
    set_state(service, State.MAINTENANCE, reason=reason, by=BY, at=at)


def back_to(service: Service, state: State = State.NORMAL, *, at: datetime = NOW) -> None:
    set_state(service, state, by=BY, at=at)


def told() -> list[tuple[str, str]]:
    """The kind and level of every message, in order."""
    return list(Message.objects.order_by("pk").values_list("kind", "level"))


def happened() -> list[str]:
    """What alerting published, in order."""
    names = Event.objects.filter(name__startswith="alerting.").order_by("pk").values_list("name", flat=True)
    return [name.removeprefix("alerting.alert.") for name in names]
