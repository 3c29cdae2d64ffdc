"""Which release comes after which, and which of them brings a resolved issue back. Pure: no Django, no clock, no I/O.

Two versions of one package are ordered as versions ("shop@1.9.2" is older than "shop@1.10.0"); whatever is no version,
as commit hashes are, by when it was first seen.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cmp_to_key, lru_cache

Part = tuple[int, int, str]  # numbers before words, as semver says
_VERSION = re.compile(
    r"(?:(?P<package>.+)@)?v?(?P<numbers>\d{1,10}(?:\.\d{1,10}){0,5})"
    r"(?:[-._]?(?P<suffix>[0-9a-z][0-9a-z.\-_]*))?(?:\+(?P<build>.+))?",
    re.I,
)
_RUNS = re.compile(r"\d+|[a-z]+", re.I)
_WORDS = {"a": "alpha", "b": "beta", "c": "rc", "pre": "rc", "preview": "rc", "dev": ""}
_AFTER = ("post", "rev", "r", "sp", "patch", "hotfix")  # what follows its release instead of leading to it
_DESCRIBED = re.compile(r"\d+-g[0-9a-f]{4,40}(-dirty)?", re.I)  # "1.2.3-45-gabc1234" is 45 commits after 1.2.3
_LONGEST = 250


@dataclass(frozen=True)
class Seen:
    """A release, and when its first event came; None: never yet."""

    version: str
    first_seen: datetime | None


@dataclass(frozen=True)
class Version:
    """What of a release's name can be ordered."""

    package: str
    numbers: tuple[int, ...]
    stage: int  # -1 before its release, 0 the release, 1 after it
    suffix: tuple[Part, ...]
    build: int | None

    @property
    def key(self) -> tuple[tuple[int, ...], int, tuple[Part, ...]]:
        return self.numbers, self.stage, self.suffix


@dataclass(frozen=True)
class Resolved:
    """How an issue was resolved: in a release, in the one after it, or ("" as release) just so."""

    at: datetime
    release: str = ""
    in_next: bool = False


@lru_cache(maxsize=4_096)
def parse(release: str) -> Version | None:
    """The release as a version (semver, calver, "package@1.2.3+build"), or None for what is none."""
    found = _VERSION.fullmatch(release[:_LONGEST].strip())
    if not found or not _is_version(found["numbers"], found["suffix"] or ""):
        return None
    numbers = [int(number) for number in found["numbers"].split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    suffix = [run.lower() for run in _RUNS.findall(found["suffix"] or "")]
    follows = suffix[:1] and (suffix[0] in _AFTER or _DESCRIBED.fullmatch(found["suffix"]))
    stage = 0 if not suffix else 1 if follows else -1
    build = found["build"] or ""
    return Version(
        package=(found["package"] or "").lower(),
        numbers=tuple(numbers),
        stage=stage,
        suffix=tuple(_part(run) for run in suffix),
        build=int(build) if build.isascii() and build.isdigit() and len(build) <= 18 else None,
    )


def order(one: Seen, other: Seen) -> int:
    """Below 0 when `one` is older, above when it is newer, 0 when they are the same release."""
    if one.version == other.version:
        return 0
    by_version = _by_version(parse(one.version), parse(other.version))
    if by_version:
        return by_version
    if one.first_seen != other.first_seen:
        if one.first_seen is None or other.first_seen is None:
            return 1 if one.first_seen is None else -1
        return 1 if one.first_seen > other.first_seen else -1
    return 1 if one.version > other.version else -1


def newest(seen: Iterable[Seen]) -> Seen | None:
    """The newest of these releases."""
    return max(seen, key=cmp_to_key(order), default=None)


def package(release: str) -> str:
    """What it is a release of, "" when it does not say."""
    return release.rpartition("@")[0].lower()


def related(one: str, other: str) -> bool:
    """Whether two releases may be of the same thing; of two packages neither makes the other old."""
    return package(one) == package(other) or not package(one) or not package(other)


class History:
    """The releases of a project, ordered once for however many questions."""

    def __init__(self, seen: Iterable[Seen]) -> None:
        self._by_version = {each.version: each for each in seen if each.version}
        self._sorted: dict[str, list[Seen]] = {}

    def find(self, version: str) -> Seen:
        """This release, which may be one that was never seen."""
        return self._by_version.get(version) or Seen(version, None)

    def newest_at(self, at: datetime, *, like: str) -> Seen | None:
        """The newest of those that had been seen by then and may be of the same thing as `like`."""
        return next((each for each in self._newest_first(like) if each.first_seen and each.first_seen <= at), None)

    def _newest_first(self, like: str) -> list[Seen]:
        of = package(like)
        if of not in self._sorted:
            mine = [each for each in self._by_version.values() if related(each.version, like)]
            self._sorted[of] = sorted(mine, key=cmp_to_key(order), reverse=True)
        return self._sorted[of]


def brings_back(resolved: Resolved, *, release: str, occurred_at: datetime, history: History) -> bool:
    """Whether an event of `release` ("": it names none) means that the issue is back.

    A later release than the one that holds the fix always does, that release itself when the event occurred after the
    issue was resolved, an older one never: somebody still runs it. After a plain "resolved" the fix is taken to be in
    the newest release of the same package that had been seen by then.
    """
    after = occurred_at > resolved.at
    fixed = history.find(resolved.release) if resolved.release else history.newest_at(resolved.at, like=release)
    if fixed is None:
        return after
    if not release:
        return after and not resolved.in_next
    found = order(history.find(release), fixed)
    return found > 0 or (found == 0 and after and not resolved.in_next)


def _is_version(numbers: str, suffix: str) -> bool:
    """A hash may begin with digits ("7e3f0c1"), and a commit's may have nothing else."""
    if "." in numbers:
        return True
    return not suffix and (len(numbers) <= 6 or (len(numbers) == 8 and numbers[:2] in ("19", "20")))


def _part(run: str) -> Part:
    return (0, int(run), "") if run.isdigit() else (1, 0, _WORDS.get(run, run))


def _by_version(one: Version | None, other: Version | None) -> int:
    if one is None or other is None or one.package != other.package:
        return 0
    if one.key != other.key:
        return 1 if one.key > other.key else -1
    if one.build is None or other.build is None or one.build == other.build:
        return 0
    return 1 if one.build > other.build else -1
