"""How bad an issue is, by rules that are data. Pure: no Django, no clock, no I/O.

A rule holds when all its conditions hold. Of those that hold the worst counts, of equal ones the first; when none
does, an issue is medium.
"""

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from errors.rules import SEVERITIES, Severity, worse

LEVELS = ("fatal", "error", "warning", "info", "debug")
WITHOUT_RULE = Severity.MEDIUM
MOST_PATTERNS = 50
LONGEST_PATTERN = 300
LONGEST_WINDOW_MINUTES = 24 * 60
_COMPARED = re.compile(r"\s*(>=|<=|>|<)\s*(-?\d{1,15}(?:\.\d{1,6})?)\s*")
_LISTS = ("level", "error_type", "message", "service")
_COUNTS = ("accounts_at_least", "events_at_least", "within_minutes")
NAMES = (*_LISTS, "tag", *_COUNTS)


@dataclass(frozen=True)
class Conditions:
    """What must hold, all of it; what is empty asks for nothing. Texts are patterns, without regard to case."""

    level: tuple[str, ...] = ()
    error_type: tuple[str, ...] = ()
    message: tuple[str, ...] = ()
    service: tuple[str, ...] = ()
    tag: tuple[tuple[str, tuple[str, ...]], ...] = ()
    accounts_at_least: int = 0
    events_at_least: int = 0
    within_minutes: int = 0  # of the events; 0: ever


class BadConditions(ValueError):
    """These conditions cannot be understood; the text says which, and what to write instead."""


@dataclass(frozen=True)
class Rule:
    """A severity rule as it is decided on; `pk` leads back to its row."""

    pk: int
    name: str
    severity: Severity
    conditions: Conditions
    project: int | None = None  # None: of every project


@dataclass(frozen=True)
class Look:
    """What an event looks like: alike events of a batch are judged once."""

    level: str
    error_type: str
    message: str
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Spread:
    """How far an issue reaches. `within(minutes, limit)` counts its events of late, up to the limit."""

    project: int
    service: str
    accounts: int
    events: int
    within: Callable[[int, int], int] = field(default=lambda minutes, limit: 0, repr=False)


@dataclass(frozen=True)
class Decision:
    """What the rules say, which of them, and why in words."""

    severity: Severity
    rule: int | None
    because: str


def decide(rules: Sequence[Rule], looks: Iterable[Look], spread: Spread) -> Decision:
    """The worst severity whose rule holds for one of these events. `rules` are in their order."""
    seen = list(dict.fromkeys(looks))
    for rule in by_weight(rules, project=spread.project):
        wanted = rule.conditions
        if _reaches(wanted, spread) and any(fits(wanted, look) for look in seen) and _often_enough(wanted, spread):
            return Decision(rule.severity, rule.pk, rule.name)
    return Decision(WITHOUT_RULE, None, "No rule holds")


def by_weight(rules: Iterable[Rule], *, project: int) -> list[Rule]:
    """The rules that concern a project, the worst first, otherwise in their order."""
    mine = [rule for rule in rules if rule.project in (None, project)]
    return sorted(mine, key=lambda rule: SEVERITIES.index(rule.severity))


def could_be_worse(rules: Iterable[Rule], severity: Severity, *, project: int) -> list[Rule]:
    """The rules that would make an issue of that severity worse."""
    return [rule for rule in rules if rule.project in (None, project) and worse(rule.severity, severity)]


def fits(wanted: Conditions, look: Look) -> bool:
    """Whether an event looks as the conditions say."""
    return (
        (not wanted.level or look.level in wanted.level)
        and _any(wanted.error_type, look.error_type)
        and _any(wanted.message, look.message)
        and all(
            any(name == key and any(_value_fits(pattern, value) for pattern in patterns) for name, value in look.tags)
            for key, patterns in wanted.tag
        )
    )


def _reaches(wanted: Conditions, spread: Spread) -> bool:
    if wanted.service and not _any(wanted.service, spread.service):
        return False
    return spread.accounts >= wanted.accounts_at_least and spread.events >= wanted.events_at_least


