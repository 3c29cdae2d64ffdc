"""Real envelopes of sentry-sdk, made in this process without a network: about 22 KB each, as from a web application."""

import contextlib
import copy
import io
import json
import string
import sys
from collections.abc import Iterator
from typing import Any

import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from sentry_sdk.utils import event_from_exception

_DSN = "http://0123456789abcdef0123456789abcdef@127.0.0.1:9/1"


class _Catching(Transport):
    def __init__(self, options: dict[str, Any] | None = None) -> None:
        super().__init__(options)
        self.caught: list[bytes] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        packed = io.BytesIO()
        envelope.serialize_into(packed)
        self.caught.append(packed.getvalue())


def envelopes(count: int, *, kinds: int = 1, **options: object) -> Iterator[bytes]:
    """So many envelopes, of so many different errors in turn, each with its own event id, user and order number."""
    transport = _Catching()
    settings: dict[str, Any] = {
        "dsn": _DSN,
        "transport": transport,
        "release": "shop@2.4.1",
        "environment": "production",
        "default_integrations": False,
        "auto_enabling_integrations": False,
        "include_local_variables": True,
        "shutdown_timeout": 0,
        **options,
    }
    client = sentry_sdk.Client(**settings)
    for number in range(count):
        _report(client, number, f"Trouble{number % kinds}")
        yield transport.caught.pop()
    client.close()


def _report(client: sentry_sdk.Client, number: int, kind: str) -> None:
    scope = _scope(client, number)
    try:
        _checkout(number, kind)
    except Exception:
        event, hint = event_from_exception(sys.exc_info(), client_options=client.options)
    event["breadcrumbs"] = {"values": [_breadcrumb(number * 100 + step) for step in range(26)]}
    client.capture_event(event, hint, scope)


def _breadcrumb(number: int) -> dict[str, object]:
    return {
        "type": "default",
        "category": "query",
        "level": "info",
        "timestamp": 1_800_000_000 + number / 7,
        "message": f"SELECT name, price FROM shop_item WHERE id = {number}",
        "data": {"duration_ms": number * 1.5, "db.system": "postgresql"},
    }


def _checkout(number: int, kind: str) -> None:
    """Fails deep below the standard library, so that the frames differ as those of a framework do."""
    _parse(json.dumps({"number": number, "sku": "A-1"}), number, kind)


def _parse(text: str, number: int, kind: str) -> object:
    def hook(found: dict[str, object]) -> object:
        return copy.deepcopy({"order": _Order(number, kind, found)})

    return json.loads(text, object_hook=hook)


class _Order:
    def __init__(self, number: int, kind: str, found: dict[str, object]) -> None:
        self.number, self.kind, self.found = number, kind, found

    def __deepcopy__(self, memo: object) -> object:
        return string.Formatter().format("{0} {1!r}", self.number, _Charged(self))


class _Charged:
    def __init__(self, order: _Order) -> None:
        self.order = order

    def __repr__(self) -> str:
        with contextlib.ExitStack() as stack:
            stack.callback(_charge, self.order.number, self.order.kind)
        return "charged"


def _scope(client: sentry_sdk.Client, number: int) -> sentry_sdk.Scope:
    scope = sentry_sdk.Scope(client=client)
    scope.set_user({"id": str(number % 50), "email": f"user{number % 50}@shop.example", "ip_address": "192.0.2.9"})
    for name, value in {"area": "payment", "region": f"eu-{number % 4}", "browser": "Firefox 140"}.items():
        scope.set_tag(name, value)
    scope.set_context(
        "order", {"number": number, "total": 99.5, "items": [{"sku": f"A-{n}", "n": n} for n in range(26)]}
    )
    return scope


def _charge(number: int, kind: str) -> None:
    order = {"number": number, "customer": f"customer-{number % 50}", "lines": [f"line {n}" for n in range(8)]}
    raise type(kind, (RuntimeError,), {})(f"Could not charge order {order['number']} of {order['customer']}")
