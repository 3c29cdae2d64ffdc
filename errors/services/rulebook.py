"""Rules and levels as people write them: how bad an issue is, how fast somebody must respond, and who gets it."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

from django.core.exceptions import ValidationError

from errors.models import AssignmentRule, SeverityLevel, SeverityRule
from errors.services import rows
from errors.services.rows import Overtaken
from errors.severity import conditions_problem
from sysops.access.actors import Actor

__all__ = ["Overtaken", "change", "create", "remove"]

R = TypeVar("R", SeverityRule, AssignmentRule)
L = TypeVar("L", SeverityRule, AssignmentRule, SeverityLevel)

LONGEST_SECONDS = 366 * 24 * 3600
_NAMES = {
    SeverityRule: "severity_rule",
    AssignmentRule: "assignment_rule",
    SeverityLevel: "severity_level",
}
_FIXED = {SeverityRule: "slug", SeverityLevel: "severity"}  # others refer to a row by it


def create(kind: type[R], values: Mapping[str, object], *, by: Actor, at: datetime) -> R:
    """A new rule. Raises ValidationError by field, Overtaken."""
    _refuse_wrong({"conditions": {}, **values} if kind is SeverityRule else values)
    with rows.one_change("the rules"):
        row = kind()
        rows.write(row, values)
        _tell("created", row, before=None, after=rows.facts(row), by=by, at=at)
    return row


def change(row: L, values: Mapping[str, object], *, by: Actor, at: datetime) -> L:
    """The row with these values; says nothing when nothing differs. Raises ValidationError by field, Overtaken.

    What was decided by it before stays as it was until the issue grows again.
    """
    _refuse_wrong(values)
    with rows.one_change(str(row)):
        kept = rows.fresh(row)
        fixed = _FIXED.get(type(row), "")
        if fixed in values and values[fixed] != getattr(kept, fixed):
            raise ValidationError({fixed: [f"The {fixed} cannot be changed: others refer to it. Make a new one."]})
        before = rows.facts(kept)
        rows.write(kept, values)
        after = rows.facts(kept)
        if after != before:
            _tell("changed", kept, before=before, after=after, by=by, at=at)
    return kept


def remove(row: SeverityRule | AssignmentRule, *, by: Actor, at: datetime) -> None:
    """Delete a rule; what it decided stays decided. Raises Overtaken."""
    with rows.one_change(str(row)):
        kept = rows.fresh(row)
        _tell("deleted", kept, before=rows.facts(kept), after=None, by=by, at=at)
        kept.delete()


def _refuse_wrong(values: Mapping[str, object]) -> None:
    if "conditions" in values and (problem := conditions_problem(values["conditions"])):
        raise ValidationError({"conditions": [problem]})
    seconds = values.get("respond_within_seconds")
    if isinstance(seconds, int) and seconds > LONGEST_SECONDS:
        raise ValidationError({"respond_within_seconds": [f"At most {LONGEST_SECONDS}, a year."]})


def _tell(
    what: str,
    row: SeverityRule | AssignmentRule | SeverityLevel,
    *,
    before: dict[str, object] | None,
    after: dict[str, object] | None,
    by: Actor,
    at: datetime,
) -> None:
    name = f"errors.{_NAMES[type(row)]}.{what}"
    # Everybody may read events, and a rule's name may say what its project is about.
    project = None if isinstance(row, SeverityLevel) else row.project
    about: rows.Facts = {} if project and project.restricted else {"name": str(row)}
    rows.tell(name, row, before=before, after=after, by=by, at=at, about=about)
