"""What people are told of a window: each notice a row, posted once, when it is due and still true (SPEC M6, M12)."""

import logging
import time
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from django.db import transaction
from django.db.models import QuerySet

from maintenance import records, rules
from maintenance.models import Notice, Window
from maintenance.rules import NoticeKind, NoticeState, Status, Type
from notifications.audience import Audience
from notifications.models import Message
from notifications.rules import Level
from notifications.services import messages
from notifications.services.rendering import Recipient, render
from notifications.templating import Filled
from sysops.kernel.words import span_words

logger = logging.getLogger(__name__)

WORK_FOR = timedelta(seconds=20)
BATCH = 20


class Affected(NamedTuple):
    """What is told of one service of a window."""

    service: int
    service__name: str
    service__owner_team: int | None
    direct: bool


_DATED = (NoticeKind.AHEAD, NoticeKind.START_DUE)
_FOR_ON_CALL = (NoticeKind.START_REFUSED, NoticeKind.START_DUE)
_CRITICAL = (*_FOR_ON_CALL, NoticeKind.OVERRUN)
_NO_FACTS: Mapping[str, object] = {}


def tell(
    window: Window, kind: NoticeKind, *, at: datetime, mark: str = "", facts: Mapping[str, object] = _NO_FACTS
) -> bool:
    """Whether people are told of this now: what was told before is not told again. In the change's transaction."""
    notice, created = Notice.objects.get_or_create(
        window=window,
        kind=kind.value,
        mark=mark[:40],
        defaults={"due_at": at, "state": NoticeState.POSTED.value, "settled_at": at, "facts": dict(facts)},
    )
    if created:
        _post(notice, window, at=at)
    return created


def date(window: Window, *, at: datetime) -> None:
    """Give the window the notices that its start asks for later, and drop those of another start.

    What was told of this very start stays told, also when the window moves away from it and back.
    """
    mark = window.scheduled_start.isoformat()[:40]
    dated = Notice.objects.filter(window=window, kind__in=[kind.value for kind in _DATED])
    _drop(dated.exclude(mark=mark), because="The window was rescheduled", at=at)
    posted = set(dated.filter(state=NoticeState.POSTED.value).values_list("mark", flat=True))
    if posted and mark not in posted:
        withdraw(window, _DATED, because="The window was rescheduled", at=at)
    wanted = rules.dated_notices(Type(window.maintenance_type), start=window.scheduled_start, now=at)
    Notice.objects.bulk_create(
        [Notice(window=window, kind=kind.value, mark=mark, due_at=due_at) for kind, due_at in wanted.items()],
        ignore_conflicts=True,
    )
    back = dated.filter(mark=mark, state=NoticeState.DROPPED.value, kind__in=[kind.value for kind in wanted])
    back.update(state=NoticeState.WAITING.value, settled_at=None, reason="")


def drop_waiting(window: Window, *, because: str, at: datetime) -> None:
    """Nothing that waits is told of the window any more."""
    _drop(Notice.objects.filter(window=window), because=because, at=at)


def withdraw(window: Window, kinds: Collection[NoticeKind], *, because: str, at: datetime) -> None:
    """Whatever of these kinds was posted and has not reached people yet does not reach them any more."""
    names = [template(kind) for kind in kinds]
    messages.expire(thread=records.thread(window), kinds=names, because=because, at=at)


def template(kind: NoticeKind) -> str:
    """The kind of message that tells this."""
    return f"maintenance.{kind.value}"


def mark_of(*parts: object) -> str:
    """A short name for what a notice is about, when its words may differ from time to time."""
    return sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


def preview(window: Window, kind: NoticeKind, *, facts: Mapping[str, object], at: datetime) -> Filled:
    """What somebody of ours would read of this, in the window's zone. Nothing is written."""
    affected = window.affected.order_by("service__name", "service")
    rows = [Affected(*row) for row in affected.values_list(*Affected._fields)]
    notice = Notice(window=window, kind=kind.value, facts=dict(facts))
    message = Message(
        kind=template(kind), level=Level.WARNING.value, context=_context(notice, window, rows), posted_at=at
    )
    return render(message, Recipient(zone=window.time_zone)).filled


