"""What the digest of one event costs: `python -m benchmarks.digest [--events N]`.

The event is a real one: sentry-sdk makes it of an exception that really was raised, with some fifteen frames, source
context, local variables, breadcrumbs, contexts and the list of packages. Times are CPU times. What counts is the ratio:
the digest against the least that must be done with any event (JSON parsed, written again, packed with zstd).
"""

import argparse
import gc
import time
from collections.abc import Callable
from datetime import UTC, datetime

import orjson
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from errors.digest.event import Settings, digest
from errors.protocol.encodings import pack

DSN = "http://0123456789abcdef0123456789abcdef@localhost:9/1"
PROJECT = Settings(project_id=1, scrub_fields=frozenset(), scrub_personal_data=True, account_salt=b"salt")


class Kept(Transport):
    """Keeps what would be sent."""

    def __init__(self, options: dict[str, object] | None = None) -> None:
        super().__init__(options)
        self.envelopes: list[Envelope] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)


class CardRefused(Exception):
    """What the program below raises."""


def price_of(line: dict[str, float], rate: float) -> float:
    return line["price"] * line["n"] * rate


def charge(account: dict[str, object], amount: float, attempt: int) -> str:
    gateway = {"host": "pay.example.com", "port": 8443, "timeout": 3.0}
    reference = f"shop-{account['id']}-{attempt}"
    if amount >= 0 and gateway:
        raise CardRefused(f"The card of account {account['id']} was refused, reference {reference}")
    return reference


def charge_with_retry(account: dict[str, object], amount: float) -> str:
    attempts, waits = 3, [0.5, 2.0, 8.0]
    for attempt in range(attempts):
        if waits[attempt]:
            return charge(account, amount, attempt)
    return ""


def authorise(account: dict[str, object], basket: dict[str, object]) -> str:
    lines = [{"price": n * 1.5, "n": n} for n in range(4)]
    amount = sum(price_of(line, 1.09) for line in lines)
    return charge_with_retry(account, amount)


def checkout(account: dict[str, object], basket: dict[str, object]) -> str:
    stock = {f"A-{n}": 5 for n in range(4)}
    reserved = all(stock.values())
    return authorise(account, basket) if reserved else ""


def view(request: dict[str, object]) -> str:
    account = {"id": 4711, "email": "jane@example.com", "password": "correct horse", "groups": ["customer", "beta"]}
    basket = {"id": 48151623, "currency": "EUR", "lines": [{"sku": f"A-{n}", "n": n} for n in range(4)]}
    return checkout(account, basket)


def layer(depth: int, request: dict[str, object]) -> str:
    name, seen = f"layer {depth}", {"gzip": True, "locale": "en", "depth": depth}
    return layer(depth - 1, request) if depth and name and seen else view(request)


def real_event() -> bytes:
    """The JSON of an event as sentry-sdk sends it."""
    kept = Kept()
    sentry_sdk.init(dsn=DSN, transport=kept, release="shop@1.4.2", environment="production", server_name="web-3")
    for n in range(25):
        sql = f"SELECT id, name, price FROM shop_product WHERE id = {n} AND active"
        sentry_sdk.add_breadcrumb(category="query", message=sql, data={"db.system": "postgresql", "rows": n})
    sentry_sdk.set_user({"id": "4711", "email": "jane@example.com", "ip_address": "10.1.2.3"})
    sentry_sdk.set_tag("area", "payment")
    sentry_sdk.set_context("basket", {"lines": 4, "currency": "EUR"})
    try:
        layer(8, {"path": "/pay", "method": "POST", "id": "8cf9da2c68824c839d946c737ee217c9"})
    except CardRefused as error:
        sentry_sdk.capture_exception(error)
    sentry_sdk.init()  # nothing is reported from here on
    body = kept.envelopes[0].items[0].payload.get_bytes()
    assert isinstance(body, bytes)
    return body


def cost(work: Callable[[], object], *, events: int) -> float:
    """Seconds of CPU for one event: the least of many rounds, because other programs only ever add to it."""
    rounds, each = max(events // 20, 1), 20
    best = float("inf")
    for _ in range(rounds):
        begun = time.process_time()
        for _ in range(each):
            work()
        best = min(best, (time.process_time() - begun) / each)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2_000)
    events = parser.parse_args().events
    body, at = real_event(), datetime.now(UTC)

    def plainly() -> bytes:
        return pack(orjson.dumps(orjson.loads(body)))

    def digested() -> bytes:
        return digest(body, event_id=None, received_at=at, remote="", project=PROJECT).payload

    size = len(digested())
    gc.freeze()
    least, whole = cost(plainly, events=events), cost(digested, events=events)
    print(f"event {len(body):,} bytes, stored {size:,} bytes")
    print(f"parse + dump + zstd   {least * 1e6:7.0f} µs of CPU")
    print(f"digest                {whole * 1e6:7.0f} µs of CPU, {whole / least:.1f} times as much")


if __name__ == "__main__":
    main()
