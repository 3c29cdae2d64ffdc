"""Reports made events that can be stored, and stored events read again. Pure: no Django, no clock, no I/O."""

from datetime import datetime
from uuid import UUID

import orjson
import zstandard

from errors.digest.making import derived_id, digest_tree, parse
from errors.digest.plain import from_plain
from errors.digest.security import all_from_security, from_security
from errors.digest.terms import Odd, Settings
from errors.growth import DigestedEvent
from errors.protocol import event_id as event_ids

__all__ = ["Odd", "Settings", "all_from_security", "digest", "from_plain", "from_security", "load"]

_LARGEST = 16 * 2**20  # an event has at most 1 MiB; masks and notes may make it a little longer


def digest(
    body: bytes, *, event_id: UUID | None, received_at: datetime, remote: str, project: Settings
) -> DigestedEvent:
    """The event of this JSON. `event_id` is the one that was answered; without it the event's own counts.

    Raises Odd when it is no event.
    """
    tree, dirty = parse(body)
    if not isinstance(tree, dict):
        raise Odd(f"The event is {_kind(tree)}, not an object with fields")
    known = event_id or event_ids.parse(tree.get("event_id")) or derived_id(body)
    return digest_tree(tree, event_id=known, received_at=received_at, remote=remote, project=project, dirty=dirty)


def load(payload: bytes) -> dict[str, object]:
    """The event in a stored payload."""
    loaded = orjson.loads(zstandard.ZstdDecompressor().decompress(payload, max_output_size=_LARGEST))
    assert isinstance(loaded, dict)
    return loaded


def _kind(tree: object) -> str:
    return {list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(type(tree), "a number")
