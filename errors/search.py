"""What people type into the search box of issues, understood. Pure: no Django, no clock, no I/O.

payment timeout                      both words, in type, message or place
"could not connect"                  this text
severity:critical,high is:open       names with a meaning of their own (NAMES)
area:payment  url:*checkout*         everything else is a tag
time*out      url:*checkout*         * stands for any text, except within quotes
!browser:Firefox                     not so
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from errors.rules import Severity, Status

LONGEST = 1_000  # characters
MOST_TERMS = 20
TAG = "tag."  # tag.type:x is the tag `type`, which else would mean the type of the error

FLAGS = ("open", *(status.value for status in Status), "assigned", "unassigned", "breached", "regressed")
_LEVELS = ("fatal", "error", "warning", "info", "debug")
_ONE_OF: dict[str, tuple[str, ...]] = {
    "is": FLAGS,
    "status": tuple(status.value for status in Status),
    "severity": tuple(severity.value for severity in Severity),
    "level": _LEVELS,
}
_COUNTS = ("events", "accounts")
_AGES = ("age", "seen")
_PATTERNS = ("type", "message", "culprit", "platform", "service", "project", "assignee", "release", "environment")
NAMES = (*_ONE_OF, *_COUNTS, *_AGES, *_PATTERNS, "event", "has")

# A name must touch its value; `https://…`, `std::io` and `C:\` are text.
_TERM = re.compile(
    r'(?P<no>!?)(?:(?P<key>[A-Za-z_][\w.\-]{0,63}):(?=\S)(?!//|:|\\))?(?:"(?P<quoted>(?:[^"\\]|\\.)*)"(?!\S)|(?P<plain>\S+))'
)
_COUNT = re.compile(r"(>=|<=|>|<)?([0-9]{1,12})")
_AGE = re.compile(r"([<>])([0-9]{1,5})(m|h|d|w)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class BadQuery(Exception):
    """The search cannot be meant; the text says why and what can."""


@dataclass(frozen=True)
class Term:
    """One condition. `key` is "" for free text; `literal`: an asterisk is an asterisk."""

    key: str
    value: str
    negated: bool = False
    literal: bool = False

    @property
    def is_tag(self) -> bool:
        return self.key != "" and self.key not in NAMES

    @property
    def tag(self) -> str:
        """The tag's key."""
        return self.key.removeprefix(TAG)

    @property
    def values(self) -> tuple[str, ...]:
        """Of a name with a fixed set of values: any of these."""
        return tuple(self.value.lower().split(","))

    @property
    def pattern(self) -> str | None:
        """A regular expression for the whole value when it has wildcards; None: exactly the value."""
        if self.literal or "*" not in self.value:
            return None
        return "^" + ".*".join(re.escape(piece) for piece in re.split(r"\*+", self.value)) + "$"

    @property
    def part(self) -> str | None:
        """A regular expression for a part of a text, in small letters, when it has wildcards; None: exactly this."""
        pieces = [piece for piece in self.value.lower().split("*") if piece]
        if self.literal or not pieces or "*" not in self.value:
            return None
        return ".*".join(re.escape(piece) for piece in pieces)


@dataclass(frozen=True)
class Query:
    """All of its terms must hold."""

    terms: tuple[Term, ...] = ()


def parse(text: str) -> Query:
    """The search as conditions. Raises BadQuery."""
    if len(text) > LONGEST:
        raise BadQuery(f"Is {len(text)} characters long; at most {LONGEST:,} are searched for.")
    if "\0" in text:
        raise BadQuery("Must not contain a NUL character.")
    terms = [term for found in _TERM.finditer(text) if (term := _term(found)).value]
    if len(terms) > MOST_TERMS:
        raise BadQuery(f"Has {len(terms)} conditions; at most {MOST_TERMS} are searched for.")
    for term in terms:
        _check(term)
    return Query(tuple(terms))


def comparison(value: str) -> tuple[str, int]:
    """`>=100` as ("gte", 100); a plain number means exactly. Raises BadQuery."""
    found = _COUNT.fullmatch(value)
    if found is None:
        raise BadQuery(f"{value!r} is no count. Write >100, >=100, <100 or 100.")
    names = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte", None: "exact"}
    return names[found[1]], int(found[2])


def age(value: str) -> tuple[str, timedelta]:
    """`<24h` as ("<", 24 hours). Raises BadQuery."""
    found = _AGE.fullmatch(value)
    if found is None:
        raise BadQuery(f"{value!r} is no span. Write <30m, <24h, >7d or >4w.")
    return found[1], timedelta(**{_UNITS[found[3]]: int(found[2])})


def event_id(value: str) -> UUID | None:
    """The id of an event, with or without hyphens; None for anything else."""
    if not re.fullmatch(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value):
        return None
    return UUID(value)


def _term(found: re.Match[str]) -> Term:
    quoted = found["quoted"]
    value = found["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    key = found["key"] or ""
    return Term(
        key.lower() if key.lower() in NAMES else key,
        value,
        negated=bool(found["no"]),
        literal=quoted is not None,
    )


def _check(term: Term) -> None:
    """Refuse what can never be meant: a status that does not exist, a count that is none."""
    name, colon, rest = term.value.lower().partition(":")
    if not (term.key or term.literal or rest) and colon and name in _ONE_OF:
        known = _ONE_OF[name]
        raise BadQuery(
            f"{name}: names nothing. Write {name}:{known[0]} without a blank (known: {', '.join(known)}), "
            f'or "{name}:" in quotes to look for this text.'
        )
    if term.key in _ONE_OF:
        known = _ONE_OF[term.key]
        if unknown := [value for value in term.values if value not in known]:
            raise BadQuery(f"There is no {term.key}:{unknown[0]}. Known: {', '.join(known)}.")
    readers: dict[str, Callable[[str], object]] = {
        **dict.fromkeys(_COUNTS, comparison),
        **dict.fromkeys(_AGES, age),
    }
    if term.key in readers:
        readers[term.key](term.value)
    if term.key == "event" and event_id(term.value) is None:
        raise BadQuery(f"{term.value!r} is no event id; one has 32 hexadecimal digits.")
