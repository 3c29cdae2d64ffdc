"""A real envelope as sentry-sdk sends it, about 22 KB unpacked, and copies of it that differ as real ones do."""

import contextlib
import gzip
import json
import logging
import platform
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser

import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport


class _Keep(Transport):
    """Keeps what would have been sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Envelope] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.sent.append(envelope)


@dataclass(frozen=True)
class Order:
    """Something with fields, so that frames have local variables as an application's have."""

    number: int
    customer: str
    lines: list[dict[str, object]]


def real_event() -> dict[str, object]:
    """The event of an exception that went through the frames of a pretended shop, made by sentry-sdk's own client."""
    keep = _Keep()
    with sentry_sdk.new_scope() as scope:
        client = sentry_sdk.Client(
            dsn="http://0123456789abcdef0123456789abcdef@localhost/1",
            transport=keep,
            release="shop@4.2.1",
            environment="production",
            server_name="app-3",
            max_breadcrumbs=40,
        )
        scope.set_client(client)
        scope.set_user({"id": "4711", "username": "customer-4711"})
        scope.set_tag("area", "checkout")
        scope.set_tag("tenant", "north")
        scope.set_context(
            "cart", {"items": 3, "total": "129.90", "currency": "EUR", "runtime": platform.python_version()}
        )
        for number in range(8):
            scope.add_breadcrumb(
                category="query",
                message=f"SELECT price, stock FROM shop_item WHERE id = {number}",
                data={"ms": number / 7},
            )
        try:
            _checkout(Order(815, "customer-4711", [{"item": f"item-{n}", "count": n} for n in range(6)]))
        except LookupError as exc:
            scope.capture_exception(exc)
        client.close()
    logging.getLogger("sentry_sdk").setLevel(logging.ERROR)
    event: dict[str, object] = json.loads(json.dumps(keep.sent[0].get_event(), default=str))
    return event


def _checkout(order: Order) -> object:
    """Through the standard library's own frames, which differ from each other as an application's do."""
    attempt = 1
    return _cart(json.dumps({"lines": order.lines[:2], "attempt": attempt}), order)


def _cart(text: str, order: Order) -> object:
    currency, rounding = "EUR", "half-even"
    return json.loads(text, object_hook=lambda found: _page(found, order, f"{currency} {rounding}"))


def _page(found: dict[str, object], order: Order, money: str) -> object:
    class Page(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.seen = _price(tag, order, money)

    page = Page()
    page.feed(f"<price of={found.get('item')}>")
    return page.seen


def _price(tag: str, order: Order, money: str) -> object:
    with contextlib.ExitStack() as stack:
        stack.callback(_look_up, {"tag": tag, "money": money}, order.number)
    return None


def _look_up(options: dict[str, str], number: int) -> object:
    prices = {n: n * 1.25 for n in range(5)}
    if number not in prices:
        raise LookupError(f"No price for item {number} in list {options['money']}")
    return prices[number]


def envelopes(count: int, *, issues: int) -> Iterator[tuple[str, bytes]]:
    """`count` packed envelopes with their event ids, spread over as many different issues."""
    event = real_event()
    exception = event["exception"]["values"][-1]  # type: ignore[index]
    for number in range(count):
        event_id = uuid.uuid4().hex
        event |= {"event_id": event_id, "timestamp": datetime.now(UTC).isoformat()}
        exception["type"] = f"LookupError{number % issues}" if issues > 1 else "LookupError"
        event["user"] = {"id": str(4711 + number % 500)}
        yield event_id, gzip.compress(envelope(event), 6)


def envelope(event: dict[str, object]) -> bytes:
    """An envelope with one event, as the protocol has it."""
    body = json.dumps(event).encode()
    head = json.dumps({"event_id": event["event_id"], "sent_at": event["timestamp"]}).encode()
    item = json.dumps({"type": "event", "content_type": "application/json", "length": len(body)}).encode()
    return b"\n".join((head, item, body)) + b"\n"
