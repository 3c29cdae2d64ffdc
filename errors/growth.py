"""What a digested batch hands on: the event as the digest sees it, and how an issue grew by the batch."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from errors.models import Issue


@dataclass(frozen=True)
class DigestedEvent:
    """One event, ready to be stored. Texts are cut to their columns and hold nothing PostgreSQL refuses."""

    event_id: UUID
    occurred_at: datetime
    level: str  # fatal, error, warning, info, debug
    platform: str
    release: str
    environment: str
    error_type: str
    error_message: str
    culprit: str
    grouping_version: int
    grouping_hash: bytes = field(repr=False)  # 16 bytes
    grouping_label: str
    account: int | None  # signed 64-bit hash of who met it; None: nobody is named
    tags: tuple[tuple[str, str], ...]
    paths: tuple[str, ...]  # files of the in-app frames, innermost first, at most 20
    payload: bytes = field(repr=False)  # JSON, zstd


@dataclass(frozen=True)
class Growth:
    """How one issue grew by one batch. `issue` is locked, and its counts are those after the batch."""

    issue: "Issue"
    new: bool
    events: tuple[DigestedEvent, ...] = field(repr=False)  # those of the batch, in the order of their arrival
    accounts_before: int
    events_before: int
    releases: frozenset[str]  # of the batch's events; "" for none
