"""A stored event made ready to be read. Pure. Whatever lies where something else should lie is left out, not a fault.

Every text leaves here through `plain`; the templates escape it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from errors.looks import plain

MOST_TEXT = 20_000  # characters of one value
MOST_CRUMBS = 100
_TITLES = {"os": "Operating system", "gpu": "Graphics", "app": "Application"}
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Line:
    """A line of source; `here` is the one that ran."""

    number: int | None
    text: str
    here: bool = False


@dataclass(frozen=True)
class Frame:
    """One call, with the source around it and what its names held."""

    file: str
    function: str
    number: int | None
    in_app: bool
    lines: tuple[Line, ...]
    variables: Pairs
    open: bool = False

    @property
    def has_more(self) -> bool:
        return bool(self.lines or self.variables)


@dataclass(frozen=True)
class Run:
    """Calls that follow each other: one's own, or those of libraries, which are folded."""

    own: bool
    frames: tuple[Frame, ...]

    @property
    def words(self) -> str:
        return f"{len(self.frames)} call{'' if len(self.frames) == 1 else 's'} in libraries"


@dataclass(frozen=True)
class Thrown:
    """One exception of the chain, with its calls, the innermost first."""

    type: str
    value: str
    module: str
    handled: bool | None
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Crumb:
    """Something that happened before."""

    at: datetime | None
    category: str
    level: str
    message: str
    data: Pairs

    @property
    def tone(self) -> str:
        return {"error": "bad", "fatal": "bad", "critical": "bad", "warning": "warn"}.get(self.level, "off")


@dataclass(frozen=True)
class Section:
    """A part of the event that is names and values."""

    title: str
    icon: str
    rows: Pairs


@dataclass(frozen=True)
class Shown:
    """An event as its page shows it."""

    message: str
    thrown: tuple[Thrown, ...]  # the last one raised first, then its causes
    tags: Pairs
    request: Section | None
    user: Section | None
    crumbs: tuple[Crumb, ...]  # the latest first
    crumbs_more: int
    sections: tuple[Section, ...]
    notes: tuple[str, ...]
    stack_text: str = ""  # of a script that reports it as text
    server: str = ""
    transaction: str = ""
    logger: str = ""
    sdk: str = ""
    packages: Pairs = field(default=(), repr=False)


def shown(event: Mapping[str, object]) -> Shown:
    """Everything of an event that is worth reading."""
    crumbs = [_crumb(one) for one in _values(event.get("breadcrumbs")) if isinstance(one, Mapping)]
    sdk = _mapping(event.get("sdk"))
    return Shown(
        message=_message(event),
        thrown=_thrown(event),
        tags=_tags(event.get("tags")),
        request=_request(_mapping(event.get("request"))),
        user=_section("Account", "person", _mapping(event.get("user"))),
        crumbs=tuple(reversed(crumbs[-MOST_CRUMBS:])),
        crumbs_more=max(0, len(crumbs) - MOST_CRUMBS),
        sections=tuple(_sections(event)),
        notes=tuple(_value(note) for note in _values(event.get("notes"))),
        stack_text=_text(event.get("stack_trace")),
        server=_text(event.get("server_name")),
        transaction=_text(event.get("transaction")),
        logger=_text(event.get("logger")),
        sdk=f"{_text(sdk.get('name'))} {_text(sdk.get('version'))}".strip(),
        packages=_pairs(_mapping(event.get("modules"))),
    )


def _message(event: Mapping[str, object]) -> str:
    entry = event.get("logentry") or event.get("message")
    if isinstance(entry, Mapping):
        return _text(entry.get("formatted") or entry.get("message"))
    return _text(entry)


def _thrown(event: Mapping[str, object]) -> tuple[Thrown, ...]:
    """The exceptions; of an event without any, the calls it carries by themselves or of the thread that crashed."""
    values = event.get("exceptions") if "exceptions" in event else event.get("exception")
    found = [one for one in _values(values) if isinstance(one, Mapping)]
    if found:
        nobody = not any(_own(one) for one in found)
        return tuple(_exception(one, nobody=nobody) for one in reversed(found))
    threads = [one for one in _values(event.get("threads")) if isinstance(one, Mapping)]
    threads.sort(key=lambda one: not (one.get("crashed") or one.get("current")))
    for holder in (event, *threads):
        trace = _mapping(holder.get("stacktrace"))
        if runs := _runs(trace, nobody=not _own({"stacktrace": trace})):
            return (Thrown("", "", "", None, runs),)
    return ()


def _own(one: Mapping[str, object]) -> bool:
    """Whether any of its calls is one's own."""
    frames = _values((_mapping(one.get("stacktrace")) or one).get("frames"))
    return any(isinstance(frame, Mapping) and frame.get("in_app") for frame in frames)


