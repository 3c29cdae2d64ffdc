"""What arrives beside events: check-ins, sessions, feedback, attachments, and what SDKs discarded by themselves."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4, uuid5

import orjson

from errors.digest.scrub import scrubber_of
from errors.models import Attachment, CheckIn, Feedback
from errors.protocol import event_id as event_ids
from errors.protocol import headers, limits
from errors.protocol.envelope import Item
from errors.services import raw

ENDED = ("exited", "errored", "crashed", "abnormal")
CHECK_IN_STATUSES = ("in_progress", "ok", "error")
MOST_COUNTED = 1_000_000  # sessions or discarded events in one entry; more is not believed
MOST_ENTRIES = 200
CONFIG_BYTES = 4_096
# Why SDKs discard and what. Names beyond these count as "other": a sender could else fill the table with names.
REASONS = frozenset(
    {
        "backpressure",
        "before_send",
        "buffer_overflow",
        "cache_overflow",
        "event_processor",
        "insufficient_data",
        "internal_sdk_error",
        "network_error",
        "queue_overflow",
        "ratelimit_backoff",
        "sample_rate",
        "send_error",
        "too_big",
    }
)
CATEGORIES = frozenset(limits.CATEGORIES.values()) | {"default", "security", "log_byte"}

# (hour, release, environment)
Slot = tuple[datetime, str, str]


class OddItem(Exception):
    """The item is not what its type says; the reason is in plain words and quotes nothing of it."""


@dataclass
class Beside:
    """What one report brought beside its events."""

    project_id: int
    event_id: UUID | None
    received_at: datetime
    scrub_fields: frozenset[str] = frozenset()
    scrub_personal_data: bool = True
    check_ins: list[CheckIn] = field(default_factory=list)
    sessions: Counter[tuple[Slot, str]] = field(default_factory=Counter)
    feedback: list[Feedback] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    discarded: Counter[tuple[str, str]] = field(default_factory=Counter)  # by category and reason

    def add(self, item: Item, *, position: int) -> None:
        """Take an item in. Raises OddItem."""
        if item.type == "attachment":
            self._attachment(item, position)
            return
        content = headers.parse(item.payload)
        if content is None:
            raise OddItem(f"The item of type {item.type} is not a JSON object.")
        readers: Mapping[str, Callable[[Mapping[str, object]], None]] = {
            "check_in": self._check_in,
            "session": self._session,
            "sessions": self._aggregates,
            "feedback": self._feedback,
            "user_report": self._user_report,
            "client_report": self._client_report,
        }
        readers[item.type](content)

    def _attachment(self, item: Item, position: int) -> None:
        if self.event_id is None:
            raise OddItem("The attachment belongs to no event: its envelope has no event id.")
        self.attachments.append(
            Attachment(
                project_id=self.project_id,
                event_id=self.event_id,
                position=position,
                filename=text(item.headers.get("filename"), 255) or "attachment",
                content_type=text(item.headers.get("content_type"), 100),
                size_bytes=len(item.payload),
                body=item.payload,
                received_at=self.received_at,
            )
        )

    def _check_in(self, content: Mapping[str, object]) -> None:
        monitor, status = text(content.get("monitor_slug"), 100), content.get("status")
        if not monitor:
            raise OddItem("The check-in names no monitor_slug.")
        if status not in CHECK_IN_STATUSES:
            raise OddItem("The check-in's status is none of in_progress, ok and error.")
        self.check_ins.append(
            CheckIn(
                project_id=self.project_id,
                check_in_id=event_ids.parse(content.get("check_in_id")) or uuid4(),
                monitor=monitor,
                status=status,
                environment=text(content.get("environment"), 64),
                duration_seconds=_duration(content.get("duration")),
                monitor_config=_config(content.get("monitor_config")),
                received_at=self.received_at,
            )
        )

    def _session(self, content: Mapping[str, object]) -> None:
        slot = self._slot(content)
        if content.get("init") is True:
            self.sessions[slot, "started"] += 1
        status, failed = content.get("status"), quantity(content.get("errors")) > 0
        if status in ENDED:
            self.sessions[slot, "errored" if status == "exited" and failed else str(status)] += 1

    def _aggregates(self, content: Mapping[str, object]) -> None:
        found = content.get("aggregates")
        if not isinstance(found, list):
            raise OddItem("The item of type sessions has no list of aggregates.")
        slot = self._slot(content)
        for entry in found[:MOST_ENTRIES]:
            for how in ENDED if isinstance(entry, dict) else ():
                self.sessions[slot, how] += quantity(entry.get(how))
                self.sessions[slot, "started"] += quantity(entry.get(how))

    def _slot(self, content: Mapping[str, object]) -> Slot:
        named = content.get("attrs")
        attributes: Mapping[str, object] = named if isinstance(named, dict) else {}
        hour = self.received_at.replace(minute=0, second=0, microsecond=0)
        return hour, text(attributes.get("release"), 250), text(attributes.get("environment"), 64)

    def _feedback(self, content: Mapping[str, object]) -> None:
        contexts = content.get("contexts")
        found = contexts.get("feedback") if isinstance(contexts, dict) else None
        if not isinstance(found, dict):
            raise OddItem("The item of type feedback has no contexts.feedback.")
        about = event_ids.parse(found.get("associated_event_id"))
        known_as = event_ids.parse(content.get("event_id")) or self.event_id or uuid4()
        self._wrote(found, known_as=known_as, about=about, message="message", email="contact_email")

    def _user_report(self, content: Mapping[str, object]) -> None:
        about = event_ids.parse(content.get("event_id")) or self.event_id
        known_as = uuid5(about, "user_report") if about else uuid4()
        self._wrote(content, known_as=known_as, about=about, message="comments", email="email")

    def _wrote(
        self, content: Mapping[str, object], *, known_as: UUID, about: UUID | None, message: str, email: str
    ) -> None:
        wrote = text(content.get(message), 10_000)
        if not wrote:
            raise OddItem("The feedback says nothing.")
        clean = scrubber_of(self.scrub_fields, personal=self.scrub_personal_data).text
        self.feedback.append(
            Feedback(
                project_id=self.project_id,
                feedback_id=known_as,
                event_id=about,
                name=clean(text(content.get("name"), 200))[:200],
                email="" if self.scrub_personal_data else text(content.get(email), 254),
                message=clean(wrote),
                url=clean(text(content.get("url"), 1_000))[:1_000],
                received_at=self.received_at,
            )
        )

    def _client_report(self, content: Mapping[str, object]) -> None:
        found = content.get("discarded_events")
        for entry in found[:MOST_ENTRIES] if isinstance(found, list) else ():
            if isinstance(entry, dict):
                category, reason = str(entry.get("category")), str(entry.get("reason"))
                key = category if category in CATEGORIES else "other", reason if reason in REASONS else "other"
                self.discarded[key] += quantity(entry.get("quantity"))


def store(found: Iterable[Beside]) -> None:
    """Store it all, each kind in one statement. What is known already is left as it is."""
    reports = list(found)
    CheckIn.objects.bulk_create([each for report in reports for each in report.check_ins], ignore_conflicts=True)
    Feedback.objects.bulk_create([each for report in reports for each in report.feedback], ignore_conflicts=True)
    _store_attachments([each for report in reports for each in report.attachments])
    sessions: dict[tuple[int, Slot], Counter[str]] = {}
    for report in reports:
        for (slot, how), number in report.sessions.items():
            sessions.setdefault((report.project_id, slot), Counter())[how] += number
    _store_sessions(sessions)


def _store_attachments(attachments: list[Attachment]) -> None:
    if not attachments:
        return
    with raw.cursor() as cursor:  # not by the ORM, which would write each megabyte out in the statement's text
        cursor.executemany(
            "INSERT INTO errors_attachment "
            "(project_id, event_id, position, filename, content_type, size_bytes, body, received_at) "
            "VALUES (%s, %s, %s, %s, %s, %s, %b, %s) ON CONFLICT DO NOTHING",
            [
                (
                    each.project_id,
                    each.event_id,
                    each.position,
                    each.filename,
                    each.content_type,
                    each.size_bytes,
                    each.body,
                    each.received_at,
                )
                for each in attachments
            ],
        )


def _store_sessions(sessions: Mapping[tuple[int, Slot], Counter[str]]) -> None:
    if not sessions:
        return
    ordered = sorted(sessions)
    with raw.cursor() as cursor:
        cursor.execute(
            "INSERT INTO errors_sessioncount AS counted "
            "(project_id, hour, release, environment, started, exited, errored, crashed, abnormal) "
            "SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::text[], "
            "%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[]) "
            "ON CONFLICT (project_id, hour, release, environment) DO UPDATE SET "
            "started = counted.started + excluded.started, exited = counted.exited + excluded.exited, "
            "errored = counted.errored + excluded.errored, crashed = counted.crashed + excluded.crashed, "
            "abnormal = counted.abnormal + excluded.abnormal",
            [
                [key[0] for key in ordered],
                *([key[1][place] for key in ordered] for place in range(3)),
                *([sessions[key][name] for key in ordered] for name in ("started", *ENDED)),
            ],
        )


def text(value: object, length: int) -> str:
    """The value as text that PostgreSQL takes, cut to `length`; "" for what is no text or number."""
    if not isinstance(value, str | int | float):
        return ""
    return str(value).replace("\0", "").encode("utf-8", "replace").decode().strip()[:length]


def quantity(value: object) -> int:
    """The value as a count that can be believed; 0 for all else."""
    return value if isinstance(value, int) and 0 < value <= MOST_COUNTED else 0


def _duration(value: object) -> float | None:
    number = float(value) if isinstance(value, int | float) and abs(value) < 1e9 else math.nan
    return number if number >= 0 else None


def _config(value: object) -> object:
    if not isinstance(value, dict):
        return None
    written = orjson.dumps(value)
    return value if len(written) <= CONFIG_BYTES and b"\\u0000" not in written else None
