"""Letters posted to a URL, signed the way of Standard Webhooks (https://www.standardwebhooks.com, docs/webhooks.md)."""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC

import httpx

from notifications.channels.base import Letter, Receipt, Sender, SendError
from sysops import env
from sysops.kernel import http
from sysops.kernel.clock import Clock, utc_now
from sysops.kernel.redaction import redact

SECONDS = 10.0
LARGEST_ANSWER = 64 * 1024
SECRET = re.compile(r"whsec_([A-Za-z0-9+/]{32,88}={0,2})")
HEADER = re.compile(r"(Authorization|X-[A-Za-z0-9-]{1,60}): ?([\x20-\x7e]{1,2000})")


def _private_allowed() -> bool:
    return env.current().allow_private_targets


class Webhook:
    """Leads to one URL. 2xx is accepted; what the other side will never accept is permanent."""

    label = "Webhook"
    reaches = ""
    settings_schema: Mapping[str, object] = {
        "type": "object",
        "properties": {
            "url": {
                "type": "string",
                "title": "URL",
                "description": "Kept sealed: such addresses tend to contain a secret.",
                "pattern": r"^https?://[^\s]+$",
                "maxLength": 2000,
                "writeOnly": True,
            },
            "secret": {
                "type": "string",
                "title": "Signing secret",
                "description": 'whsec_ and 24 to 64 random bytes in base64: echo "whsec_$(openssl rand -base64 32)"',
                "pattern": f"^{SECRET.pattern}$",
                "writeOnly": True,
            },
            "previous_secret": {
                "type": "string",
                "title": "Previous signing secret",
                "description": "While it is being changed, letters are signed with both.",
                "pattern": f"^{SECRET.pattern}$",
                "writeOnly": True,
            },
            "header": {
                "type": "string",
                "title": "Header",
                "description": 'One more header: "Authorization: …" or "X-…: …"',
                "pattern": f"^{HEADER.pattern}$",
                "writeOnly": True,
            },
        },
        "required": ["url", "secret"],
        "additionalProperties": False,
    }

    def __init__(
        self,
        *,
        allow_private: Callable[[], bool] = _private_allowed,
        clock: Clock = utc_now,
        seconds: float = SECONDS,
        resolve: http.Resolver | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._clock = clock
        self._seconds = seconds
        self._resolve = resolve

    @contextmanager
    def open(self, settings: Mapping[str, object]) -> Iterator[Sender]:
        """One connection for all letters of the batch. Raises SendError for settings that cannot be used."""
        url, keys = _url(str(settings["url"])), _keys(settings)
        with http.client(
            allow_private=self._allow_private(),
            timeout=self._seconds,
            largest_answer=LARGEST_ANSWER,
            resolve=self._resolve,
        ) as client:
            client.headers.update({"Content-Type": "application/json", **_header(settings)})
            yield _Sender(client, url, keys, self._clock)


def signatures(keys: Sequence[bytes], *, letter_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: one signature per key, the newest first."""
    signed = f"{letter_id}.{timestamp}.".encode() + body
    made = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys]
    return " ".join(f"v1,{each}" for each in made)


def payload(letter: Letter) -> bytes:
    """What is posted: the letter as data, the same bytes however often it is tried."""
    document = {
        "type": letter.kind,
        "timestamp": letter.posted_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": {
            "id": letter.id,
            "level": letter.level,
            "subject": letter.subject,
            "text": letter.text,
            "thread": letter.thread,
            "context": dict(letter.data),
        },
    }
    return json.dumps(document, separators=(",", ":")).encode()


class _Sender:
    def __init__(self, client: httpx.Client, url: httpx.URL, keys: Sequence[bytes], clock: Clock) -> None:
        self._client = client
        self._url = url
        self._keys = keys
        self._clock = clock
        # The path too may be a secret, so errors say no more than this.
        self._place = url.netloc.decode("ascii")

    def send(self, letter: Letter) -> Receipt:
        """Raises SendError unless the other side answered 2xx."""
        body, timestamp = payload(letter), int(self._clock().timestamp())
        headers = {
            "webhook-id": letter.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures(self._keys, letter_id=letter.id, timestamp=timestamp, body=body),
        }
        try:
            with self._client.stream("POST", self._url, content=body, headers=headers) as answer:
                _drain(answer)
        except http.Refused as exc:
            raise SendError(str(exc), permanent=True) from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
            raise SendError(self._words("cannot be reached", exc), whole_channel=True) from None
        except httpx.TimeoutException:
            raise SendError(f"{self._place} did not answer in time") from None
        except httpx.TransportError as exc:
            raise SendError(self._words("broke off", exc)) from None
        self._judge(answer)
        return Receipt()

    def _judge(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if 200 <= status < 300:
            return
        # The phrase that belongs to the number, not what the other side wrote there.
        said = f"{self._place} answered {status} {httpx.codes.get_reason_phrase(status)}".rstrip()
        if 300 <= status < 400:
            said += "; redirects are not followed: enter the address it moved to"
        raise SendError(
            said,
            permanent=http.is_final(status),
            retry_after=http.retry_after(answer.headers.get("Retry-After"), now=self._clock()),
        )

    def _words(self, what: str, exc: Exception) -> str:
        return f"{self._place} {what}: {redact(str(exc), [str(self._url)])}"


def _url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise SendError("The channel's URL is none: it begins with https:// and names a host", whole_channel=True)
    return url


def _keys(settings: Mapping[str, object]) -> list[bytes]:
    return [_key(name, str(settings[name])) for name in ("secret", "previous_secret") if name in settings]


def _key(name: str, text: str) -> bytes:
    found = SECRET.fullmatch(text)
    try:
        key = base64.b64decode(found[1], validate=True) if found else b""
    except binascii.Error:
        key = b""
    if not 24 <= len(key) <= 64:
        said = f"The channel's {name} is not whsec_ and 24 to 64 bytes in base64; see docs/webhooks.md"
        raise SendError(said, whole_channel=True)
    return key


def _header(settings: Mapping[str, object]) -> dict[str, str]:
    if "header" not in settings:
        return {}
    found = HEADER.fullmatch(str(settings["header"]))
    if not found:
        raise SendError('The channel\'s header is not of the form "X-Name: value"', whole_channel=True)
    return {found[1]: found[2]}


def _drain(answer: httpx.Response) -> None:
    """Read the body, so that the connection can be used again; the status has decided already."""
    with suppress(httpx.TransportError):
        answer.read()
