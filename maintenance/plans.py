"""What somebody wants of a window, before it is one, and what speaks against it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from catalogue.gates import gates
from catalogue.models import Service
from catalogue.rules import time_zone_problem
from maintenance import rules
from maintenance.models import Window
from maintenance.rules import Type
from sysops.kernel.registry import UnknownName


@dataclass(frozen=True)
class GatePlan:
    """A gate that is asked before the start, by the name it is registered under."""

    gate: str
    settings: Mapping[str, object] = field(default_factory=dict)
    prepare: bool = False


@dataclass(frozen=True)
class Plan:
    """A window as it is wanted. Without `start` an emergency begins now."""

    maintenance_type: Type
    title: str
    description: str
    start: datetime | None
    duration: timedelta
    services: Sequence[Service]
    time_zone: str = "UTC"
    starts_itself: bool = False
    completes_itself: bool = False
    maintenance_mode: bool = True
    gates: Sequence[GatePlan] = ()


FIELDS = frozenset(entry.name for entry in fields(Plan))


def of(window: Window) -> Plan:
    """The plan that the window is now."""
    direct = Service.objects.filter(windows__window=window, windows__direct=True).order_by("pk")
    return Plan(
        maintenance_type=Type(window.maintenance_type),
        title=window.title,
        description=window.description,
        start=window.scheduled_start,
        duration=timedelta(seconds=window.estimated_duration_seconds),
        services=list(direct),
        time_zone=window.time_zone,
        starts_itself=window.starts_itself,
        completes_itself=window.completes_itself,
        maintenance_mode=window.maintenance_mode,
        gates=[GatePlan(row.gate, row.settings, row.prepare) for row in window.gates.order_by("pk")],
    )


def problems(plan: Plan, *, at: datetime) -> dict[str, str]:
    """What is wrong with the plan, by the field of the API that says it; empty when nothing is."""
    found = {
        "title": rules.title_problem(plan.title),
        "description": rules.text_problem(plan.description, longest=rules.LONGEST_DESCRIPTION),
        "time_zone": time_zone_problem(plan.time_zone),
        "scheduled_start_time": rules.start_problem(plan.maintenance_type, plan.start, plan.duration, at=at),
        "estimated_duration_seconds": rules.duration_problem(plan.duration),
        "affected_services": _services_problem(plan.services),
        "gates": _gates_problem(plan.gates),
    }
    return {name: problem for name, problem in found.items() if problem}


def _services_problem(services: Sequence[Service]) -> str | None:
    if not services:
        return "Name at least one service that is worked on."
    named = Counter(service.slug for service in services)
    twice = sorted(slug for slug, times in named.items() if times > 1)
    return f"Name each service once: {', '.join(twice)} is there more than once." if twice else None


def _gates_problem(wanted: Sequence[GatePlan]) -> str | None:
    names = [plan.gate for plan in wanted]
    if len(set(names)) < len(names):
        return "Name each gate once."
    return next((problem for plan in wanted for problem in [_gate_problem(plan)] if problem), None)


def _gate_problem(plan: GatePlan) -> str | None:
    try:
        schema = gates.get(plan.gate).settings_schema
    except UnknownName as exc:
        return str(exc)
    wrong = best_match(Draft202012Validator(dict(schema)).iter_errors(dict(plan.settings)))
    if wrong is None:
        return None
    place = ".".join(str(step) for step in wrong.absolute_path) or "its settings"
    return f"{plan.gate}, {place}: {wrong.message}"
