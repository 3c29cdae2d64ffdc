"""The whole catalogue as one document: read from JSON or YAML, and checked by path before anything is written.

Pure: no Django, no clock, no database. YAML is read as the JSON it stands for: no aliases, no tags, no times that
turn into numbers, so that a document means the same in both.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from graphlib import CycleError, TopologicalSorter
from typing import Never

from catalogue import rota, rules
from catalogue.rules import TIERS, Kind
from catalogue.yaml_text import from_yaml, to_yaml

LARGEST_BYTES = 4_000_000
LONGEST_LIST = 20_000
Values = dict[str, object]


class BadDocument(Exception):
    """What is wrong, by path: {"services[3].depends_on[0]": "there is no service 'x'"}."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        lines = [f"{path}: {text}" if path else text for path, text in problems.items()]
        more = f"\n… and {len(lines) - 20} more" if len(lines) > 20 else ""
        super().__init__("\n".join(lines[:20]) + more)


class Wrong(Exception):
    """One value is not what it should be; `at` is where below the field."""

    def __init__(self, text: str, at: str = "") -> None:
        super().__init__(text)
        self.at = at


@dataclass(frozen=True)
class Item:
    """One entry of the document: where it stands, what identifies it, and the values it names."""

    path: str
    key: tuple[str, ...]
    values: Values


Document = dict[str, list[Item]]


def read(raw: bytes, *, form: str) -> object:
    """The document as plain data. `form` is "json" or "yaml". Raises BadDocument."""
    if len(raw) > LARGEST_BYTES:
        raise BadDocument({"": f"A catalogue has at most {LARGEST_BYTES:,} bytes; this has {len(raw):,}."})
    try:
        text = raw.decode("utf-8-sig")
        return from_yaml(text) if form == "yaml" else json.loads(text, object_pairs_hook=_once, parse_constant=_no)
    except UnicodeDecodeError:
        raise BadDocument({"": "The file is not UTF-8."}) from None
    except RecursionError:
        raise BadDocument({"": "It is nested too deeply."}) from None
    except ValueError as exc:
        raise BadDocument({"": f"This is not {form.upper()}: {exc}"}) from None


def write(document: Mapping[str, object], *, form: str) -> str:
    """The document as text, ending in a line break."""
    return to_yaml(document) if form == "yaml" else json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def check(raw: object) -> Document:
    """The document's entries by list; a list that it does not name is not in the answer. Raises BadDocument.

    Everything that can be seen without the database is seen here, all of it at once.
    """
    if not isinstance(raw, dict):
        raise BadDocument({"": "A catalogue is a mapping of lists, such as {services: [{slug: shop, name: Shop}]}."})
    problems: dict[str, str] = {}
    for name in raw:
        if name not in FIELDS:
            problems[str(name)[:100]] = f"There is no such list. Known: {', '.join(FIELDS)}."
    found: Document = {}
    for name in FIELDS:
        if name in raw:
            found[name] = list(_items(name, raw[name], problems))
            _refuse_doubles(found[name], problems)
    if problems:
        raise BadDocument(problems)
    return found


def missing(document: Document, known: Mapping[str, set[str]]) -> dict[str, str]:
    """The problems with entries that refer to what is neither in the document nor `known` (keys by list)."""
    there = {name: {*known.get(name, ()), *(item.key[0] for item in document.get(name, ()))} for name in FIELDS}
    problems = {}
    for items in document.values():
        for item in items:
            for path, name, key in _references(item):
                if key not in there[name]:
                    problems[path] = f"there is no {NOUNS[name]} {key!r}"
    return problems


def cycles(document: Document, edges: Mapping[str, set[str]]) -> dict[str, str]:
    """The problem when depends-on, with `edges` for what the document leaves as it is, leads in a circle."""
    merged: dict[str, set[str]] = {service: set(needs) for service, needs in edges.items()}
    paths = {}
    for item in document.get("services", ()):
        if "depends_on" in item.values:
            needs = item.values["depends_on"]
            assert isinstance(needs, list)
            merged[item.key[0]], paths[item.key[0]] = set(needs), item.path
    try:
        TopologicalSorter({service: sorted(merged[service]) for service in sorted(merged)}).prepare()
    except CycleError as exc:
        cycle = list(reversed(exc.args[1]))
        first = next((n for n, slug in enumerate(cycle[:-1]) if slug in paths), 0)
        cycle = [*cycle[first:-1], *cycle[: first + 1]]
        words = rules.cycle_words(cycle)
        where = f"{paths[cycle[0]]}.depends_on" if cycle[0] in paths else "services"
        return {where: f"a service cannot depend on itself, but here it would: {words}"}
    return {}


