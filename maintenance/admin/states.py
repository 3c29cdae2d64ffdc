"""How windows look in the admin: always a word, the colour only underlines it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.urls import reverse
from django.utils.safestring import SafeString

from maintenance.models import Window
from maintenance.rules import NoticeKind, NoticeState, Status, Type
from sysops.pages.show import pill

TYPE_WORDS = {Type.PLANNED: "Planned", Type.EMERGENCY: "Emergency", Type.RECURRING: "Recurring"}
NOTICE_WORDS = {
    NoticeKind.SCHEDULED: "Told: scheduled",
    NoticeKind.AHEAD: "Told: starts in 24 hours",
    NoticeKind.STARTED: "Told: started",
    NoticeKind.UPDATE: "Told: update",
    NoticeKind.EXTENDED: "Told: takes longer",
    NoticeKind.OVERRUN: "Told: overruns",
    NoticeKind.RESCHEDULED: "Told: rescheduled",
    NoticeKind.CANCELLED: "Told: cancelled",
    NoticeKind.COMPLETED: "Told: completed",
    NoticeKind.START_REFUSED: "On-call told: could not start",
    NoticeKind.START_DUE: "On-call told: nobody has started it",
}
NOTICE_STATES = {
    NoticeState.WAITING: ("wait", "To come"),
    NoticeState.POSTED: ("good", "Sent out"),
    NoticeState.DROPPED: ("off", "Not sent"),
}


def tone_and_words(window: Window, *, now: datetime) -> tuple[str, str]:
    """What to call the window's state at 3 a.m., and how urgent that is."""
    status = Status(window.status)
    if status is Status.SCHEDULED:
        if now >= window.scheduled_end:
            return "bad", "Never started"
        if now >= window.scheduled_start:
            return "warn", "Not started"
        return "wait", "Scheduled"
    if status is Status.IN_PROGRESS:
        late = window.overrunning or now > window.scheduled_end
        return ("bad", "Overrunning") if late else ("run", "In progress")
    return ("good", "Completed") if status is Status.COMPLETED else ("off", "Cancelled")


def state(window: Window, *, now: datetime) -> SafeString:
    return pill(*tone_and_words(window, now=now))


def url(window: Window, name: str = "change") -> str:
    return reverse(f"admin:maintenance_window_{name}", args=[window.pk])


@dataclass(frozen=True)
class Shown:
    """A window as the calendar lays it out: when it really took place, else when it is to."""

    window: Window
    tone: str
    words: str
    now: datetime

    @property
    def url(self) -> str:
        return url(self.window)

    @property
    def shown_start(self) -> datetime:
        return self.window.actual_start or self.window.scheduled_start

    @property
    def shown_end(self) -> datetime:
        window = self.window
        end = window.completed_at or window.scheduled_end
        if window.status == Status.IN_PROGRESS:
            end = max(end, self.now)
        return max(end, self.shown_start + timedelta(minutes=1))


def shown(window: Window, *, now: datetime) -> Shown:
    return Shown(window, *tone_and_words(window, now=now), now)
