"""Makers and fakes for tests of maintenance: services, windows, a gate one can read, what people were told."""

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from catalogue import services as catalogue
from catalogue.gates import Answer, Question, Verdict
from catalogue.models import Person, Service, Team
from maintenance.models import Notice, Window
from maintenance.plans import GatePlan, Plan
from maintenance.rules import Type
from maintenance.services import running, scheduling
from notifications.models import Message
from sysops.access.actors import Actor
from sysops.events.models import Event
from sysops.kernel.clock import Clock

BY = Actor.user("ada", address="192.0.2.1")
NOW = datetime(2027, 1, 10, 12, tzinfo=UTC)
START = datetime(2027, 1, 15, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
_numbers = itertools.count(1)


class FakeGate:
    """Gives the answers it was given, the last one for ever; remembers what it was asked."""

    label = "Fake gate"
    settings_schema: Mapping[str, object] = {
        "type": "object",
        "properties": {"hours": {"type": "integer", "minimum": 1}},
        "additionalProperties": False,
    }

    def __init__(self) -> None:
        self.answers = [Answer(Verdict.OPEN, "Fine.", {"backup": 7})]
        self.fails: BaseException | None = None
        self.asked: list[Question] = []

    def says(self, *answers: tuple[Verdict, str]) -> None:
        self.answers = [Answer(verdict, reason) for verdict, reason in answers]

    def ask(self, question: Question) -> Answer:
        self.asked.append(question)
        if self.fails:
            raise self.fails
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def make_service(slug: str = "", *needs: Service, **values: object) -> Service:
    slug = slug or f"service-{next(_numbers)}"
    return catalogue.create(Service, {"slug": slug, "name": slug, "depends_on": needs, **values}, by=BY, at=NOW)


def make_team(slug: str, *people: str) -> Team:
    members = [catalogue.create(Person, {"slug": name, "name": name.title()}, by=BY, at=NOW) for name in people]
    return catalogue.create(Team, {"slug": slug, "name": slug.title(), "members": members}, by=BY, at=NOW)


def plan(
    *services: Service,
    start: datetime | None = START,
    hours: float = 2,
    title: str = "Upgrade",
    emergency: bool = False,
    gates: Sequence[GatePlan] = (),
    **others: object,
) -> Plan:
    return Plan(
        maintenance_type=Type.EMERGENCY if emergency else Type.PLANNED,
        title=title,
        description="",
        start=start,
        duration=timedelta(hours=hours),
        services=services,
        gates=gates,
        **others,  # type: ignore[arg-type]
    )


def make_window(*services: Service, at: datetime = NOW, **wanted: object) -> Window:
    given = services or (make_service(),)
    return scheduling.schedule(plan(*given, **wanted), by=BY, at=at)  # type: ignore[arg-type]


def make_running(*services: Service, at: datetime = START, **wanted: object) -> Window:
    window = make_window(*services, **wanted)  # type: ignore[arg-type]
    return running.start(window.pk, by=BY, at=clock(at))


def clock(at: datetime) -> Clock:
    return lambda: at


def told(window: Window) -> list[str]:
    """What was posted about the window, in order, by kind."""
    thread = f"window:{window.pk}"
    kinds = Message.objects.filter(thread=thread).order_by("pk").values_list("kind", flat=True)
    return [kind.removeprefix("maintenance.") for kind in kinds]


def message(window: Window, kind: str) -> Message:
    """The one message of this kind about the window."""
    return Message.objects.get(thread=f"window:{window.pk}", kind=f"maintenance.{kind}")


def waiting(window: Window) -> dict[str, datetime]:
    """What is to be told of the window later, and when."""
    rows = Notice.objects.filter(window=window, state="waiting")
    return {row.kind: row.due_at for row in rows}


def dropped(window: Window) -> dict[str, str]:
    """What is not told of the window, and why."""
    return {row.kind: row.reason for row in Notice.objects.filter(window=window, state="dropped")}


def events(window: Window) -> list[str]:
    """What was published about the window, in order."""
    rows = Event.objects.filter(name__startswith="maintenance.window.", subject=str(window.pk)).order_by("pk")
    return [name.removeprefix("maintenance.window.") for name in rows.values_list("name", flat=True)]


def state_of(service: Service) -> str:
    """How the service is now."""
    return str(Service.objects.values_list("state", flat=True).get(pk=service.pk))