def _exception(one: Mapping[str, object], *, nobody: bool) -> Thrown:
    handled = _mapping(one.get("mechanism")).get("handled")
    return Thrown(
        type=_text(one.get("type")) or "Error",
        value=_text(one.get("value")),
        module=_text(one.get("module")),
        handled=handled if isinstance(handled, bool) else None,
        runs=_runs(_mapping(one.get("stacktrace")) or one, nobody=nobody),
    )


def _runs(trace: Mapping[str, object], *, nobody: bool) -> tuple[Run, ...]:
    """The calls, the innermost first; one's own stand open where it broke, those of libraries are put together.

    `nobody`: no call of the whole event is one's own, so that all are shown as if they were.
    """
    raw = [one for one in _values(trace.get("frames")) if isinstance(one, Mapping)][::-1]
    runs: list[tuple[bool, list[Frame]]] = []
    opened = False
    for one in raw:
        own = bool(one.get("in_app")) or nobody
        frame = _frame(one, opened=own and not opened)
        opened = opened or own
        if not runs or runs[-1][0] != own:
            runs.append((own, []))
        runs[-1][1].append(frame)
    return tuple(Run(own, tuple(frames)) for own, frames in runs)


def _frame(one: Mapping[str, object], *, opened: bool) -> Frame:
    number = _number(one.get("lineno"))
    return Frame(
        file=_text(one.get("filename") or one.get("abs_path") or one.get("module")) or "unknown file",
        function=_text(one.get("function")),
        number=number,
        in_app=bool(one.get("in_app")),
        lines=_lines(one, number),
        variables=_pairs(_mapping(one.get("vars"))),
        open=opened,
    )


def _lines(one: Mapping[str, object], number: int | None) -> tuple[Line, ...]:
    here = one.get("context_line")
    if not isinstance(here, str):
        return ()
    before, after = _values(one.get("pre_context")), _values(one.get("post_context"))
    first = number - len(before) if number is not None else None
    rows = [*before, here, *after]
    return tuple(
        Line(first + i if first is not None else None, plain(row if isinstance(row, str) else ""), i == len(before))
        for i, row in enumerate(rows)
    )


def _crumb(one: Mapping[str, object]) -> Crumb:
    return Crumb(
        at=_moment(one.get("timestamp")),
        category=_text(one.get("category") or one.get("type")),
        level=_text(one.get("level")) or "info",
        message=_text(one.get("message")),
        data=_pairs(_mapping(one.get("data"))),
    )


def _request(given: Mapping[str, object]) -> Section | None:
    """Method and address first, then the rest; headers by their names."""
    if not given:
        return None
    method, url = _text(given.get("method")), _text(given.get("url"))
    rows = [("Request", f"{method} {url}".strip())] if method or url else []
    headers = given.get("headers")
    rows += [(f"Header {name}", value) for name, value in _tags(headers)]
    rest = {name: value for name, value in given.items() if name not in ("method", "url", "headers")}
    return Section("Request", "http", (*rows, *_pairs(rest)))


def _sections(event: Mapping[str, object]) -> Iterator[Section]:
    for name, value in _mapping(event.get("contexts")).items():
        found = {key: inner for key, inner in _mapping(value).items() if key != "type"}
        if section := _section(_title(name), "category", found):
            yield section
    if section := _section("Extra", "data_object", _mapping(event.get("extra"))):
        yield section


def _section(title: str, icon: str, given: Mapping[str, object]) -> Section | None:
    rows = _pairs(given)
    return Section(title, icon, rows) if rows else None


def _title(name: str) -> str:
    if name in _TITLES:
        return _TITLES[name]
    return plain(name).replace("_", " ").capitalize()


def _pairs(given: Mapping[str, object]) -> Pairs:
    return tuple((plain(name), _value(value)) for name, value in given.items() if value not in (None, "", [], {}))


def _tags(given: object) -> Pairs:
    """Names and values that came as an object or as a list of pairs."""
    if isinstance(given, Mapping):
        return _pairs(given)
    pairs = [one for one in _values(given) if isinstance(one, Sequence) and not isinstance(one, str) and len(one) == 2]
    return tuple((_value(name), _value(value)) for name, value in pairs)


def _value(value: object) -> str:
    """A value as text: structures as JSON that can be read."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, Mapping | list | tuple):
        return _text(json.dumps(value, indent=2, ensure_ascii=False, default=str))
    return _text(str(value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        return "" if value is None or isinstance(value, Mapping | list) else plain(value)
    return plain(value if len(value) <= MOST_TEXT else f"{value[:MOST_TEXT]}… ({len(value):,} characters in all)")


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None


def _moment(value: object) -> datetime | None:
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value)
            return found if found.tzinfo else found.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _values(value: object) -> list[object]:
    """A list that may be wrapped as {"values": […]}."""
    inner = value.get("values") if isinstance(value, Mapping) else value
    return list(inner) if isinstance(inner, list | tuple) else []
