"""How an audit entry is written down and hashed. Pure."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sysops.kernel.masking import masked

GENESIS = "0" * 64
_UNPRINTABLE = "\ufffd"


@dataclass(frozen=True)
class Fact:
    """What an audit entry says, apart from its place in the chain."""

    at: datetime
    action: str
    actor: str
    actor_kind: str
    address: str
    subject: str
    label: str
    before: object
    after: object


def chain_hash(previous: str, fact: Fact) -> str:
    """The hash that ties a fact to everything recorded before it."""
    content = {**fact.__dict__, "at": fact.at.astimezone(UTC).isoformat(timespec="microseconds")}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(f"{previous}\n{canonical}".encode()).hexdigest()


def storable(value: object) -> object:
    """`value` as JSON that PostgreSQL gives back unchanged, secrets masked.

    Anything odd becomes text rather than an error: an audit entry must never be what stops the work.
    """
    return masked(_plain(value))


def text(value: str, *, limit: int) -> str:
    """`value` as PostgreSQL can store it, cut to `limit` characters."""
    clean = "".join(_UNPRINTABLE if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in value)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def _plain(value: object) -> object:
    match value:
        case None | bool() | int():
            return value
        case str():
            return text(value, limit=20_000)
        case float():
            return _number(value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value.tzinfo else value.isoformat()
        case date() | time():
            return value.isoformat()
        case timedelta():
            return _number(value.total_seconds())
        case Mapping():
            return {text(str(key), limit=200): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case set() | frozenset():
            return sorted((_plain(item) for item in value), key=str)
    return text(str(value), limit=2_000)


def _number(value: float) -> object:
    """jsonb keeps numbers as decimals: 1e22 comes back as an integer, so it must go in as one."""
    if not math.isfinite(value):
        return str(value)
    return int(value) if value.is_integer() else value
