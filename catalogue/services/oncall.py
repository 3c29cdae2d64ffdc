"""Who is on call: rotas set as a whole, and overrides; audited and published."""

from collections.abc import Sequence
from datetime import datetime

from django.core.exceptions import ValidationError

from catalogue import records, rota, rules
from catalogue.models import OnCallOverride, Person, Rota, Rotation, RotationTurn, Team
from catalogue.selectors_oncall import rotations_of
from catalogue.services.rows import create, locked, one_change, remove, tell
from sysops.access.actors import Actor

MOST_ROTATIONS = 20
MOST_TURNS = 100


class AlreadyOver(Exception):
    """The override has ended; it says what was, and stays."""


def set_rota(team: Team, *, time_zone: str, rotations: Sequence[rota.Rotation], by: Actor, at: datetime) -> Rota:
    """The team's rota with these rotations, tried in this order; their members are keys of people, in turn order.

    Writes and tells nothing when nothing differs. Raises ValidationError with keys such as `rotations.0.turn_days`.
    """
    refuse_bad_rota(time_zone, rotations)
    with one_change(f"the on-call rota of {team}"):
        locked(team)  # two who make the first rota of a team wait for each other here
        row, created = Rota.objects.select_related("team").get_or_create(
            team=team, defaults={"time_zone": time_zone, "created_at": at}
        )
        before = None if created else records.snapshot(row)
        if row.time_zone != time_zone:
            Rota.objects.filter(pk=row.pk).update(time_zone=time_zone)
            row.time_zone = time_zone
        if rotations_of(row) != tuple(rotations):
            write_rotations(row, rotations)
        after = records.snapshot(row)
        if after != before:
            tell("created" if created else "changed", row, before=before, after=after, by=by, at=at)
    return row


def remove_rota(team: Team, *, by: Actor, at: datetime) -> None:
    """The team has no rota from now on: the whole team is on call. Nothing when it has none."""
    row = Rota.objects.select_related("team").filter(team=team).first()
    if row is not None:
        remove(row, by=by, at=at)


def refuse_bad_rota(time_zone: str, rotations: Sequence[rota.Rotation]) -> None:
    """Nothing when this can be a rota. Raises ValidationError by field."""
    problems: dict[str, str] = {}
    if problem := rules.time_zone_problem(time_zone):
        problems["time_zone"] = problem
    if len(rotations) > MOST_ROTATIONS:
        problems["rotations"] = f"A rota has at most {MOST_ROTATIONS} rotations."
    for n, rotation in enumerate(rotations):
        found = rota.rotation_problems(rotation)
        if len(rotation.members) > MOST_TURNS:
            found["people"] = f"At most {MOST_TURNS} people take turns."
        problems.update({f"rotations.{n}.{field}": text for field, text in found.items()})
    if problems:
        raise ValidationError({field: [text] for field, text in problems.items()})


def write_rotations(row: Rota, rotations: Sequence[rota.Rotation]) -> None:
    """Replace the rotations of a rota, inside the caller's transaction; nothing is checked or told."""
    row.rotations.all().delete()
    made = Rotation.objects.bulk_create(
        Rotation(
            rota=row,
            position=position,
            name=rotation.name,
            starts_on=rotation.starts_on,
            handover_at=rotation.handover_at,
            turn_days=rotation.turn_days,
            daily_from=rotation.daily_from,
            daily_until=rotation.daily_until,
        )
        for position, rotation in enumerate(rotations)
    )
    RotationTurn.objects.bulk_create(
        RotationTurn(rotation=kept, person_id=person, position=position)
        for kept, rotation in zip(made, rotations, strict=True)
        for position, person in enumerate(rotation.members)
    )


def add_override(
    team: Team, *, person: Person, starts_at: datetime, ends_at: datetime, reason: str = "", by: Actor, at: datetime
) -> OnCallOverride:
    """`person` is on call for the team in that span, whatever the rota says; of two that overlap the later made wins.

    Raises ValidationError by field.
    """
    if ends_at <= at:
        raise ValidationError({"ends_at": ["This is in the past, where it would change nothing."]})
    values = {"team": team, "person": person, "starts_at": starts_at, "ends_at": ends_at, "reason": reason}
    return create(OnCallOverride, values, by=by, at=at)


def end_override(override: OnCallOverride, *, by: Actor, at: datetime) -> None:
    """The rota decides again from now on: one that has not begun is deleted, one that runs ends now.

    Raises AlreadyOver.
    """
    with one_change(records.called(override)):
        fresh = locked(override)
        if fresh.ends_at <= at:
            raise AlreadyOver(f"This override ended at {fresh.ends_at:%Y-%m-%d %H:%M} UTC already.")
        if fresh.starts_at >= at:
            remove(fresh, by=by, at=at)
            return
        before = records.snapshot(fresh)
        fresh.ends_at = at
        fresh.save(update_fields=["ends_at"])
        tell("changed", fresh, before=before, after=records.snapshot(fresh), by=by, at=at)