def settle_due(*, now: datetime) -> int:
    """Post what is due and still true, drop the rest with the reason; how many were settled.

    Each is taken by one of any number of workers. What a killed one had not committed waits for the next.
    """
    settled, stop = 0, time.monotonic() + WORK_FOR.total_seconds()
    failed: set[int] = set()
    while time.monotonic() < stop:
        waiting = Notice.objects.filter(state=NoticeState.WAITING.value, due_at__lte=now)
        # A window that has yet to follow its series gets other times, or none: then it is dated anew, or dropped.
        due = waiting.exclude(pk__in=failed).exclude(window__behind_series=True)
        keys = list(due.order_by("due_at", "pk").values_list("pk", flat=True)[:BATCH])
        done = 0
        with transaction.atomic():  # a few at a time: senders are woken once for all of them
            for key in keys:
                try:
                    with transaction.atomic():
                        done += _settle(key, now=now)
                except Exception:  # one that cannot be told must not keep the others from being told
                    logger.exception("Notice %s could not be settled; it is tried again", key)
                    failed.add(key)
        settled += done
        if len(keys) < BATCH or not done:
            break  # done, or in the hands of another worker
    return settled


def _settle(key: int, *, now: datetime) -> bool:
    waiting = Notice.objects.filter(pk=key, state=NoticeState.WAITING.value, due_at__lte=now)
    notice = waiting.select_for_update(skip_locked=True, of=("self",)).select_related("window").first()
    if notice is None:
        return False
    window = notice.window
    untrue = rules.untrue_because(
        NoticeKind(notice.kind),
        status=Status(window.status),
        start=window.scheduled_start,
        end=window.scheduled_end,
        starts_itself=window.starts_itself,
        now=now,
    )
    notice.state = (NoticeState.DROPPED if untrue else NoticeState.POSTED).value
    notice.reason, notice.settled_at = untrue or "", now
    notice.save(update_fields=["state", "reason", "settled_at"])
    if not untrue:
        _post(notice, window, at=now)
    return True


def _drop(notices: QuerySet[Notice], *, because: str, at: datetime) -> None:
    waiting = notices.filter(state=NoticeState.WAITING.value)
    waiting.update(state=NoticeState.DROPPED.value, reason=because[:300], settled_at=at)


def _post(notice: Notice, window: Window, *, at: datetime) -> None:
    kind = NoticeKind(notice.kind)
    affected = window.affected.order_by("service__name", "service")
    rows = [Affected(*row) for row in affected.values_list(*Affected._fields)]
    messages.post(
        key=records.message_key(notice),
        kind=template(kind),
        level=Level.CRITICAL if kind in _CRITICAL else Level.WARNING,
        context=_context(notice, window, rows),
        audience=_audience(kind, rows, also=notice.facts.get("also")),
        at=at,
        thread=records.thread(window),
        urgent=window.maintenance_type == Type.EMERGENCY,
        expires_at={NoticeKind.AHEAD: window.scheduled_start, NoticeKind.START_DUE: window.scheduled_end}.get(kind),
    )


def _audience(kind: NoticeKind, rows: list[Affected], *, also: object) -> Audience:
    """Subscribers and owners of what is affected, and of what no longer is; on-call where somebody has to act."""
    on_call: tuple[int, ...] = ()
    if kind in _CRITICAL:
        teams = {row.service__owner_team for row in rows if row.direct}
        on_call = tuple(sorted(team for team in teams if team is not None))
    nobody = kind in _CRITICAL and not on_call
    if kind in _FOR_ON_CALL:
        return Audience(on_call_of=on_call, operators=nobody)
    affected = {row.service for row in rows} | set(also if isinstance(also, list) else [])
    services = tuple(sorted(affected))
    return Audience(subscribers_of=services, owners_of=services, on_call_of=on_call, operators=nobody)


def _context(notice: Notice, window: Window, rows: list[Affected]) -> dict[str, object]:
    facts = notice.facts
    return {
        "window_id": window.pk,
        "title": window.title,
        "description": window.description,
        "maintenance_type": window.maintenance_type,
        "status": window.status,
        "time_zone": window.time_zone,
        "start_at": records.moment(window.scheduled_start),
        "end_at": records.moment(window.scheduled_end),
        "actual_start_at": records.moment(window.actual_start),
        "completed_at": records.moment(window.completed_at),
        "duration_words": span_words(window.estimated_duration_seconds),
        "services": [row.service__name for row in rows if row.direct],
        "reached": [row.service__name for row in rows if not row.direct],
        "update": facts.get("update", ""),
        "author": facts.get("author", ""),
        "previous_start_at": facts.get("previous_start_at"),
        "previous_end_at": facts.get("previous_end_at"),
        "reason": facts.get("reason", ""),
        "url": records.path(window),
        "starts_itself": window.starts_itself,
        "recurs": window.series_id is not None,
    }
