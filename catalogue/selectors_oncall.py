"""Who is on call: the rows of teams, rotas and overrides, answered by `catalogue.rota`. Reads only."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Prefetch, QuerySet

from catalogue import rota
from catalogue.models import Membership, OnCallOverride, Person, Rota, Rotation, RotationTurn, Team

NO_SUCH_TEAM = "there is no such team"


@dataclass(frozen=True)
class OnCall:
    """Who is on call for a team, with their contact addresses at hand, and why, in words."""

    people: tuple[Person, ...]
    because: str


@dataclass(frozen=True)
class Shift:
    """The same people from `starts_at` until just before `ends_at`."""

    starts_at: datetime
    ends_at: datetime
    people: tuple[Person, ...]
    because: str


def on_call(teams: Collection[int], *, at: datetime) -> dict[int, OnCall]:
    """Who is on call for each of these teams at that moment. Every key asked for is answered; seven queries at most.

    Nobody only for a team that has neither members nor a lead, or is not there: `because` says so.
    """
    found: dict[int, OnCall] = dict.fromkeys(teams, OnCall((), NO_SUCH_TEAM))
    answers = {pk: rota.who(plan, at=at) for pk, plan in plans(teams, since=at, until=at).items()}
    known = _people({person for answer in answers.values() for person in answer.people})
    for pk, answer in answers.items():
        found[pk] = OnCall(tuple(known[person] for person in answer.people if person in known), answer.because)
    return found


def shifts(team: Team, *, start: datetime, end: datetime) -> list[Shift]:
    """Who is on call for the team from `start` to `end`, cut where that changes."""
    plan = plans([team.pk], since=start, until=end).get(team.pk, rota.Plan())
    segments = rota.timeline(plan, start=start, end=end)
    known = _people(rota.people_of(segments))
    return [
        Shift(part.starts_at, part.ends_at, tuple(known[pk] for pk in part.people if pk in known), part.because)
        for part in segments
    ]


def plans(teams: Collection[int], *, since: datetime, until: datetime) -> dict[int, rota.Plan]:
    """All that decides who is on call for these teams in that span. Five queries at most."""
    members: dict[int, list[int]] = {}
    for team, person in (
        Membership.objects.filter(team__in=teams).order_by("person__name", "pk").values_list("team_id", "person_id")
    ):
        members.setdefault(team, []).append(person)
    overrides: dict[int, list[rota.Override]] = {}
    for row in OnCallOverride.objects.filter(team__in=teams, ends_at__gt=since, starts_at__lte=until).order_by(
        "created_at", "pk"
    ):
        made = rota.Override(row.person_id, row.starts_at, row.ends_at, row.reason)
        overrides.setdefault(row.team_id, []).append(made)
    rotas = {row.team_id: row for row in rotas_with_turns().filter(team__in=teams)}
    leads: Mapping[int, int | None] = dict(Team.objects.filter(pk__in=teams).values_list("pk", "lead_id"))
    return {
        pk: rota.Plan(
            members=tuple(members.get(pk, ())),
            lead=lead,
            zone=rotas[pk].time_zone if pk in rotas else "UTC",
            rotations=rotations_of(rotas[pk]) if pk in rotas else (),
            overrides=tuple(overrides.get(pk, ())),
        )
        for pk, lead in leads.items()
    }


def rotas_with_turns() -> QuerySet[Rota]:
    """Every rota with its rotations and their people, in the order they are tried."""
    turns = Prefetch("turns", RotationTurn.objects.select_related("person").order_by("position", "pk"))
    rotations = Prefetch("rotations", Rotation.objects.prefetch_related(turns).order_by("position", "pk"))
    return Rota.objects.prefetch_related(rotations).order_by("team__name", "pk")


def rotations_of(row: Rota) -> tuple[rota.Rotation, ...]:
    """The rotations of a rota as its rules know them."""
    return tuple(
        rota.Rotation(
            name=rotation.name,
            members=tuple(turn.person_id for turn in rotation.turns.all()),
            starts_on=rotation.starts_on,
            handover_at=rotation.handover_at,
            turn_days=rotation.turn_days,
            daily_from=rotation.daily_from,
            daily_until=rotation.daily_until,
        )
        for rotation in row.rotations.all()
    )


def overrides_of(team: Team, *, after: datetime) -> Sequence[OnCallOverride]:
    """The overrides of a team that have not ended by then, soonest first."""
    return list(team.overrides.filter(ends_at__gt=after).select_related("person").order_by("starts_at", "pk"))


def _people(keys: Collection[int]) -> dict[int, Person]:
    return {row.pk: row for row in Person.objects.filter(pk__in=keys).prefetch_related("contacts")}
