"""Makers for tests of errors: projects and keys, events as SDKs send them, a spool to digest, issues as they end up."""

import hashlib
import itertools
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import zstandard

from errors import partitions
from errors.growth import DigestedEvent, Growth
from errors.models import Event, Grouping, Issue, Key, Project, Spool
from errors.rules import Kind
from errors.services import digesting
from sysops.access.actors import Actor
from sysops.events.models import Event as Published
from sysops.kernel.clock import Clock
from tests.errors import sdk

BY = Actor.user("ada", address="192.0.2.1")
NOW = datetime(2027, 1, 13, 12, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
_numbers = itertools.count(1)


def clock(at: datetime = NOW) -> Clock:
    return lambda: at


def project(slug: str = "", **values: object) -> Project:
    slug = slug or f"project-{next(_numbers)}"
    return Project.objects.create(**{"slug": slug, "name": slug.title(), "created_by": "ada", **values})


def key(of: Project, **values: object) -> Key:
    return Key.objects.create(**{"project": of, "public": secrets.token_hex(16), "created_by": "ada", **values})


def frame(
    function: str = "pay", *, filename: str = "shop/payment.py", line: int = 42, **more: object
) -> dict[str, object]:
    """One frame of the application's own code, with source context, as the Python SDK sends it."""
    return {
        "filename": filename,
        "abs_path": f"/srv/{filename}",
        "module": filename.removesuffix(".py").replace("/", "."),
        "function": function,
        "lineno": line,
        "pre_context": ["def pay(order):", "    card = order.card"],
        "context_line": "    return card.charge(order.total)",
        "post_context": ["", ""],
        "in_app": True,
        **more,
    }


def event(
    error_type: str = "ValueError",
    message: str = "broken",
    *,
    event_id: UUID | None = None,
    frames: Sequence[Mapping[str, object]] | None = None,
    at: datetime = NOW,
    **more: object,
) -> dict[str, object]:
    """An event as an SDK sends it, before it is JSON. `frames` go from the outermost to the innermost."""
    thrown = {
        "type": error_type,
        "value": message,
        "mechanism": {"type": "excepthook", "handled": False},
        "stacktrace": {"frames": list(frames if frames is not None else [frame("main"), frame()])},
    }
    return {
        "event_id": (event_id or uuid4()).hex,
        "timestamp": at.isoformat(),
        "platform": "python",
        "level": "error",
        "exception": {"values": [thrown]},
        "sdk": {"name": "sentry.python", "version": "2.0.0"},
        **more,
    }


def event_json(error_type: str = "ValueError", message: str = "broken", **values: object) -> bytes:
    """See `event`; as the bytes that stand in an envelope's item or are posted to /store/."""
    return json.dumps(event(error_type, message, **values)).encode()  # type: ignore[arg-type]


def item(kind: str, payload: bytes | Mapping[str, object] | Sequence[object], **headers: object) -> bytes:
    """One item of an envelope: its header with the length, and its payload."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return json.dumps({"type": kind, "length": len(body), **headers}).encode() + b"\n" + body + b"\n"


def envelope(*items: bytes, event_id: UUID | None = None, **headers: object) -> bytes:
    """An envelope of these items (see `item`); without any, one with an ordinary event."""
    found = event_id or uuid4()
    given = items or (item("event", event(event_id=found)),)
    return json.dumps({"event_id": found.hex, **headers}).encode() + b"\n" + b"".join(given)


def event_envelope(error_type: str = "ValueError", message: str = "broken", **values: object) -> bytes:
    """An envelope with one event; see `event`."""
    made = event(error_type, message, **values)  # type: ignore[arg-type]
    return envelope(item("event", made), event_id=UUID(str(made["event_id"])))


def put_in_spool(
    of: Project,
    *bodies: bytes,
    kind: Kind = Kind.ENVELOPE,
    encoding: str = "identity",
    event_id: UUID | None = None,
    at: datetime = NOW,
    remote: str = "192.0.2.7",
) -> list[Spool]:
    """Reports as intake leaves them for the digest. Their event id is the one their first line names, or `event_id`."""
    rows = [
        Spool(
            project_id=of.pk,
            received_at=at,
            event_id=event_id or _named(body, kind),
            kind=kind.value,
            encoding=encoding,
            remote=remote,
            body=body,
        )
        for body in bodies
    ]
    return Spool.objects.bulk_create(rows)


def _named(body: bytes, kind: Kind) -> UUID | None:
    try:
        head = json.loads(body.split(b"\n", 1)[0] if kind is Kind.ENVELOPE else body)
        return UUID(str(head["event_id"]))
    except (ValueError, KeyError, TypeError):
        return None


def digest_all(*, at: datetime = NOW) -> int:
    """Work off the whole spool, as the task would; how many reports that were."""
    return digesting.digest(now=clock(at), seconds=60.0)


def report(
    of: Project, error_type: str = "ValueError", message: str = "broken", *, at: datetime = NOW, **values: object
) -> Issue:
    """The issue of an error that was reported and digested, all the way."""
    made = event(error_type, message, at=at, **values)  # type: ignore[arg-type]
    event_id = UUID(str(made["event_id"]))
    put_in_spool(of, envelope(item("event", made), event_id=event_id), at=at)
    digest_all(at=at)
    return Issue.objects.get(groupings__pk=Event.objects.get(project=of, event_id=event_id).grouping_id)


def packed(value: object) -> bytes:
    """JSON with zstd, as payloads are stored."""
    return zstandard.ZstdCompressor(level=3).compress(json.dumps(value).encode())


def digested(
    error_type: str = "ValueError", message: str = "broken", *, at: datetime = NOW, **values: object
) -> DigestedEvent:
    """An event as the pure digest hands it on, without a digest."""
    made = event(error_type, message, at=at)
    fields: dict[str, object] = {
        "event_id": UUID(str(made["event_id"])),
        "occurred_at": at,
        "level": "error",
        "platform": "python",
        "release": "",
        "environment": "",
        "error_type": error_type,
        "error_message": message,
        "culprit": "shop.payment in pay",
        "grouping_version": 1,
        "grouping_hash": hashlib.blake2b(f"{error_type}:{message}".encode(), digest_size=16).digest(),
        "grouping_label": f"{error_type} in shop.payment",
        "account": None,
        "tags": (),
        "paths": ("shop/payment.py",),
        "payload": packed(made),
    }
    return DigestedEvent(**{**fields, **values})  # type: ignore[arg-type]


def issue(
    of: Project | None = None,
    error_type: str = "ValueError",
    message: str = "broken",
    *,
    at: datetime = NOW,
    events: int = 1,
    **values: object,
) -> Issue:
    """An issue with one grouping and so many stored events, written directly, without a digest."""
    home = of or project()
    fields: dict[str, object] = {
        "project": home,
        "service": home.service,
        "error_type": error_type,
        "error_message": message,
        "culprit": "shop.payment in pay",
        "platform": "python",
        "severity": "medium",
        "first_seen": at,
        "last_seen": at,
        "clock_started_at": at,
        "event_count": events,
    }
    made = Issue.objects.create(**{**fields, **values})
    grouping(made, events=events, at=at)
    return made


def grouping(of: Issue, *, events: int = 0, at: datetime = NOW) -> Grouping:
    """One more grouping of the issue, with so many stored events, the last one `at`."""
    made = Grouping.objects.create(
        project=of.project,
        issue=of,
        version=1,
        hash=secrets.token_bytes(16),
        label=f"{of.error_type} in shop.payment",
        first_seen=at,
        last_seen=at,
        event_count=events,
        events_kept=events,
    )
    for stored in (stored_event(made, at=at - number * timedelta(seconds=1)) for number in reversed(range(events))):
        Issue.objects.filter(pk=of.pk).update(latest_event_id=stored.pk, latest_received_at=stored.received_at)
    of.refresh_from_db()
    return made


def stored_event(
    of: Grouping, *, at: datetime = NOW, payload: Mapping[str, object] | None = None, **values: object
) -> Event:
    """One stored event of the grouping, written directly."""
    partitions.ensure([at])
    made = dict(payload or event(of.issue.error_type, of.issue.error_message, at=at))
    fields: dict[str, object] = {
        "event_id": UUID(str(made["event_id"])),
        "project": of.project,
        "grouping": of,
        "received_at": at,
        "occurred_at": at,
        "level": "error",
        "payload": packed(made),
    }
    return Event.objects.create(**{**fields, **values})


def growth(
    of: Issue,
    *events: DigestedEvent,
    new: bool = False,
    accounts_before: int | None = None,
    events_before: int | None = None,
) -> Growth:
    """How the issue grew by these events, as the digest tells it; its counts are left as they are."""
    return Growth(
        issue=of,
        new=new,
        events=events,
        accounts_before=of.affected_accounts if accounts_before is None else accounts_before,
        events_before=of.event_count - len(events) if events_before is None else events_before,
        releases=frozenset(each.release for each in events),
    )


def published(of: Issue) -> list[str]:
    """What was published about the issue, in order."""
    rows = Published.objects.filter(name__startswith="errors.issue.", subject=str(of.pk)).order_by("pk")
    return [name.removeprefix("errors.issue.") for name in rows.values_list("name", flat=True)]


def sdk_envelopes(count: int, *, kinds: int = 1, **options: object) -> Iterable[bytes]:
    """Real envelopes of sentry-sdk (about 22 KB each), of so many different errors in turn, not packed."""
    return sdk.envelopes(count, kinds=kinds, **options)
