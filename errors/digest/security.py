"""Reports of browsers (Content-Security-Policy and its kin) as events. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

from errors.digest.making import derived_id, digest_tree, parse
from errors.digest.terms import Odd, Settings
from errors.growth import DigestedEvent

_OLD = {"csp-report": "csp", "known-pins": "hpkp", "expect-ct-report": "expect-ct", "expect-staple-report": "staple"}
_MOST = 100  # reports in one list


def from_security(
    body: bytes, *, event_id: UUID | None, received_at: datetime, remote: str, project: Settings
) -> DigestedEvent:
    """The event of a browser's report, the first when it is a list. Raises Odd when it is no report."""
    return all_from_security(body, event_id=event_id, received_at=received_at, remote=remote, project=project)[0]


def all_from_security(
    body: bytes, *, event_id: UUID | None, received_at: datetime, remote: str, project: Settings
) -> list[DigestedEvent]:
    """The events of a browser's report, at least one: the Reporting API sends lists. Raises Odd when it is no report.

    The first gets `event_id`; the others get ids made from the body, the same every time.
    """
    tree, dirty = parse(body)
    given = tree if isinstance(tree, list) else [tree]
    events: list[DigestedEvent] = []
    for place, report in enumerate(given[:_MOST]):
        made = _event_of(report, received_at) if isinstance(report, dict) else None
        if made is None:
            continue
        own = event_id if not events and event_id else derived_id(b"%d " % place + body)
        events.append(
            digest_tree(made, event_id=own, received_at=received_at, remote=remote, project=project, dirty=dirty)
        )
    if not events:
        raise Odd("The browser's report is of no kind that is known: neither csp-report nor a list of reports")
    return events


def _event_of(report: Mapping[str, object], received_at: datetime) -> dict[str, object] | None:
    for name, old in _OLD.items():
        body = report.get(name)
        if isinstance(body, dict):
            return _made(old, body, url=body.get("document-uri"), agent=None)
    kind, body = report.get("type"), report.get("body")
    if not isinstance(kind, str) or not isinstance(body, dict):
        return None
    made = _made(kind, body, url=report.get("url"), agent=report.get("user_agent"))
    age = report.get("age")
    if isinstance(age, int | float) and 0 <= age < 10**9:
        made["timestamp"] = (received_at - timedelta(milliseconds=age)).timestamp()
    return made


def _made(kind: str, body: Mapping[str, object], *, url: object, agent: object) -> dict[str, object]:
    directive = _first(body, "effectiveDirective", "effective-directive", "violatedDirective", "violated-directive")
    if directive or kind in ("csp", "csp-violation"):
        blocked = _blocked(_first(body, "blockedURL", "blocked-uri"))
        directive = (directive or "unknown directive").split(" ", 1)[0]
        message, fingerprint = f"Blocked {directive} from {blocked}", ["csp", directive, blocked]
    else:
        message = f"{kind}: {_first(body, 'message', 'reason', 'id', 'hostname', 'phase') or 'reported by a browser'}"
        fingerprint = ["{{ default }}", kind]
    request: dict[str, object] = {"url": url} if isinstance(url, str) else {}
    if isinstance(agent, str):
        request["headers"] = {"User-Agent": agent}
    return {
        "platform": "other",
        "logger": "csp" if kind.startswith("csp") else kind[:200],
        "level": "warning",
        "logentry": {"formatted": message},
        "fingerprint": fingerprint,
        "request": request,
        "security": {"kind": kind[:100], **body},
    }


def _first(body: Mapping[str, object], *names: str) -> str:
    return next((value for name in names if isinstance(value := body.get(name), str) and value), "")


def _blocked(source: str) -> str:
    """The host that was blocked, or a word such as `inline`; paths would make every report an issue of its own."""
    try:
        parts = urlsplit(source)
        if parts.scheme in ("data", "blob", "about", "chrome-extension", "moz-extension", "safari-extension"):
            return f"{parts.scheme}:"
        return parts.hostname or source[:100] or "inline"
    except ValueError:
        return "an address that cannot be read"
