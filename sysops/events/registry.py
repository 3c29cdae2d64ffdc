"""Who wants to hear of which events. Filled once, in wiring."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sysops.kernel.registry import AlreadyRegistered, Registry

if TYPE_CHECKING:
    from sysops.events.models import Event

Handler = Callable[["Event"], None]

NAME = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+")
_PATTERN = re.compile(r"\*|[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*(?:\.\*)?")


@dataclass
class Subscriber:
    """One hearer: a handler and the events it wants, each a name or a prefix such as `backups.*`."""

    name: str
    handler: Handler
    patterns: set[str] = field(default_factory=set)

    def wants(self, event_name: str) -> bool:
        return any(_matches(pattern, event_name) for pattern in self.patterns)


subscribers: Registry[Subscriber] = Registry("event subscriber")


def subscribe(name_or_prefix: str, *, subscriber: str, handler: Handler) -> None:
    """Have `handler` called with every event of this name, or below this prefix (`backups.*`, or `*` for all).

    It is called at least once per event, outside any transaction, and mostly in order; it must bear being called
    twice. One subscriber may want several names with the same handler. Raises AlreadyRegistered for another one.
    """
    if not _PATTERN.fullmatch(name_or_prefix):
        raise ValueError(
            f"{name_or_prefix!r} is neither an event name ('backups.run.failed') nor a prefix ('backups.*')"
        )
    if subscriber not in subscribers:
        subscribers.register(subscriber, Subscriber(subscriber, handler))
    known = subscribers.get(subscriber)
    if known.handler is not handler:
        raise AlreadyRegistered(f"The event subscriber {subscriber!r} has another handler already")
    known.patterns.add(name_or_prefix)


def wanting(event_name: str) -> list[str]:
    """The subscribers that want an event of this name."""
    return [name for name, subscriber in subscribers if subscriber.wants(event_name)]


def handler_of(subscriber: str) -> Handler:
    """Raises UnknownName when no subscriber is called that (any more)."""
    return subscribers.get(subscriber).handler


def _matches(pattern: str, event_name: str) -> bool:
    return pattern in ("*", event_name) or (pattern.endswith(".*") and event_name.startswith(pattern[:-1]))
