"""What is answered: in the shapes SDKs know, and never with a key or an address of the sender's in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import orjson

from errors.rules import Outcome

Headers = list[tuple[bytes, bytes]]

JSON: Headers = [(b"content-type", b"application/json")]
# What a script on another page may send, and what it may read of the answer.
PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"POST, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"x-sentry-auth, x-requested-with, origin, accept, content-type, content-encoding, authorization, baggage, "
        b"sentry-trace",
    ),
    (b"access-control-max-age", b"3600"),
]
# No cookie has a part in this, so any page may read what one that may report is told.
FOR_PAGES: Headers = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"x-sentry-error, x-sentry-rate-limits, retry-after"),
]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back over the socket."""

    status: int
    headers: Headers
    body: bytes


class Refusal(Exception):
    """Why a report is not taken. `outcome` says under which name it is counted; None: it is not.

    `detail` is for people and in our own words; nothing that was sent is repeated in it.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        causes: list[str] | None = None,
        outcome: Outcome | None = None,
        reason: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.causes = causes or []
        self.outcome = outcome
        self.reason = reason
        self.headers = dict(headers or {})


class ForeignPage(Refusal):
    """The page that reports is none of those the project allows; it may not even read this."""

    def __init__(self) -> None:
        super().__init__(
            403,
            "This page may not report",
            causes=["Its origin is not among those of the project."],
            outcome=Outcome.INVALID,
            reason="origin",
        )


MISTAKE = Refusal(500, "The report could not be taken", headers={"retry-after": "60"})


def taken(event_id: UUID | None, *, from_page: bool = False) -> Answer:
    """The report is on disk: 200."""
    body = b'{"id":"%b"}' % event_id.hex.encode() if event_id else b"{}"
    return Answer(200, JSON + FOR_PAGES if from_page else JSON, body)


def preflight() -> Answer:
    """A browser may send the report it asks for."""
    return Answer(200, JSON + FOR_PAGES + PREFLIGHT, b"{}")


def refused(why: Refusal, *, from_page: bool = False) -> Answer:
    """The report is not taken, and why."""
    said = why.causes[0] if why.causes else why.detail
    extra = {**why.headers, "x-sentry-error": said.encode("ascii", "replace").decode("ascii")[:500]}
    headers = [*JSON, *((name.encode(), value.encode()) for name, value in extra.items())]
    if from_page and not isinstance(why, ForeignPage):
        headers += FOR_PAGES
    return Answer(
        why.status, headers, orjson.dumps({"detail": why.detail, **({"causes": why.causes} if why.causes else {})})
    )


def no_key() -> Refusal:
    """Nobody says who reports: 401."""
    return Refusal(401, "No key", causes=["Send the DSN's public key in X-Sentry-Auth or as ?sentry_key=."])


def switched_off(what: str) -> Refusal:
    """The `key` or the `project` takes nothing at present: 403."""
    return Refusal(
        403, "Not taken at present", causes=[f"The {what} is switched off."], outcome=Outcome.INVALID, reason=what
    )


def invalid(cause: str, *, reason: str) -> Refusal:
    """The report cannot be read: 400."""
    return Refusal(400, "The report cannot be read", causes=[cause], outcome=Outcome.INVALID, reason=reason)


def too_large(cause: str) -> Refusal:
    """The report is larger than its limit: 413."""
    return Refusal(413, "The report is too large", causes=[cause], outcome=Outcome.TOO_LARGE, reason="size")


def away(detail: str, *, seconds: int = 5) -> Refusal:
    """It cannot be kept now: 503, and nothing was kept."""
    return Refusal(503, detail, headers={"retry-after": str(seconds)})


def rate_limited(detail: str, *, seconds: int, scope: str, reason: str) -> Refusal:
    """Too much at present: 429. No category is named in the header, which means all of them."""
    headers = {"retry-after": str(seconds), "x-sentry-rate-limits": f"{seconds}::{scope}:{reason}"}
    return Refusal(429, detail, outcome=Outcome.RATE_LIMITED, reason=reason, headers=headers)