def _items(name: str, raw: object, problems: dict[str, str]) -> Iterator[Item]:
    if not isinstance(raw, list):
        problems[name] = "Must be a list."
        return
    if len(raw) > LONGEST_LIST:
        problems[name] = f"A list has at most {LONGEST_LIST:,} entries; this has {len(raw):,}."
        return
    for n, entry in enumerate(raw):
        path = f"{name}[{n}]"
        values, wrong = _values(entry, FIELDS[name], path=path, required=KEYS[name])
        problems.update(wrong)
        if not wrong:
            yield Item(path, tuple(str(values[field]) for field in KEYS[name]), values)


def _values(
    raw: object, fields: Mapping[str, "Check"], *, path: str, required: tuple[str, ...]
) -> tuple[Values, dict[str, str]]:
    """The values of one mapping as they are kept, and what is wrong with it by path."""
    if not isinstance(raw, dict):
        return {}, {path: "Must be a mapping, such as {slug: shop, name: Shop}."}
    values: Values = {}
    problems = {f"{path}.{str(name)[:100]}": f"Unknown. Known: {', '.join(fields)}." for name in raw.keys() - fields}
    problems.update({f"{path}.{name}": "Must be given." for name in required if raw.get(name) is None})
    for name, value in raw.items():
        if name in fields and f"{path}.{name}" not in problems:
            try:
                values[name] = fields[name](value)
            except Wrong as exc:
                problems[f"{path}.{name}{exc.at}"] = str(exc)
    return values, problems


def _refuse_doubles(items: list[Item], problems: dict[str, str]) -> None:
    first: dict[tuple[str, ...], str] = {}
    for item in items:
        if item.key in first:
            problems[item.path] = f"{' '.join(item.key)!r} is there already, at {first[item.key]}."
        first.setdefault(item.key, item.path)


def _references(item: Item) -> Iterator[tuple[str, str, str]]:
    """The path, list and key of everything the item refers to."""
    for field, name in REFERENCES.items():
        value = item.values.get(field)
        if isinstance(value, str):
            yield f"{item.path}.{field}", name, value
        elif isinstance(value, list):
            for n, key in enumerate(value):
                yield f"{item.path}.{field}[{n}]", name, str(key)
    rotations = item.values.get("rotations")
    if isinstance(rotations, list):
        for r, rotation in enumerate(rotations):
            for n, key in enumerate(rotation["people"]):
                yield f"{item.path}.rotations[{r}].people[{n}]", "people", key


Check = Callable[[object], object]


def _text(longest: int, *, blank: bool = False) -> Check:
    def check(value: object) -> str:
        if not isinstance(value, str):
            raise Wrong("Must be text; put it in quotes.")
        if len(value) > longest:
            raise Wrong(f"Has at most {longest} characters.")
        if not blank and not value.strip():
            raise Wrong("Must not be empty.")
        if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
            raise Wrong("NUL and half characters cannot be stored.")
        return value

    return check


def _told(problem: Callable[[str], str | None], *, longest: int = 254) -> Check:
    """Text that a rule of the catalogue has an opinion on."""
    text = _text(longest)

    def check(value: object) -> object:
        found = text(value)
        if wrong := problem(str(found)):
            raise Wrong(wrong)
        return found

    return check


def _or_null(inner: Check) -> Check:
    return lambda value: None if value is None else inner(value)


def _list(inner: Check, *, longest: int = 1_000, doubles: bool = False) -> Check:
    def check(value: object) -> list[object]:
        if not isinstance(value, list):
            raise Wrong("Must be a list.")
        if len(value) > longest:
            raise Wrong(f"A list here has at most {longest:,} entries.")
        found = []
        for n, one in enumerate(value):
            try:
                found.append(inner(one))
            except Wrong as exc:
                raise Wrong(str(exc), f"[{n}]{exc.at}") from None
        for n, one in enumerate(found):
            if not doubles and one in found[:n]:
                raise Wrong("Is there already.", f"[{n}]")
        return found

    return check