def _often_enough(wanted: Conditions, spread: Spread) -> bool:
    """Asked last: it costs a look at the events."""
    if not wanted.within_minutes or not wanted.events_at_least:
        return True
    return spread.within(wanted.within_minutes, wanted.events_at_least) >= wanted.events_at_least


def read(given: object) -> Conditions:
    """Conditions as they are stored, ready to be decided by. Raises BadConditions."""
    if not isinstance(given, Mapping):
        raise BadConditions('Must be an object, as {"level": ["fatal"]}.')
    unknown = sorted(str(name) for name in given if name not in NAMES)
    if unknown:
        raise BadConditions(f"Unknown: {', '.join(unknown)[:200]}. Use {', '.join(NAMES)}.")
    lists = {name: _patterns(name, given[name]) for name in _LISTS if name in given}
    if bad := [level for level in lists.get("level", ()) if level not in LEVELS]:
        raise BadConditions(f"level: there is no {bad[0][:50]!r}. Use {', '.join(LEVELS)}.")
    counts = {name: _count(name, given[name]) for name in _COUNTS if name in given}
    if counts.get("within_minutes") and not counts.get("events_at_least"):
        raise BadConditions("within_minutes: say how many events with events_at_least.")
    return Conditions(**lists, tag=_tags(given.get("tag", {})), **counts)  # type: ignore[arg-type]


def conditions_problem(conditions: object) -> str | None:
    """What is wrong with these conditions, in words; None when nothing is."""
    try:
        found = read(conditions)
    except BadConditions as exc:
        return str(exc)
    if found == Conditions():
        return f"Name at least one of {', '.join(NAMES)}: without any it would hold for every issue."
    return None


def _patterns(name: str, given: object) -> tuple[str, ...]:
    wanted = [given] if isinstance(given, str) else given
    if not isinstance(wanted, list) or not wanted or len(wanted) > MOST_PATTERNS:
        raise BadConditions(f'{name}: must be a text or a list of 1 to {MOST_PATTERNS} texts, as ["Timeout*"].')
    for pattern in wanted:
        if not isinstance(pattern, str) or not 0 < len(pattern) <= LONGEST_PATTERN:
            raise BadConditions(f"{name}: each must be a text of 1 to {LONGEST_PATTERN} characters.")
        if "\0" in pattern:
            raise BadConditions(f"{name}: must not contain a NUL character.")
        if pattern.count("*") > 10:
            raise BadConditions(f"{name}: at most ten * in {pattern[:50]!r}.")
    return tuple(pattern.lower() for pattern in wanted)


def _tags(given: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if not isinstance(given, Mapping) or len(given) > MOST_PATTERNS:
        raise BadConditions('tag: must be an object, as {"area": "payment"}; a value may be "> 50", too.')
    if any(not str(key) or "\0" in str(key) for key in given):
        raise BadConditions("tag: the name of a tag must not be empty or contain a NUL character.")
    return tuple((str(key), _patterns(f"tag {str(key)[:50]}", wanted)) for key, wanted in given.items())


def _count(name: str, given: object) -> int:
    most = LONGEST_WINDOW_MINUTES if name == "within_minutes" else 10**9
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= most:
        raise BadConditions(f"{name}: must be a whole number from 1 to {most}.")
    return given


def _any(patterns: tuple[str, ...], value: str) -> bool:
    return not patterns or any(_pattern(pattern).match(value) is not None for pattern in patterns)


def _value_fits(pattern: str, value: str) -> bool:
    compared = _COMPARED.fullmatch(pattern)
    if compared is None:
        return _pattern(pattern).match(value) is not None
    try:
        number, limit = float(value.strip().removesuffix("%")), float(compared[2])
    except ValueError:
        return False
    match compared[1]:
        case ">":
            return number > limit
        case ">=":
            return number >= limit
        case "<":
            return number < limit
        case _:
            return number <= limit


@lru_cache(maxsize=1_000)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern), re.I)
