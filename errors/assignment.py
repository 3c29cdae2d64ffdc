"""Who gets an issue, by rules that are data. Pure: no Django, no clock, no I/O."""

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Rule:
    """An assignment rule as it is decided on: to a person, or to whoever is on call for a team."""

    name: str
    person: int | None = None
    team: int | None = None
    project: int | None = None
    service: int | None = None
    path: str = ""
    tag_key: str = ""
    tag_value: str = ""


@dataclass(frozen=True)
class Subject:
    """What of an issue the rules look at. `paths` are the files of its in-app frames, the innermost first."""

    project: int
    service: int | None
    owner_team: int | None
    paths: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Choice:
    """Whom: a person, or who is on call for a team; and why, in words. Neither: nobody is responsible."""

    person: int | None
    team: int | None
    because: str


def choose(rules: Iterable[Rule], subject: Subject) -> Choice:
    """What the first rule says that fits; else the owner team's on-call person (SPEC E8). `rules` are in order."""
    for rule in rules:
        if fits(rule, subject):
            return Choice(rule.person, rule.team, f"Rule “{rule.name}”")
    if subject.owner_team is not None:
        return Choice(None, subject.owner_team, "On call for the owner team")
    return Choice(None, None, "No rule fits, and the project's service has no owner team")


def fits(rule: Rule, subject: Subject) -> bool:
    """Whether all that the rule names is so; it names as little as its author liked."""
    return (
        rule.project in (None, subject.project)
        and rule.service in (None, subject.service)
        and (not rule.path or any(path_fits(rule.path, path) for path in subject.paths))
        and (not rule.tag_key or any(_tag_fits(rule, key, value) for key, value in subject.tags))
    )


def path_fits(pattern: str, path: str) -> bool:
    """Whether a file lies where the pattern says: from the root of the path, or from any folder in it."""
    clean = path.replace("\\", "/")
    return any(_compiled(each).fullmatch(clean) is not None for each in (pattern, f"*/{pattern.lstrip('/')}"))


def _tag_fits(rule: Rule, key: str, value: str) -> bool:
    return key == rule.tag_key and (not rule.tag_value or _compiled(rule.tag_value).fullmatch(value) is not None)


@lru_cache(maxsize=1_000)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern), re.I)
