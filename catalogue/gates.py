"""What can forbid a start: another app, or another package, registers a gate; maintenance asks it.

    gates.register("fresh_backup", FreshBackup())        # in wiring, or an entry point of the group `sysops.gates`

A gate is asked outside any transaction, may take seconds, and may be asked again and again while it prepares.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from sysops.kernel.registry import Registry


class Verdict(StrEnum):
    """What a gate says."""

    OPEN = "open"
    CLOSED = "closed"
    PREPARING = "preparing"  # it is doing what opens it: ask again


@dataclass(frozen=True)
class Question:
    """May work on these services begin?

    `services` are the slugs of those that are worked on. With `prepare` the gate may do what opens it (take a
    backup); `since` is when it was first asked to, so that what failed after that is not waited for.
    """

    about: str  # "window 12", for records and messages
    services: tuple[str, ...]
    settings: Mapping[str, object]
    prepare: bool
    since: datetime | None
    asked_by: str
    at: datetime


@dataclass(frozen=True)
class Answer:
    """The verdict with the reason in words, and the facts behind it as JSON."""

    verdict: Verdict
    reason: str
    facts: Mapping[str, object] = field(default_factory=dict)


class Gate(Protocol):
    """`label` is what people call it; `settings_schema` the JSON Schema of its settings."""

    label: str
    settings_schema: Mapping[str, object]

    def ask(self, question: Question) -> Answer:
        """The answer now. Asked twice with `prepare`, it prepares once."""
        ...


gates: Registry[Gate] = Registry("gate", group="sysops.gates")
