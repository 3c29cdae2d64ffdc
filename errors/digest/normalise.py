"""An event as SDKs write it, made what is stored: known fields in one form, all else left out or bounded. Pure."""

import itertools
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from errors.digest import bounds
from errors.digest.frames import exceptions, stack_trace, threads, values
from errors.digest.scrub import MASK
from errors.digest.walk import CUT, Walker

LEVELS = {
    "fatal": "fatal", "critical": "fatal", "crit": "fatal", "alert": "fatal", "emergency": "fatal", "50": "fatal",
    "error": "error", "err": "error", "40": "error", "warning": "warning", "warn": "warning", "30": "warning",
    "info": "info", "notice": "info", "log": "info", "20": "info", "debug": "debug", "trace": "debug", "10": "debug",
}  # fmt: skip
_TEXTS = {
    "release": bounds.RELEASE, "environment": bounds.ENVIRONMENT, "platform": bounds.PLATFORM, "logger": 200,
    "transaction": 500, "server_name": 200, "dist": 64, "culprit": bounds.CULPRIT,
}  # fmt: skip
_REQUEST_TEXTS = {"url": 2_048, "method": 32, "fragment": 1_024, "inferred_content_type": 200, "api_target": 64}
_VERSION = re.compile(r"v?\d{1,8}(?:\.\d{1,8}){0,4}(?:[.\-+]?[a-z]{1,5}\.?\d{0,8}){0,3}", re.ASCII)
_PLACE = re.compile(r"%(?:\((\w{1,40})\))?[sdrifx]|\{(\w{0,40})\}")
_MODULES = 1_000
_LONGEST_VERSION = 64
_MILLISECONDS = 10**11  # a number of seconds as great as this lies in the year 5138
_DERIVED = (("runtime", "runtime"), ("browser", "browser"), ("os", "os"), ("client_os", "os"))
_OLD_NAMES = {
    "sentry.interfaces.Exception": "exception", "sentry.interfaces.Message": "logentry",
    "sentry.interfaces.Stacktrace": "stacktrace", "sentry.interfaces.Http": "request",
    "sentry.interfaces.User": "user", "sentry.interfaces.Breadcrumbs": "breadcrumbs",
    "sentry.interfaces.Contexts": "contexts",
}  # fmt: skip


class Normalised:
    """An event in its stored form, with what is not part of it."""

    __slots__ = ("event", "fingerprint", "occurred_at", "tags")

    def __init__(
        self, event: dict[str, object], *, occurred_at: datetime, tags: list[tuple[str, str]], fingerprint: list[str]
    ) -> None:
        self.event = event
        self.occurred_at = occurred_at
        self.tags = tags
        self.fingerprint = fingerprint


def normalise(walker: Walker, given: dict[str, object], *, received_at: datetime) -> Normalised:
    """The event in its stored form. `given` is used up."""
    event: dict[str, object] = {}
    for name, value in given.items():
        made = _field(walker, _OLD_NAMES.get(name, name), value)
        if made:
            event.setdefault(_OLD_NAMES.get(name, name), made)
        elif value and name in _MAKERS:
            walker.note(f"{name} was of a form that is not known and was left out")
    occurred_at = when(walker, given.get("timestamp"), received_at=received_at)
    event["timestamp"] = occurred_at.isoformat().replace("+00:00", "Z")
    event["level"] = level(given.get("level"))
    event.setdefault("platform", "other")
    if "logentry" not in event and (message := _message(walker, given.get("message"))):
        event["logentry"] = message
    tags = tags_of(walker, given.get("tags"), event)
    if tags:
        event["tags"] = dict(tags)
    fingerprint = _fingerprint(walker, given.get("fingerprint"))
    if fingerprint:
        event["fingerprint"] = fingerprint
    return Normalised(event, occurred_at=occurred_at, tags=tags, fingerprint=fingerprint)


def _field(walker: Walker, name: str, value: object) -> object:
    """One field of the event in its stored form; nothing for what is not stored, or made elsewhere."""
    limit = _TEXTS.get(name)
    if limit is not None:
        return walker.text(value, limit).strip()
    make = _MAKERS.get(name)
    return make(walker, value) if make else None


def level(given: object) -> str:
    """One of the five levels; what is none of them is an error."""
    return LEVELS.get(str(given).lower()[: bounds.LEVEL], "error") if isinstance(given, str | int) else "error"


