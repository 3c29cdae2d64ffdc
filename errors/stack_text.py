"""The stack trace of an event as text, the way its language's people know it. Pure: no Django, no clock, no I/O."""

from collections.abc import Iterator, Mapping, Sequence

LONGEST = 65_536  # characters
MOST_FRAMES = 250  # of one exception; the middle of a deep recursion says nothing new


def stack_trace_text(payload: Mapping[str, object]) -> str | None:
    """The text of the exceptions (the cause first) with their frames; None for an event that has none.

    What a script reported as text stays as it is.
    """
    if text := _text(payload.get("stack_trace")):
        return text[:LONGEST]
    python = payload.get("platform") == "python"
    parts = [_exception(found, python=python) for found in _values(payload.get("exception"))]
    if not any(parts):
        parts = [_frames(stack, python=python) for stack in _other_stacks(payload)]
    text = "\n\n".join(part for part in parts if part)
    return text[:LONGEST] or None


def _exception(found: Mapping[str, object], *, python: bool) -> str:
    kind, message = _text(found.get("type")) or "Error", _text(found.get("value"))
    title = f"{kind}: {message}" if message else kind
    frames = _frames(found.get("stacktrace") or found.get("raw_stacktrace"), python=python)
    if not frames:
        return title
    return f"{frames}\n{title}" if python else f"{title}\n{frames}"


def _other_stacks(payload: Mapping[str, object]) -> Iterator[object]:
    """Of an event without an exception: the stack it carries itself, and that of the thread that failed."""
    if payload.get("stacktrace"):
        yield payload["stacktrace"]
        return
    threads = _values(payload.get("threads"))
    failed = [thread for thread in threads if thread.get("crashed")] or [t for t in threads if t.get("current")]
    for thread in failed[:1]:
        yield thread.get("stacktrace")


def _frames(stack: object, *, python: bool) -> str:
    """Python's way: the innermost last, with source lines. Elsewhere the innermost comes first."""
    raw = stack.get("frames") if isinstance(stack, Mapping) else None
    frames = [frame for frame in raw if isinstance(frame, Mapping)] if isinstance(raw, list) else []
    if not frames:
        return ""
    kept: list[Mapping[str, object] | int] = list(frames)
    if len(frames) > MOST_FRAMES:
        half = MOST_FRAMES // 2
        kept = [*frames[:half], len(frames) - 2 * half, *frames[-half:]]
    if python:
        return "\n".join(["Traceback (most recent call last):", *(_python_frame(frame) for frame in kept)])
    return "\n".join(_plain_frame(frame) for frame in reversed(kept))


def _python_frame(frame: Mapping[str, object] | int) -> str:
    if isinstance(frame, int):
        return f"  ({frame} more frames)"
    line = f'  File "{_file(frame)}", line {_text(frame.get("lineno")) or "?"}, in {_function(frame)}'
    source = _text(frame.get("context_line")).strip()
    return f"{line}\n    {source}" if source else line


def _plain_frame(frame: Mapping[str, object] | int) -> str:
    if isinstance(frame, int):
        return f"    ({frame} more frames)"
    place = ":".join(part for part in (_file(frame), _text(frame.get("lineno")), _text(frame.get("colno"))) if part)
    return f"    at {_function(frame)} ({place})"


def _file(frame: Mapping[str, object]) -> str:
    return _text(frame.get("filename")) or _text(frame.get("abs_path")) or _text(frame.get("module")) or "?"


def _function(frame: Mapping[str, object]) -> str:
    return _text(frame.get("function")) or "?"


def _values(found: object) -> Sequence[Mapping[str, object]]:
    """The protocol knows both a list and {"values": list}."""
    rows = found.get("values") if isinstance(found, Mapping) else found
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _text(value: object) -> str:
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
