"""Whom new issues go to: the assignment rules and the on-call rota, answered for a whole batch at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from catalogue.models import Person
from catalogue.selectors_oncall import on_call
from errors.assignment import Subject, choose
from errors.services.policy import assignment_rules


@dataclass(frozen=True)
class Assigned:
    """Who gets an issue, None for nobody; and why, in words."""

    person: Person | None
    because: str


def whom(subjects: Mapping[int, Subject], *, at: datetime) -> dict[int, Assigned]:
    """Who gets each of these issues. At most nine queries, however many there are."""
    rules = assignment_rules()
    choices = {pk: choose(rules, subject) for pk, subject in subjects.items()}
    teams = {choice.team for choice in choices.values() if choice.team is not None}
    named = {choice.person for choice in choices.values() if choice.person is not None}
    duty = on_call(teams, at=at) if teams else {}
    people = Person.objects.in_bulk(named) if named else {}
    found = {}
    for pk, choice in choices.items():
        if choice.person is not None:
            found[pk] = Assigned(people.get(choice.person), choice.because[:300])
        elif choice.team is not None:
            first = next(iter(duty[choice.team].people), None)
            found[pk] = Assigned(first, f"{choice.because}: {duty[choice.team].because}"[:300])
        else:
            found[pk] = Assigned(None, choice.because)
    return found
