"""One waiting report made events, without the database. Whatever is wrong with it is said, and stays with it."""

import logging
import traceback
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid5

from errors.digest import event as digesting
from errors.digest.plain import from_plain
from errors.digest.security import all_from_security
from errors.digest.terms import Odd, Settings
from errors.growth import DigestedEvent
from errors.protocol import encodings, envelope, limits
from errors.protocol import event_id as event_ids
from errors.rules import Kind, Outcome
from errors.services.beside import Beside, OddItem

logger = logging.getLogger(__name__)

ERROR = "error"  # the category of events
STORED = "sysops_stored "  # before the type of an item that was stored, or counted, when its envelope came first


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row of the spool."""

    id: int
    project_id: int
    received_at: datetime
    event_id: UUID | None
    kind: str
    encoding: str
    remote: str
    body: bytes = field(repr=False)


@dataclass(slots=True)
class Report:
    """What became of a waiting report. With a `problem` its `body` is kept; what was good in it is stored.

    The body is what came. Of an envelope that is stored in part it is the rest: tried again, nothing counts twice.
    """

    waiting: Waiting
    events: list[DigestedEvent] = field(default_factory=list)
    beside: Beside | None = None
    outcomes: Counter[tuple[str, Outcome, str]] = field(default_factory=Counter)  # category, outcome, reason
    problem: str = ""
    rest: bytes | None = field(default=None, repr=False)

    @property
    def body(self) -> tuple[str, bytes]:
        """How what is kept of it is packed, and that."""
        waiting = self.waiting
        return (waiting.encoding, waiting.body) if self.rest is None else ("zstd", self.rest)

    @property
    def size(self) -> int:
        """About how many bytes of memory are held for what came out of the report."""
        attached = self.beside.attachments if self.beside else ()
        events, files = sum(len(event.payload) for event in self.events), sum(len(each.body) for each in attached)
        return events + files + len(self.rest or b"")


def unpack(waiting: Waiting, *, settings: Settings) -> Report:
    """The report's events and what came beside them. Never raises for what the report holds."""
    report = Report(waiting)
    try:
        if waiting.kind == Kind.ENVELOPE:
            _envelope(report, settings)
        else:
            report.events.extend(_single(waiting, settings))
    except _TOLD as exc:
        report.problem = str(exc)
    except Exception as exc:  # noqa: BLE001 - recorded with the report: its neighbours must not suffer from it
        report.problem = unexpected(exc)
    if report.problem:
        report.outcomes[ERROR, Outcome.UNDIGESTIBLE, ""] += 1
    return report


_TOLD = (Odd, OddItem, envelope.BadEnvelope, encodings.BadBody, encodings.TooLarge)


def unexpected(exc: BaseException) -> str:
    """What went wrong and where, without a word of what the report says."""
    steps = traceback.extract_tb(exc.__traceback__)
    place = f" in {Path(steps[-1].filename).name}, line {steps[-1].lineno}" if steps else ""
    logger.error("A report could not be digested: %s%s", type(exc).__name__, place)
    return f"Unexpected {type(exc).__name__}{place}. Please report this as a mistake of Sysops."


def _envelope(report: Report, settings: Settings) -> None:
    waiting = report.waiting
    found = _read(waiting)
    beside = Beside(
        waiting.project_id,
        waiting.event_id or event_ids.parse(found.headers.get("event_id")),
        waiting.received_at,
        scrub_fields=settings.scrub_fields,
        scrub_personal_data=settings.scrub_personal_data,
    )
    problems: dict[int, str] = {}
    number = 0  # of the event items up to here
    for position, item in enumerate(found.items):
        kind = item.type.removeprefix(STORED)
        number += kind == "event"
        if kind != item.type:
            continue
        category = envelope.category(kind)
        if item.dropped:
            report.outcomes[category, Outcome(item.dropped), ""] += 1
            continue
        try:
            if kind == "event":
                report.events.append(_event(item.payload, report, settings, number=number))
                continue
            beside.add(item, position=position)
            report.outcomes[category, Outcome.ACCEPTED, ""] += 1
        except (Odd, OddItem) as exc:
            problems[position] = str(exc)
        except Exception as exc:  # noqa: BLE001 - as above, and for the other items of the same envelope
            problems[position] = unexpected(exc)
    for (category, reason), quantity in beside.discarded.items():
        report.outcomes[category, Outcome.CLIENT_DISCARD, reason] += quantity
    report.beside = beside
    report.problem = " ".join(problems.values())
    if problems:
        report.rest = _rest(found, but=problems)


def _rest(found: envelope.Envelope, *, but: Collection[int]) -> bytes | None:
    """The envelope in which of every item but these only the place is left; None when it has no others."""
    for position, item in enumerate(found.items):
        if position not in but:
            item.type, item.dropped = STORED + item.type.removeprefix(STORED), Outcome.UNKNOWN_ITEM.value
    left = envelope.reduce(found)
    return None if left is None else encodings.pack(left)


def _read(waiting: Waiting) -> envelope.Envelope:
    try:
        return envelope.read(encodings.unpack(waiting.body, waiting.encoding, limit=limits.FAST_BYTES))
    except encodings.TooLarge:
        chunks = encodings.chunks(waiting.body, waiting.encoding, limit=limits.RAW_BYTES)
        return envelope.read_stream(chunks)


def _event(payload: bytes, report: Report, settings: Settings, *, number: int) -> DigestedEvent:
    """The envelope's first event keeps the id that was answered; those after it, which no SDK sends, have their own.

    Which one it is depends on its place alone: those before it may be odd, or stored already.
    """
    waiting, first = report.waiting, number == 1
    made = digesting.digest(
        payload,
        event_id=waiting.event_id if first else None,
        received_at=waiting.received_at,
        remote=waiting.remote,
        project=settings,
    )
    if not first and made.event_id in (waiting.event_id, *(other.event_id for other in report.events)):
        return replace(made, event_id=uuid5(made.event_id, str(number)))
    return made


def _single(waiting: Waiting, settings: Settings) -> list[DigestedEvent]:
    raw = encodings.unpack(waiting.body, waiting.encoding, limit=limits.STORE_BYTES)
    if waiting.kind == Kind.SECURITY:
        read: Callable[..., list[DigestedEvent] | DigestedEvent] = all_from_security
    else:
        read = from_plain if waiting.kind == Kind.PLAIN else digesting.digest
    made = read(
        raw, event_id=waiting.event_id, received_at=waiting.received_at, remote=waiting.remote, project=settings
    )
    return made if isinstance(made, list) else [made]
