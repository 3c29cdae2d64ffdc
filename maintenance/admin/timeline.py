"""What happened to a window and what is to come, in order; and who has been told."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count
from django.utils.safestring import SafeString

from maintenance.admin.states import NOTICE_STATES, NOTICE_WORDS
from maintenance.models import Window
from maintenance.rules import NoticeKind, NoticeState, Status
from notifications.models import Delivery
from notifications.rules import DeliveryState
from sysops.access.models import AuditEntry
from sysops.kernel.words import span_words
from sysops.pages.show import pill

_ACTION = "maintenance.window"


@dataclass(frozen=True)
class Entry:
    """One moment: what, said by whom, with a pill where it has a state."""

    at: datetime
    title: str
    text: str = ""
    aside: str = ""
    pill: SafeString | str = ""
    to_come: bool = False
    icon: str = "circle"


@dataclass(frozen=True)
class Told:
    """How many deliveries the window's messages made, by what became of them."""

    sent: int
    waiting: int
    dead: int
    dropped: int


def timeline(window: Window, doers: Mapping[str, str], *, now: datetime) -> list[Entry]:
    """Past and planned, earliest first; `doers` as `who_did` says."""
    return sorted([*_moments(window, doers, now=now), *_notices(window)], key=lambda entry: entry.at)


def who_did(window: Window) -> dict[str, str]:
    """Who started, completed and cancelled it last, as the audit log knows: "by ada", "by itself". One query."""
    actions = {f"{_ACTION}.{what}": what for what in ("started", "completed", "cancelled")}
    rows = AuditEntry.objects.filter(subject=f"{_ACTION}:{window.pk}", action__in=actions).order_by("id")
    return {
        actions[action]: f"by {name}" if kind not in ("task", "system") else "by itself"
        for action, name, kind in rows.values_list("action", "actor", "actor_kind")
    }


def told(window: Window) -> Told:
    """One query."""
    rows = Delivery.objects.filter(message__thread=f"window:{window.pk}").values_list("state").annotate(n=Count("pk"))
    counts = {DeliveryState(state): n for state, n in rows.order_by()}
    return Told(
        sent=counts.get(DeliveryState.SENT, 0),
        waiting=counts.get(DeliveryState.PENDING, 0) + counts.get(DeliveryState.SENDING, 0),
        dead=counts.get(DeliveryState.DEAD, 0),
        dropped=counts.get(DeliveryState.DROPPED, 0),
    )


def _moments(window: Window, doers: Mapping[str, str], *, now: datetime) -> Iterator[Entry]:
    yield Entry(window.created_at, "Scheduled", aside=f"by {window.created_by}", icon="event")
    for update in window.updates.all():
        yield Entry(update.created_at, "Update", update.message, f"by {update.author}", icon="campaign")
    planned = Status(window.status) is Status.SCHEDULED
    if planned:
        alone = "by itself" if window.starts_itself else "by hand"
        yield Entry(window.scheduled_start, "Start", aside=alone, to_come=True, icon="play_arrow")
    if window.actual_start:
        late = (window.actual_start - window.scheduled_start).total_seconds()
        timely = f"{span_words(abs(late))} {'late' if late > 0 else 'early'}" if abs(late) >= 60 else "on time"
        aside = ", ".join(filter(None, (doers.get("started"), timely)))
        yield Entry(window.actual_start, "Started", aside=aside, icon="play_arrow")
    if window.overrunning_since and not window.completed_at:
        yield Entry(window.overrunning_since, "Overruns", pill=pill("bad", "Overrunning"), icon="timer_off")
    if window.completed_at:
        yield Entry(window.completed_at, "Completed", aside=doers.get("completed", ""), icon="done_all")
    elif window.cancelled_at:
        yield Entry(
            window.cancelled_at, "Cancelled", window.cancel_reason, doers.get("cancelled", ""), icon="event_busy"
        )
    else:
        alone = "by itself" if window.completes_itself else "by hand"
        yield Entry(window.scheduled_end, "Estimated end", aside=alone, to_come=now < window.scheduled_end, icon="flag")


def _notices(window: Window) -> Iterator[Entry]:
    for notice in window.notices.all():
        state = NoticeState(notice.state)
        if state is NoticeState.WAITING and window.status not in (Status.SCHEDULED, Status.IN_PROGRESS):
            continue
        tone, words = NOTICE_STATES[state]
        yield Entry(
            notice.settled_at or notice.due_at,
            NOTICE_WORDS[NoticeKind(notice.kind)],
            aside=notice.reason,
            pill=pill(tone, words),
            to_come=state is NoticeState.WAITING,
            icon="mail",
        )
