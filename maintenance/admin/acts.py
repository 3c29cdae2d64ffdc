"""What people may do to windows from their pages."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

from django.contrib import messages
from django.db import models

from maintenance.admin.forms import CancelForm, ExtendForm, UpdateForm
from maintenance.admin.states import url
from maintenance.models import Window
from maintenance.rules import OPEN, Status
from maintenance.services import running, scheduling
from sysops.access.actors import Actor
from sysops.kernel.clock import utc_now
from sysops.kernel.words import span_words, utc_words
from sysops.pages.acts import Act, Done

VIEW, MANAGE = "maintenance.view", "maintenance.manage"
Given = Mapping[str, object]


def _scheduled(row: models.Model) -> bool:
    return cast(Window, row).status == Status.SCHEDULED


def _in_progress(row: models.Model) -> bool:
    return cast(Window, row).status == Status.IN_PROGRESS


def _open(row: models.Model) -> bool:
    return cast(Window, row).status in OPEN


def _direct(window: Window) -> str:
    return _named([row.service.name for row in window.affected.all() if row.direct])


def _reached(window: Window) -> str:
    return _named([row.service.name for row in window.affected.all() if not row.direct])


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _start(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    window = running.start(row.pk, by=by, at=utc_now)
    return Done(f"{window.title} is in progress.", url(window))


def _start_will(row: models.Model) -> Sequence[str]:
    window = cast(Window, row)
    reached = _reached(window)
    early = utc_now() < window.scheduled_start
    gates = [gate.gate for gate in window.gates.all()]
    return (
        *((f"First it is asked whether it may start: {', '.join(gates)}.",) if gates else ()),
        *((_early_means(window),) if early else ()),
        f"{_direct(window)}{f', and with it {reached},' if reached else ''} will be in maintenance:"
        " their alerts are held back and their uptime is not charged.",
        *(("Proxies that ask Sysops turn users away until it is over.",) if window.maintenance_mode else ()),
        "Everybody affected is told that it has started.",
    )


def _early_means(window: Window) -> str:
    start, end = utc_words(window.scheduled_start), utc_words(window.scheduled_end)
    return f"It was to start at {start}. Begun now, it goes on until {end}, unless somebody completes it before."


def _complete(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    window = running.complete(cast(Window, row), by=by, at=at)
    return Done(f"{window.title} is completed. Its report is ready.", url(window))


def _complete_will(row: models.Model) -> Sequence[str]:
    return (
        "Its services go back to how they were before; what is still wrong with them is alerted then.",
        "Everybody affected is told that it is over, and the report is frozen.",
    )


def _cancel(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    running.cancel(cast(Window, row), reason=str(given["reason"]), by=by, at=at)
    return Done(f"{row} is cancelled.")


def _cancel_will(row: models.Model) -> Sequence[str]:
    return ("Everybody affected is told, with your reason. Calendars show it as cancelled. It cannot be taken back.",)


def _extend(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    duration = timedelta(seconds=cast(int, given["duration"]))
    window = scheduling.extend(cast(Window, row), duration=duration, by=by, at=at)
    return Done(f"{window.title} is now expected to end at {utc_words(window.scheduled_end)}.")


def _extend_will(row: models.Model) -> Sequence[str]:
    window = cast(Window, row)
    return (
        f"So far it is {span_words(window.estimated_duration_seconds)}, until {utc_words(window.scheduled_end)}.",
        "Everybody affected is told the new end. Another window in the way is named, and then nothing changes.",
    )


def _update(row: models.Model, given: Given, by: Actor, at: datetime) -> Done:
    running.post_update(cast(Window, row), message=str(given["message"]), by=by, at=at)
    return Done("The update is posted; everybody affected is told.", level=messages.SUCCESS)


START = Act("start", "Start now", MANAGE, _start, _start_will, _scheduled, icon="play_arrow", tone="main")
COMPLETE = Act("complete", "Complete", MANAGE, _complete, _complete_will, _in_progress, icon="done_all", tone="main")
EXTEND = Act("extend", "Extend…", MANAGE, _extend, _extend_will, _open, ExtendForm, icon="more_time")
CANCEL = Act(
    "cancel", "Cancel…", MANAGE, _cancel, _cancel_will, _scheduled, CancelForm, icon="event_busy", tone="danger"
)
UPDATE = Act("update", "Post an update…", MANAGE, _update, lambda row: (), _open, UpdateForm, icon="campaign")
WINDOW_ACTS = (COMPLETE, START, UPDATE, EXTEND, CANCEL)
