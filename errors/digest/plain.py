"""Reports of scripts as plain JSON (POST /api/system/errors) as events. Pure."""

import re
from datetime import datetime
from uuid import UUID

from errors.digest import bounds
from errors.digest.making import derived_id, digest_tree, parse
from errors.digest.terms import Odd, Settings
from errors.growth import DigestedEvent

_SAME = (
    "level", "platform", "release", "environment", "service", "server_name", "logger", "transaction", "tags", "extra",
    "contexts", "request", "user", "fingerprint", "breadcrumbs", "dist",
)  # fmt: skip
# Of one stripped line: over a whole text, blank lines and blanks alone would cost time by the square of their number.
_PYTHON = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d{1,9})(?:, in (?P<function>.+))?')
_AT = re.compile(
    r"at (?:async )?(?:(?P<function>[^\s(][^(]*?) ?\()?(?P<file>[^()]+?)(?::(?P<line>\d{1,9}))?(?::\d{1,9})?\)?\Z"
)
_READ = 65_536
_LINE = 1_000  # characters of a line that can be a frame


def from_plain(
    body: bytes, *, event_id: UUID | None, received_at: datetime, remote: str, project: Settings
) -> DigestedEvent:
    """The event of a script's report: {"message", "type"?, "level"?, "stack_trace"?, "service"?, "tags"? …}.

    Raises Odd when it is none.
    """
    tree, dirty = parse(body)
    if not isinstance(tree, dict):
        raise Odd("The report is not an object with fields")
    message = tree.get("message")
    if not message and not tree.get("type"):
        raise Odd("The report has neither a message nor a type")
    event: dict[str, object] = {name: tree[name] for name in _SAME if tree.get(name) is not None}
    event["timestamp"] = tree.get("occurred_at", tree.get("timestamp"))
    if "user" not in event and isinstance(tree.get("account"), str | int):
        event["user"] = {"id": tree["account"]}
    trace = tree.get("stack_trace")
    frames = _frames(trace) if isinstance(trace, str) else trace if isinstance(trace, list | dict) else None
    if tree.get("type") or frames:
        event["exception"] = [{"type": tree.get("type"), "value": message, "stacktrace": frames}]
    else:
        event["logentry"] = {"formatted": message} if isinstance(message, str) else message
    if isinstance(trace, str):
        event["stack_trace"] = trace
    own = event_id or derived_id(body)
    return digest_tree(event, event_id=own, received_at=received_at, remote=remote, project=project, dirty=dirty)


def _frames(trace: str) -> list[dict[str, object]]:
    """The frames in the text of a stack trace of Python, Java, JavaScript or .NET, the innermost last."""
    lines = [line for each in trace[:_READ].split("\n") if len(line := each.strip()) <= _LINE]
    python = [_frame(found) for line in lines if (found := _PYTHON.match(line))]
    if python:
        return python[-bounds.FRAMES :]
    return [_frame(found) for line in lines if (found := _AT.match(line))][::-1][-bounds.FRAMES :]


def _frame(found: re.Match[str]) -> dict[str, object]:
    frame: dict[str, object] = {"filename": found["file"].strip()}
    if found["function"]:
        frame["function"] = found["function"].strip()
    if found["line"]:
        frame["lineno"] = int(found["line"])
    return frame