def when(walker: Walker, given: object, *, received_at: datetime) -> datetime:
    """When it happened; the time of receipt when that is unknown or cannot be."""
    at = instant(given)
    if at is None:
        if given is not None:
            walker.note("the timestamp could not be read; the time of receipt is used")
        return received_at
    if at > received_at + timedelta(seconds=bounds.FUTURE_SECONDS):
        walker.note("the timestamp lies in the future; the time of receipt is used")
        return received_at
    if at < received_at - timedelta(days=bounds.PAST_DAYS):
        walker.note(f"the timestamp is more than {bounds.PAST_DAYS} days old; the time of receipt is used")
        return received_at
    return min(at, received_at)  # a clock a little fast: nothing is reported before it happens


def instant(given: object) -> datetime | None:
    """A time from seconds or milliseconds since 1970, or as ISO 8601 writes it; UTC when it names no zone."""
    try:
        if isinstance(given, str):
            if given[:1].isdigit() and "-" in given:
                at = datetime.fromisoformat(given[:40])
                return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
            given = float(given)
        if isinstance(given, bool) or not isinstance(given, int | float):
            return None
        seconds = given / 1_000 if given >= _MILLISECONDS else given
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def tags_of(walker: Walker, given: object, event: dict[str, object]) -> list[tuple[str, str]]:
    """The event's tags, and those that its other fields amount to; each key once."""
    found: dict[str, str] = {}
    for key, value in chain_tags(given):
        name = walker.text(key, bounds.NAME).strip()
        text = " ".join(walker.text(value).split())
        if not name or not text or name in found:
            continue
        if len(name) > bounds.TAG_KEY:
            walker.note(f"tags with keys longer than {bounds.TAG_KEY} characters were left out")
        elif len(found) == bounds.TAGS:
            walker.note(f"only the first {bounds.TAGS} tags were kept")
            break
        elif walker.names[name]:
            found[name] = MASK
        else:
            found[name] = text if len(text) <= bounds.TAG_VALUE else text[: bounds.TAG_VALUE - 1] + CUT
    for name, text in _derived(event):
        line = " ".join(text.split())  # /etc/issue and the like are read with their line end
        if line and len(found) < bounds.TAGS:
            found.setdefault(name, line[: bounds.TAG_VALUE])
    return list(found.items())


def chain_tags(given: object) -> Iterable[tuple[object, object]]:
    """Pairs out of {key: value}, [[key, value]] or [{"key": …, "value": …}]; nothing out of rubbish."""
    if isinstance(given, dict):
        yield from given.items()
    elif isinstance(given, list):
        for entry in given:
            if isinstance(entry, list) and len(entry) == 2:
                yield entry[0], entry[1]
            elif isinstance(entry, dict) and "key" in entry:
                yield entry["key"], entry.get("value")


def _derived(event: dict[str, object]) -> Iterable[tuple[str, str]]:
    for name in ("server_name", "transaction", "logger", "dist"):
        text = event.get(name)
        if isinstance(text, str):
            yield name, text
    contexts = event.get("contexts")
    if not isinstance(contexts, dict):
        return
    for name, tag in _DERIVED:
        context = contexts.get(name)
        if isinstance(context, dict) and isinstance(context.get("name"), str):
            version = context.get("version")
            yield tag, f"{context['name']} {version}" if isinstance(version, str) else context["name"]


def _fingerprint(walker: Walker, given: object) -> list[str]:
    parts = given if isinstance(given, list) else [given]
    return [text for part in parts[: bounds.FINGERPRINT] if (text := walker.text(part, bounds.NAME).strip())]


def _message(walker: Walker, given: object) -> dict[str, object]:
    """{"message": template, "formatted": text, "params": …}, whichever of them came."""
    if not isinstance(given, dict):
        text = walker.text(given).strip()
        return {"formatted": text} if text else {}
    made: dict[str, object] = {}
    template, formatted = walker.text(given.get("message")), walker.text(given.get("formatted"))
    params = given.get("params")
    if params:
        made["params"] = _without_secrets(walker, template, walker.value(params))
    if template:
        made["message"] = template
    if formatted or template:
        made["formatted"] = formatted or walker.text(_filled(template, made.get("params")))
    return made


def _without_secrets(walker: Walker, template: str, params: object) -> object:
    """The parameters without those that the template names as secrets: `password=%s`."""
    if not isinstance(params, list | dict) or not walker.scrubber.may_change([template]):
        return params
    entries = params.items() if isinstance(params, dict) else enumerate(params)
    marks = {name: f"p9{number}9x" for number, (name, _) in enumerate(entries)}
    marked = _filled(template, marks if isinstance(params, dict) else list(marks.values()))
    shown = walker.scrubber.text(marked)
    gone = [name for name, mark in marks.items() if mark in marked and mark not in shown]
    for name in gone:
        params[name] = MASK
    return params


