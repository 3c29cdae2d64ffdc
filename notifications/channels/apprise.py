"""Chat and SMS through Apprise (https://appriseit.com): one URL names the service and holds its secrets.

Apprise answers yes or no and writes the reason into its log; the reason is read from there. Its services bring their
own HTTP, so their connections are guarded as they are made (sysops.kernel.guard), not by looking at the URL.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import unquote
from urllib.request import getproxies_environment

from catalogue.rules import PHONE
from notifications.channels.base import Letter, Receipt, Sender, SendError
from sysops import env
from sysops.kernel import http
from sysops.kernel.guard import Refused, checked_connections
from sysops.kernel.redaction import redact
from sysops.kernel.within import within

if TYPE_CHECKING:
    from apprise import NotifyBase

SECONDS = 15.0
TO = "{to}"
EXAMPLE_NUMBER = "+4930123456"
TYPES = {"info": "info", "warning": "warning", "critical": "failure"}
# What requests says of a failure, in Apprise's debug lines; the first group is that nobody could be talked to at all.
_CAUSE = re.compile(
    r"(Connection refused|No route to host|Network is unreachable|Name or service not known|certificate verify failed"
    r"|Temporary failure in name resolution|No address associated with hostname|ConnectTimeoutError)|Read timed out"
)
_STATUS = re.compile(r"error=(\d{3})\b")


def _private_allowed() -> bool:
    return env.current().allow_private_targets


@dataclass(frozen=True)
class _Outcome:
    accepted: bool
    said: tuple[str, ...]  # its warnings and errors
    cause: str  # of a connection that failed, in the words of the library
    away: bool  # nobody could be talked to
    refused: Refused | None = None


class _Driver:
    """What both drivers have in common; they differ in the address they need."""

    def __init__(self, *, allow_private: Callable[[], bool] = _private_allowed, seconds: float = SECONDS) -> None:
        self._allow_private = allow_private
        self._seconds = seconds

    @contextmanager
    def open(self, settings: Mapping[str, object]) -> Iterator[Sender]:
        """Raises SendError when no service of Apprise understands the URL."""
        allow, url = self._allow_private(), str(settings["url"])
        _plugin(url.replace(TO, EXAMPLE_NUMBER))
        if not allow and any(name in getproxies_environment() for name in ("http", "https", "all")):
            text = "A proxy is set in the environment, behind which addresses cannot be checked. "
            raise SendError(f"{text}Set SYSOPS_ALLOW_PRIVATE_TARGETS=true to use it", whole_channel=True)
        yield _Sender(url, allow, self._seconds)


class Chat(_Driver):
    """A chat room, or whatever else an Apprise URL leads to."""

    label = "Chat (Apprise)"
    reaches = ""
    settings_schema: Mapping[str, object] = {
        "type": "object",
        "properties": {
            "url": {
                "type": "string",
                "title": "Apprise URL",
                "description": "For example slack://…, discord://…, msteams://…; see appriseit.com/services",
                "pattern": r"^[a-zA-Z][a-zA-Z0-9+.-]*://[^\s]+$",
                "maxLength": 2000,
                "writeOnly": True,
            }
        },
        "required": ["url"],
        "additionalProperties": False,
    }


class Sms(_Driver):
    """Text messages: the person's number is put into the URL."""

    label = "SMS (Apprise)"
    reaches = "sms"
    settings_schema: Mapping[str, object] = {
        "type": "object",
        "properties": {
            "url": {
                "type": "string",
                "title": "Apprise URL",
                "description": "With {to} where the number belongs: twilio://sid:token@from/{to}",
                "pattern": r"^[a-zA-Z][a-zA-Z0-9+.-]*://[^\s]*\{to\}[^\s]*$",
                "maxLength": 2000,
                "writeOnly": True,
            }
        },
        "required": ["url"],
        "additionalProperties": False,
    }


