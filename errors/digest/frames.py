"""Exceptions, threads and their stack traces as the protocol's many dialects write them, made one. Pure."""

import re
from collections.abc import Mapping

from errors.digest import bounds
from errors.digest.walk import Walker

Frame = dict[str, object]

_TEXTS = {
    "function": 512, "raw_function": 512, "module": 512, "filename": 512, "abs_path": 1_024, "package": 512,
    "platform": 32, "symbol": 512, "instruction_addr": 64, "symbol_addr": 64, "image_addr": 64, "addr_mode": 32,
    "context_line": bounds.LINE,
}  # fmt: skip
_CONTAINERS = (dict, list)
_NUMBERS = frozenset({"lineno", "colno"})
_LISTS = frozenset({"pre_context", "post_context"})
_LIBRARY = re.compile(
    r"site-packages|dist-packages|node_modules|/vendor/|/gems/|^node:|^internal/|/usr/lib|^<frozen|[/\\]lib[/\\]python\d"
)


def values(given: object) -> list[object]:
    """The entries of what the protocol writes as {"values": […]}, as a list, or as one object."""
    if isinstance(given, dict) and "values" in given:
        given = given["values"]
    if isinstance(given, list):
        return [entry for entry in given if entry]
    return [given] if isinstance(given, dict | str) and given else []


def exceptions(walker: Walker, given: object) -> list[dict[str, object]]:
    """The chain of exceptions, the cause first. What cannot be one is left out."""
    entries = values(given)
    if len(entries) > bounds.EXCEPTIONS:
        walker.note(f"of chains with more than {bounds.EXCEPTIONS} exceptions the first were cut")
        entries = entries[-bounds.EXCEPTIONS :]
    return [made for entry in entries if (made := _exception(walker, entry))]


def _exception(walker: Walker, given: object) -> dict[str, object] | None:
    if isinstance(given, str):
        given = {"value": given}
    if not isinstance(given, dict):
        return None
    made: dict[str, object] = {}
    kind, value = walker.text(given.get("type"), 512), walker.text(given.get("value"))
    if not kind and ":" in value[:128] and value.partition(":")[0].isidentifier():
        kind, value = (part.strip() for part in value.split(":", 1))
    if not (kind or value or given.get("stacktrace")):
        return None
    made["type"], made["value"] = kind or "Error", value
    for name in ("module", "thread_id"):
        if given.get(name) is not None:
            made[name] = walker.text(given[name], 512)
    if isinstance(given.get("mechanism"), dict):
        made["mechanism"] = walker.tree(given["mechanism"])
    trace = stack_trace(walker, given.get("stacktrace")) or stack_trace(walker, given.get("raw_stacktrace"))
    if trace:
        made["stacktrace"] = trace
    return made


def threads(walker: Walker, given: object) -> list[dict[str, object]]:
    """The threads of a process, those that crashed among them."""
    made = []
    for entry in values(given)[: bounds.THREADS]:
        if not isinstance(entry, dict):
            continue
        thread: dict[str, object] = {
            name: walker.text(entry[name], 200) for name in ("id", "name", "state") if entry.get(name) is not None
        }
        for name in ("crashed", "current", "main"):
            if isinstance(entry.get(name), bool):
                thread[name] = entry[name]
        trace = stack_trace(walker, entry.get("stacktrace"))
        if trace:
            thread["stacktrace"] = trace
        made.append(thread)
    return made


def stack_trace(walker: Walker, given: object) -> dict[str, object] | None:
    """{"frames": […]}, the innermost last; None when there is not one frame."""
    listed = given.get("frames") if isinstance(given, dict) else given
    if not isinstance(listed, list):
        return None
    if len(listed) > bounds.FRAMES:
        walker.note(f"of stack traces with more than {bounds.FRAMES} frames those between were cut")
        listed = listed[: bounds.OUTERMOST] + listed[bounds.OUTERMOST - bounds.FRAMES :]
    frames = [made for entry in listed if isinstance(entry, dict) and (made := _frame(walker, entry))]
    return {"frames": frames} if frames else None


def _frame(walker: Walker, given: Mapping[str, object]) -> Frame:
    longest, source = walker.longest, walker.source
    made: Frame = {}
    for name, value in given.items():
        limit = _TEXTS.get(name)
        if limit is not None:
            if isinstance(value, str) and longest >= len(value) <= limit:
                made[name] = value
            elif value is not None:
                made[name] = walker.text(value, limit)
        elif name == "vars":
            if value and isinstance(value, _CONTAINERS):
                made[name] = walker.tree(value)
        elif name in _LISTS:
            if isinstance(value, list) and value:
                nearest = value[-bounds.LINES :] if name == "pre_context" else value[: bounds.LINES]
                made[name] = lines = _lines(walker, nearest)
                source.append(lines)
        elif name in _NUMBERS:
            if isinstance(value, int) and 0 <= value < 10**9:
                made[name] = value
        elif name == "in_app" and isinstance(value, bool):
            made[name] = value
    line = made.get("context_line")
    if line:
        source.append([str(line)])
    if "in_app" not in made and _LIBRARY.search(str(made.get("abs_path") or made.get("filename") or "")):
        made["in_app"] = False
    walker.left -= 1
    return made


def _lines(walker: Walker, given: list[str]) -> list[str]:
    longest = min(walker.longest, bounds.LINE)
    try:
        if len("".join(given)) <= longest:  # all are texts, and none can be too long
            return given
    except TypeError:
        pass
    return [walker.text(line, bounds.LINE) for line in given]


def frames_of(holder: Mapping[str, object]) -> list[Frame]:
    """The frames of a normalised exception, thread or event; an empty list when it has none."""
    trace = holder.get("stacktrace")
    frames = trace.get("frames") if isinstance(trace, dict) else None
    return frames if isinstance(frames, list) else []
