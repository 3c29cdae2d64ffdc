"""What is right in the catalogue. Pure: no Django, no clock, no network."""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from functools import cache
from zoneinfo import available_timezones

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
PHONE = re.compile(r"\+[1-9][0-9]{6,14}")

# What a proxy is told to wait when nobody knows when the maintenance ends, or it overruns.
RETRY_AFTER_UNKNOWN_SECONDS = 60


class Kind(StrEnum):
    """What a service is."""

    DATABASE = "database"
    API = "api"
    WORKER_POOL = "worker_pool"
    WEBSITE = "website"
    QUEUE = "queue"
    CACHE = "cache"
    STORAGE = "storage"
    NETWORK = "network"
    EXTERNAL = "external"
    OTHER = "other"


class State(StrEnum):
    """How a service is right now."""

    NORMAL = "normal"
    DEGRADED = "degraded"
    MAINTENANCE = "maintenance"
    DOWN = "down"


class Channel(StrEnum):
    """A way to reach a person."""

    EMAIL = "email"
    SMS = "sms"
    PHONE = "phone"
    CHAT = "chat"


class SubscriptionState(StrEnum):
    """Where a subscription is between "please" and "no more"."""

    PENDING = "pending"  # the confirmation link was mailed
    CONFIRMED = "confirmed"
    ENDED = "ended"


LONGEST_ADDRESS = 254
TIERS = (1, 2, 3, 4)  # 1 = nothing works without it … 4 = nobody notices for a day


def label(value: str) -> str:
    """The word for people: `worker_pool` is "Worker pool"."""
    return {"api": "API", "sms": "SMS", "email": "E-mail"}.get(value) or value.replace("_", " ").capitalize()


def slug_problem(slug: str) -> str | None:
    """Why this cannot be a slug, or None."""
    if SLUG.fullmatch(slug):
        return None
    return "Use 1 to 64 lower-case letters, digits and hyphens, beginning and ending with a letter or digit."


def host_name_problem(name: str) -> str | None:
    """Why this cannot be the name of a host, or None."""
    if HOST_NAME.fullmatch(name):
        return None
    return "Use the machine's own name: letters, digits, dots, hyphens and underscores, at most 253 characters."


def quiet_problem(since: object, until: object) -> tuple[str, str] | None:
    """The field and why these cannot be somebody's quiet hours, or None. They may reach over midnight."""
    if (since is None) != (until is None):
        missing = "quiet_from" if since is None else "quiet_until"
        return missing, "Give both quiet_from and quiet_until, or neither."
    if since is not None and since == until:
        return "quiet_until", "Quiet hours that end when they begin are none; leave both out."
    return None


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def time_zone_problem(name: str) -> str | None:
    """Why this is no time zone, or None."""
    if name in _zones():
        return None
    return f"There is no time zone {name!r}; use a name such as Europe/Berlin or UTC."


def address_problem(channel: str, address: str) -> str | None:
    """Why nobody can be reached there, or None."""
    if channel not in set(Channel):
        return f"There is no channel {channel!r}; use one of {', '.join(Channel)}."
    if "\0" in address or len(address) > LONGEST_ADDRESS:
        return f"An address has at most {LONGEST_ADDRESS} characters, and none of them is NUL."
    if channel == Channel.EMAIL and not EMAIL.fullmatch(address):
        return f"{address!r} is no e-mail address."
    if channel in (Channel.SMS, Channel.PHONE) and not PHONE.fullmatch(address):
        return f"{address!r} is no phone number in international form, such as +4930123456."
    if channel == Channel.CHAT and ("://" in address or not address.strip()):
        # A webhook URL is a secret; everybody who may look at people would read it here.
        return "Give the person's name in the chat, such as @ada; the address of the chat belongs to the channel."
    return None


def find_cycle(edges: Mapping[str, Collection[str]], *, start: str) -> list[str] | None:
    """The way from `start` back to itself along depends-on, both ends named, or None when there is none."""
    came_from: dict[str, str] = {}
    waiting = [start]
    while waiting:
        here = waiting.pop()
        for there in sorted(edges.get(here, ())):
            if there == start:
                return _way(came_from, start=start, last=here)
            if there not in came_from:
                came_from[there] = here
                waiting.append(there)
    return None


def _way(came_from: Mapping[str, str], *, start: str, last: str) -> list[str]:
    way = [start]
    while last != start:
        way.append(last)
        last = came_from[last]
    return [start, *reversed(way)]


def cycle_words(cycle: Iterable[str]) -> str:
    """The cycle as people read it: "a → b → a"."""
    return " → ".join(cycle)


def retry_after_seconds(*, until: datetime | None, now: datetime) -> int:
    """How long a client of a service in maintenance waits before it asks again."""
    if until is None or until <= now:
        return RETRY_AFTER_UNKNOWN_SECONDS
    return max(1, round((until - now).total_seconds()))