def _filled(template: str, params: object) -> str:
    """The template with its parameters. Not by `%`: a report must not ask for a thousand million blanks."""
    listed = params if isinstance(params, dict) else dict(enumerate(params)) if isinstance(params, list) else {}
    texts = {name: str(value)[:1_000] for name, value in listed.items() if value is not None}
    places = itertools.count()

    def put(found: re.Match[str]) -> str:
        name = (found[1] or found[2]) if isinstance(params, dict) else next(places)
        return texts.get(name, found.group())

    return _PLACE.sub(put, template) if params else template


def _breadcrumbs(walker: Walker, given: object) -> object:
    crumbs = [crumb for crumb in values(given) if isinstance(crumb, dict)]
    if len(crumbs) > bounds.BREADCRUMBS:
        walker.note(f"only the latest {bounds.BREADCRUMBS} breadcrumbs were kept")
        crumbs = crumbs[-bounds.BREADCRUMBS :]
    for crumb in crumbs:
        walker.tree(crumb, 2)
        message = crumb.get("message")
        if message is not None and not isinstance(message, str):
            crumb["message"] = walker.text(message)
    return {"values": crumbs} if crumbs else None


def _request(walker: Walker, given: object) -> object:
    if not isinstance(given, dict):
        return None
    made: dict[str, object] = {}
    for name, value in given.items():
        if name in _REQUEST_TEXTS:
            made[name] = walker.text(value, _REQUEST_TEXTS[name])
        elif name in ("headers", "env"):
            made[name] = walker.tree(_paired(value)) if isinstance(value, (dict, list)) else walker.text(value)
        elif name == "cookies":
            cookies = _paired(value) if isinstance(value, (dict, list)) else None
            made[name] = dict.fromkeys(list(cookies)[: bounds.ITEMS], MASK) if isinstance(cookies, dict) else MASK
            walker.tree(made[name])
        elif name in ("data", "query_string"):
            made[name] = walker.value(value)
    return made


def _paired(given: object) -> object:
    """[[name, value]] as {name: value}; what else it may be as it is."""
    if isinstance(given, list) and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in given
    ):
        joined: dict[str, object] = {}
        for name, value in given:
            old = joined.get(name)
            joined[name] = f"{old}, {value}" if isinstance(old, str) and isinstance(value, str) else value
        return joined
    return given


def _user(walker: Walker, given: object) -> object:
    if isinstance(given, str | int) and not isinstance(given, bool):
        given = {"id": given}
    if not isinstance(given, dict):
        return None
    if walker.names.personal:
        for name in ("ip_address", "geo"):
            given.pop(name, None)
    user = walker.tree(given)
    for name in ("id", "username", "email", "name"):
        if given.get(name) is not None and not isinstance(given[name], str):
            given[name] = walker.text(given[name], bounds.NAME)
    return user


def _modules(walker: Walker, given: object) -> object:
    """Packages by name: a package called `tokenizers` keeps its version, a password is none."""
    if not isinstance(given, dict):
        return None
    if walker.dirty:
        walker.clean_names(given)
        given = {n: walker.text(v, bounds.NAME) if isinstance(v, str) else v for n, v in given.items()}
    names = walker.names
    if (
        len(given) > _MODULES
        or set(map(type, given.values())) != {str}
        or max(map(len, given.values())) > _LONGEST_VERSION
    ):
        given = {
            name: version
            for name, version in list(given.items())[:_MODULES]
            if isinstance(version, str) and len(version) <= _LONGEST_VERSION
        }
    for name in [name for name in given if names[name]]:
        if not _VERSION.fullmatch(given[name]):
            given[name] = MASK
    return given


def _listed(make: Callable[[Walker, object], list[dict[str, object]]]) -> Callable[[Walker, object], object]:
    def made(walker: Walker, given: object) -> object:
        listed = make(walker, given)
        return {"values": listed} if listed else None

    return made


def _mapping(walker: Walker, given: object) -> object:
    return walker.tree(given) if isinstance(given, dict) else None


def _anything(walker: Walker, given: object) -> object:
    return walker.value(given)


_MAKERS: dict[str, Callable[[Walker, object], object]] = {
    "exception": _listed(exceptions),
    "sentry.interfaces.Exception": _listed(exceptions),
    "threads": _listed(threads),
    "stacktrace": stack_trace,
    "breadcrumbs": _breadcrumbs,
    "logentry": _message,
    "request": _request,
    "user": _user,
    "modules": _modules,
    "contexts": _mapping,
    "extra": _anything,
    "sdk": _mapping,
    "debug_meta": _mapping,
    "security": _mapping,
    "stack_trace": lambda walker, given: walker.text(given, 65_536),
    "service": lambda walker, given: walker.text(given, 200),
}
