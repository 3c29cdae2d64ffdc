"""What the digest is told about a project, and how it says that a report cannot be made an event."""

from dataclasses import dataclass, field


class Odd(Exception):
    """The report cannot be made an event; `reason` says why in plain words, without a secret of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Settings:
    """What of a project counts when its events are digested."""

    project_id: int
    scrub_fields: frozenset[str]
    scrub_personal_data: bool
    account_salt: bytes = field(repr=False)
