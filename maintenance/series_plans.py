"""What somebody wants of a series, what speaks against it, and the windows it makes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from catalogue.models import Service
from catalogue.rules import slug_problem
from maintenance import plans, recurrence, rules
from maintenance.models import Series
from maintenance.plans import GatePlan, Plan
from maintenance.recurrence import Occurrence
from maintenance.rules import Type
from sysops.kernel.words import utc_words

MADE_AHEAD = timedelta(days=60)
OLDEST_START = datetime(2000, 1, 1, tzinfo=UTC)
RESERVED = frozenset({"preview"})
_LOOKED_AT = 100  # occurrences held against each other


@dataclass(frozen=True)
class SeriesPlan:
    """A series as it is wanted. `duration` is by the wall clock."""

    slug: str
    title: str
    description: str
    rule: str
    first_start: datetime
    duration: timedelta
    services: Sequence[Service]
    time_zone: str = "UTC"
    starts_itself: bool = True
    completes_itself: bool = True
    maintenance_mode: bool = True
    gates: Sequence[GatePlan] = ()


FIELDS = frozenset(field.name for field in fields(SeriesPlan))
TIMES = frozenset({"rule", "first_start", "duration", "time_zone"})


def of(series: Series) -> SeriesPlan:
    """The plan that the series is now."""
    return SeriesPlan(
        slug=series.slug,
        title=series.title,
        description=series.description,
        rule=series.rule,
        first_start=series.first_start,
        duration=timedelta(seconds=series.duration_seconds),
        services=list(series.services.order_by("pk")),
        time_zone=series.time_zone,
        starts_itself=series.starts_itself,
        completes_itself=series.completes_itself,
        maintenance_mode=series.maintenance_mode,
        gates=[gate_plan(gate) for gate in series.gates],
    )


def gate_plan(stored: Mapping[str, object]) -> GatePlan:
    """A gate as Series.gates keeps it."""
    settings = stored.get("settings")
    return GatePlan(
        gate=str(stored["gate"]),
        settings=settings if isinstance(settings, dict) else {},
        prepare=bool(stored.get("prepare", False)),
    )


def stored_gate(plan: GatePlan) -> dict[str, object]:
    """A gate as Series.gates keeps it."""
    return {"gate": plan.gate, "settings": dict(plan.settings), "prepare": plan.prepare}


def window_plan(plan: SeriesPlan, occurrence: Occurrence) -> Plan:
    """The window of one occurrence: as long as the time between its ends really is."""
    return Plan(
        maintenance_type=Type.RECURRING,
        title=plan.title,
        description=plan.description,
        start=occurrence.start,
        duration=occurrence.end - occurrence.start,
        services=list(plan.services),
        time_zone=plan.time_zone,
        starts_itself=plan.starts_itself,
        completes_itself=plan.completes_itself,
        maintenance_mode=plan.maintenance_mode,
        gates=list(plan.gates),
    )


def occurrences(plan: SeriesPlan, *, after: datetime, before: datetime) -> list[Occurrence]:
    """Those that start from `after` on and before `before`."""
    return recurrence.occurrences(
        plan.rule,
        zone=plan.time_zone,
        first_start=plan.first_start,
        duration_seconds=int(plan.duration.total_seconds()),
        after=after,
        before=before,
    )


def coming(plan: SeriesPlan, *, after: datetime, most: int) -> list[Occurrence]:
    """The next ones, however far ahead, up to ten years."""
    return recurrence.next_occurrences(
        plan.rule,
        zone=plan.time_zone,
        first_start=plan.first_start,
        duration_seconds=int(plan.duration.total_seconds()),
        after=after,
        most=most,
    )


def zone_of(plan: SeriesPlan) -> ZoneInfo:
    """The zone whose wall clock the series goes by."""
    return ZoneInfo(plan.time_zone)


def normal(plan: SeriesPlan) -> SeriesPlan:
    """The plan, checked before, as it is stored: the rule in capitals, seconds whole, services in order."""
    return replace(
        plan,
        rule=recurrence.parse(plan.rule).text,
        first_start=plan.first_start.astimezone(UTC),
        duration=timedelta(seconds=int(plan.duration.total_seconds())),
        services=sorted(plan.services, key=lambda service: service.pk),
    )


def in_words(plan: SeriesPlan) -> str:
    """`every week on Tuesday, 03:00–05:00 (Europe/London)`."""
    wall = plan.first_start.astimezone(zone_of(plan)).replace(tzinfo=None)
    end = wall + plan.duration
    day = "" if end.date() == wall.date() else f" {(end.date() - wall.date()).days} d later"
    return f"{recurrence.words(plan.rule)}, {wall:%H:%M}–{end:%H:%M}{day} ({plan.time_zone})"


def problems(plan: SeriesPlan, *, at: datetime, old: SeriesPlan | None = None) -> dict[str, str]:
    """What is wrong with the plan, by the field of the API that says it; empty when nothing is."""
    found = plans.problems(_any_window(plan, at=at), at=at)
    found.pop("scheduled_start_time", None)
    if problem := slug_problem(plan.slug):
        found["slug"] = problem
    if plan.slug in RESERVED:
        found["slug"] = f"{plan.slug!r} is an address of the API; use another one."
    if problem := recurrence.check_rule(plan.rule):
        found["rule"] = problem
    if problem := _first_start_problem(plan.first_start, at=at):
        found["first_start_time"] = problem
    if plan.duration < recurrence.SHORTEST:
        found["estimated_duration_seconds"] = "An occurrence must last at least 60 seconds."
    if not {"rule", "first_start_time", "estimated_duration_seconds", "time_zone"} & set(found) and _times_differ(
        plan, old
    ):
        found.update(_times_problems(plan, at=at))
    return found


def times_problems(plan: SeriesPlan, *, at: datetime) -> dict[str, str]:
    """What is wrong with the times alone, for a preview."""
    names = {"rule", "time_zone", "first_start_time", "estimated_duration_seconds"}
    return {name: text for name, text in problems(plan, at=at).items() if name in names}


def _any_window(plan: SeriesPlan, *, at: datetime) -> Plan:
    soon = at + timedelta(days=1)
    return window_plan(plan, Occurrence(start=soon, end=soon + plan.duration, named=soon, note=""))


def _first_start_problem(first: datetime, *, at: datetime) -> str | None:
    if first.tzinfo is None:
        return "Say the time with its offset, such as 2027-01-12T03:00:00+00:00."
    if not OLDEST_START <= first <= at + rules.FARTHEST:
        return f"Use a time after {utc_words(OLDEST_START)}, and at most a hundred years ahead."
    return None


def _times_differ(plan: SeriesPlan, old: SeriesPlan | None) -> bool:
    return old is None or any(getattr(plan, name) != getattr(old, name) for name in TIMES)


def _times_problems(plan: SeriesPlan, *, at: datetime) -> dict[str, str]:
    ahead = coming(plan, after=at, most=_LOOKED_AT)
    if not ahead:
        return {"rule": "It names no day within ten years from now. Check COUNT, UNTIL, INTERVAL and the first start."}
    if problem := recurrence.overlap_problem(ahead):
        return {"estimated_duration_seconds": problem}
    return {}