def _mapping(fields: Mapping[str, Check], *, required: tuple[str, ...]) -> Check:
    def check(value: object) -> Values:
        values, problems = _values(value, fields, path="", required=required)
        for path, text in problems.items():
            raise Wrong(text, path)
        return values

    return check


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Wrong("Must be true or false.")
    return value


def _whole(low: int, high: int) -> Check:
    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Wrong(f"Must be a whole number from {low} to {high}.")
        return value

    return check


def _kind(value: object) -> str:
    if not isinstance(value, str) or value not in set(Kind):
        raise Wrong(f"Must be one of {', '.join(Kind)}.")
    return value


def _clock(value: object) -> time:
    try:
        found = time.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is not None:
        raise Wrong("Must be a time of day in quotes, such as '09:00'.")
    return found


def _day(value: object) -> date:
    try:
        found = date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None:
        raise Wrong("Must be a day in quotes, such as '2026-03-02'.")
    return found


def _contact(value: object) -> Values:
    found = _mapping({"channel": _text(16), "address": _text(254)}, required=("channel", "address"))(value)
    assert isinstance(found, dict)
    if wrong := rules.address_problem(found["channel"], found["address"]):
        raise Wrong(wrong, ".address")
    return found


_slug, _zone = _told(rules.slug_problem), _told(rules.time_zone_problem)
_name = _text(200)
_ROTATION: Mapping[str, Check] = {
    "name": _text(100),
    "starts_on": _day,
    "handover_at": _clock,
    "turn_days": _whole(1, rota.LONGEST_TURN_DAYS),
    "daily_from": _or_null(_clock),
    "daily_until": _or_null(_clock),
    "people": _list(_slug, longest=100, doubles=True),
}


def _rotation(value: object) -> Values:
    required = ("name", "starts_on", "handover_at", "people")
    found = _mapping(_ROTATION, required=required)(value)
    assert isinstance(found, dict)
    found = {"turn_days": 7, "daily_from": None, "daily_until": None, **found}
    for field, text in rota.rotation_problems(as_rotation(found, dict.fromkeys(found["people"], 0))).items():
        raise Wrong(text, f".{field}")
    return found


def as_rotation(values: Mapping[str, object], people: Mapping[str, int]) -> rota.Rotation:
    """A rotation of the document as the rules know it; `people` are the keys of their rows by slug."""
    slugs = values["people"]
    assert isinstance(slugs, list)
    rest = {name: value for name, value in values.items() if name != "people"}
    return rota.Rotation(members=tuple(people[slug] for slug in slugs), **rest)  # type: ignore[arg-type]


FIELDS: Mapping[str, Mapping[str, Check]] = {
    "environments": {"slug": _slug, "name": _name, "is_production": _flag},
    "hosts": {
        "name": _told(rules.host_name_problem),
        "environment": _or_null(_slug),
        "description": _text(2000, blank=True),
    },
    "people": {
        "slug": _slug,
        "name": _name,
        "time_zone": _zone,
        "quiet_from": _or_null(_clock),
        "quiet_until": _or_null(_clock),
        "contacts": _list(_contact, longest=50),
    },
    "teams": {"slug": _slug, "name": _name, "lead": _or_null(_slug), "members": _list(_slug)},
    "services": {
        "slug": _slug,
        "name": _name,
        "kind": _kind,
        "tier": _whole(min(TIERS), max(TIERS)),
        "owner_team": _or_null(_slug),
        "environment": _or_null(_slug),
        "depends_on": _list(_slug),
    },
    "subscriptions": {"service": _slug, "person": _slug},
    "rotas": {"team": _slug, "time_zone": _zone, "rotations": _list(_rotation, longest=20, doubles=True)},
}
# What identifies an entry; it must always be given.
KEYS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(FIELDS, ("slug",)),
    "hosts": ("name",),
    "subscriptions": ("service", "person"),
    "rotas": ("team",),
}
REFERENCES = {
    "environment": "environments",
    "lead": "people",
    "members": "people",
    "owner_team": "teams",
    "depends_on": "services",
    "service": "services",
    "person": "people",
    "team": "teams",
}
NOUNS = {
    "environments": "environment",
    "hosts": "host",
    "people": "person",
    "teams": "team",
    "services": "service",
    "subscriptions": "subscription",
    "rotas": "on-call rota",
}


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    doubled = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if doubled:
        raise ValueError(f"{doubled[0]!r} occurs twice in one mapping")
    return dict(pairs)


def _no(name: str) -> Never:
    raise ValueError(f"{name} is not a number")