class _Sender:
    def __init__(self, url: str, allow_private: bool, seconds: float) -> None:
        self._url = url
        self._allow_private = allow_private
        self._seconds = seconds

    def send(self, letter: Letter) -> Receipt:
        """Raises SendError unless the service accepted it."""
        if TO in self._url and not PHONE.fullmatch(letter.to):
            raise SendError("The number is not in international form, such as +4930123456", permanent=True)
        # A service per letter: Apprise's own sleeps 5.5 s between two letters, longer than a lease of many lasts.
        plugin = _plugin(self._url.replace(TO, letter.to))
        try:
            outcome = within(self._seconds, lambda: _notify(plugin, letter, self._allow_private), name="apprise")
        except TimeoutError:
            raise SendError(f"{plugin.service_name} did not answer within {self._seconds:g} s") from None
        if outcome.accepted:
            return Receipt()
        raise self._error(outcome, str(plugin.service_name))

    def _error(self, outcome: _Outcome, service: str) -> SendError:
        if outcome.refused:
            return SendError(str(outcome.refused), permanent=True)
        said = redact(" ".join([*outcome.said, outcome.cause]).strip() or "It did not say why.", _pieces(self._url))
        status = next((int(found[1]) for line in outcome.said if (found := _STATUS.search(line))), 0)
        return SendError(
            f"{service}: {said[:500]}",
            permanent=http.is_final(status),
            whole_channel=outcome.away,
        )


def _plugin(url: str) -> "NotifyBase":
    """The service that the URL names. Raises SendError, which never repeats the URL."""
    apprise = _library()
    asset = apprise.AppriseAsset(
        app_id="Sysops",
        app_desc="Sysops",
        async_mode=False,
        http_redirects=False,  # a POST that is redirected becomes a GET, and a lost letter a success
        service_timeout=0,  # the time is kept here: Apprise's own threads would run outside the guard
    )
    try:
        plugin: NotifyBase | None = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=False)
    except (TypeError, ValueError) as exc:
        said = redact(str(exc), _pieces(url))
        raise SendError(f"Apprise cannot use the channel's URL: {said}", whole_channel=True) from None
    if plugin is None:
        text = "Apprise does not know the service that the channel's URL names, or a package it needs is missing"
        raise SendError(text, whole_channel=True)
    if "overflow=" not in url:
        plugin.overflow_mode = apprise.OverflowMode.TRUNCATE  # one letter is one message; its subject comes first
    return plugin


def _library() -> ModuleType:
    """Apprise, imported when it is first needed: it takes 40 MB and half a second."""
    import apprise

    logger = logging.getLogger("apprise")
    if logger.propagate:
        # Its lines hold tokens. They are wanted here, to learn the reason, and nowhere else.
        logger.propagate = False
        logger.addHandler(logging.NullHandler())
        logger.setLevel(logging.DEBUG)
    return apprise


def _notify(plugin: "NotifyBase", letter: Letter, allow_private: bool) -> _Outcome:
    """Hand the letter over, in this thread, which is all that is guarded."""
    with checked_connections(allow_private=allow_private) as guard:
        outcome = _handed_over(plugin, letter)
    return replace(outcome, refused=next(iter(guard.refused), None))


def _handed_over(plugin: "NotifyBase", letter: Letter) -> _Outcome:
    apprise = _library()
    services = apprise.Apprise(asset=plugin.asset)
    services.add(plugin)
    result = services.notify(
        title=letter.subject,
        body=letter.text or letter.subject,
        notify_type=TYPES.get(letter.level, "info"),
        body_format=apprise.NotifyFormat.TEXT,
        log_level=logging.DEBUG,
    )
    lines = [(entry.level, entry.message) for entry in result.logs()]
    said = tuple(message for level, message in lines if level in ("WARNING", "ERROR", "CRITICAL"))
    causes = [found for _, message in lines if message.startswith("Socket Exc") and (found := _CAUSE.search(message))]
    return _Outcome(bool(result), said, causes[0][0] if causes else "", any(found[1] for found in causes))


def _pieces(url: str) -> set[str]:
    """Everything in an Apprise URL that may be a secret: it has no fixed place for them."""
    pieces = {piece for piece in re.split(r"[/?&=@:#,]+", url.partition("://")[2]) if len(piece) >= 4}
    return pieces | {unquote(piece) for piece in pieces}
