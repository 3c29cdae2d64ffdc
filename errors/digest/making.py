"""A parsed report made an event that can be stored: normalised, scrubbed, grouped, packed. Pure."""

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from itertools import chain
from uuid import UUID

import orjson

from errors.digest import bounds, grouping
from errors.digest.account import account_of
from errors.digest.frames import Frame, frames_of
from errors.digest.names import names_of
from errors.digest.normalise import Normalised, normalise
from errors.digest.scrub import Scrubber, scrubber_of
from errors.digest.terms import Odd, Settings
from errors.digest.walk import CUT, Walker
from errors.growth import DigestedEvent
from errors.protocol.encodings import pack


def digest_tree(
    tree: dict[str, object], *, event_id: UUID, received_at: datetime, remote: str, project: Settings, dirty: bool
) -> DigestedEvent:
    """The event of a parsed report, which is used up. `dirty`: its texts may hold what cannot be stored."""
    account = account_of(tree, remote=remote, salt=project.account_salt)
    if not project.scrub_personal_data:
        _fill_address(tree, remote)
    scrubber = scrubber_of(project.scrub_fields, personal=project.scrub_personal_data)
    names = names_of(project.scrub_fields, personal=project.scrub_personal_data)
    walker = Walker(names, scrubber, dirty=dirty)
    made = normalise(walker, tree, received_at=received_at)
    event = made.event
    event["event_id"] = event_id.hex
    if walker.notes:
        event["notes"] = list(walker.notes)
    dump = orjson.dumps(event)
    return _event(scrubber, made, event_id=event_id, account=account, payload=pack(scrubber.json(dump, walker.source)))


def parse(body: bytes) -> tuple[object, bool]:
    """The parsed JSON, and whether its texts may hold what cannot be stored. Raises Odd for what is not JSON.

    SDKs write NaN, halves of characters and raw control characters, which JSON does not know: taken all the same.
    """
    try:
        return orjson.loads(body), b"\\u0000" in body
    except orjson.JSONDecodeError:
        pass
    try:
        text = body.decode("utf-8-sig", "replace")
        return json.loads(text, strict=False, parse_constant=str, parse_int=_whole, parse_float=_float), True
    except RecursionError:
        raise Odd("The JSON is nested too deeply") from None
    except ValueError as error:
        where = f", at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise Odd(f"The event is not JSON{where}" if body.strip() else "The event is empty") from None


def derived_id(body: bytes) -> UUID:
    """An id for an event that brings none: the same bytes get the same id, so that a report counts once."""
    return UUID(bytes=blake2b(body, digest_size=16).digest())


def _event(
    scrubber: Scrubber, made: Normalised, *, event_id: UUID, account: int | None, payload: bytes
) -> DigestedEvent:
    event = made.event
    error_type, error_message, frames = headline(event)
    own = [frame for frame in frames if frame.get("in_app") is True] or frames
    hashed, label = grouping.group(event, made.fingerprint, clean=scrubber.text)
    texts = [
        error_type,
        error_message,
        culprit_of(event, own),
        label,
        *(str(event.get(name) or "") for name in ("platform", "environment")),
    ]
    tags, paths = made.tags, _paths(own)
    if scrubber.may_change(chain(texts, paths, chain.from_iterable(tags))):
        texts = [scrubber.text(text) for text in texts]
        tags = [(scrubber.text(key), scrubber.text(value)) for key, value in tags]
        paths = [scrubber.text(path) for path in paths]
    error_type, error_message, culprit, label, platform, environment = texts
    return DigestedEvent(
        event_id=event_id,
        occurred_at=made.occurred_at,
        level=str(event["level"]),
        platform=cut(platform, bounds.PLATFORM),
        release=cut(scrubber.release(str(event.get("release") or "")), bounds.RELEASE),
        environment=cut(environment, bounds.ENVIRONMENT),
        error_type=cut(error_type, bounds.ERROR_TYPE),
        error_message=cut(error_message, bounds.ERROR_MESSAGE),
        culprit=cut(culprit, bounds.CULPRIT),
        grouping_version=grouping.VERSION,
        grouping_hash=hashed,
        grouping_label=cut(label, bounds.LABEL),
        account=account,
        tags=tuple((cut(key, bounds.TAG_KEY), cut(value, bounds.TAG_VALUE)) for key, value in tags),
        paths=tuple(cut(path, bounds.PATH) for path in paths),
        payload=payload,
    )


def headline(event: Mapping[str, object]) -> tuple[str, str, list[Frame]]:
    """Type, message and stack trace of what the event is about: its outermost exception, or what it says."""
    holder = event.get("exception")
    if isinstance(holder, dict):
        last = holder["values"][-1]
        return str(last.get("type")), str(last.get("value") or ""), frames_of(last) or frames_of(event)
    entry = event.get("logentry")
    said = str(entry.get("formatted") or entry.get("message") or "") if isinstance(entry, dict) else ""
    kind = "CSP" if "security" in event else "Message" if said else "Event"
    return kind, said or str(event.get("transaction") or ""), frames_of(event)


def culprit_of(event: Mapping[str, object], frames: list[Frame]) -> str:
    """Where it happened: module and function of the innermost frame, else what the SDK says."""
    if frames:
        frame = frames[-1]
        module, function = frame.get("module") or frame.get("filename"), frame.get("function")
        if module and function:
            return f"{module} in {function}"
        if module or function:
            return str(module or function)
    return str(event.get("transaction") or event.get("culprit") or "")


def _paths(frames: list[Frame]) -> list[str]:
    paths: dict[str, None] = {}
    for frame in reversed(frames):
        path = frame.get("filename") or frame.get("abs_path")
        if path:
            paths[str(path).replace("\\", "/")] = None
            if len(paths) == bounds.PATHS:
                break
    return list(paths)


def _fill_address(tree: dict[str, object], remote: str) -> None:
    user = tree.get("user")
    if isinstance(user, dict) and user.get("ip_address") == "{{auto}}":
        user["ip_address"] = remote


def cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + CUT


def _whole(digits: str) -> object:
    return int(digits) if len(digits) < 19 else digits  # longer ones cannot be written as JSON again


def _float(digits: str) -> object:
    number = float(digits)
    return number if abs(number) < 1e308 else digits
