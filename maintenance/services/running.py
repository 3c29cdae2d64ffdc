"""A window's life once it is there: it starts, is talked about, ends or is called off (SPEC M7, M8)."""

from collections.abc import Callable
from datetime import datetime

from django.db import transaction

from maintenance import records, rules, selectors
from maintenance.models import Update, Window, WrongState
from maintenance.rules import OPEN, NoticeKind, Status, Type
from maintenance.services import effects, gates, holds, notices, reach, reports
from maintenance.services.holds import Conflicts
from maintenance.services.scheduling import BadWindow
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.events import publish
from sysops.kernel.clock import Clock

__all__ = ["Conflicts", "NotYet", "cancel", "complete", "leave", "post_update", "start"]


class NotYet(Exception):
    """The window does not start now, for this reason. `preparing`: it starts by itself once its gates are open."""

    def __init__(self, reason: str, *, preparing: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.preparing = reason, preparing


def start(window_id: int, *, by: Actor, at: Clock, unattended: bool = False) -> Window:
    """The window, in progress. It may start early or late, but not after its end.

    Its gates are asked first, outside any transaction. One that prepares what opens it leaves the start asked for:
    the tick tries again. `unattended` is the tick itself: on-call hears of a refusal, once per cause. Raises
    Window.DoesNotExist, WrongState, NotYet, Conflicts.
    """
    window = Window.objects.get(pk=window_id)
    _refuse_wrong_state(window, Status.IN_PROGRESS)
    if at() >= window.scheduled_end:
        raise NotYet("Its time has passed. Reschedule it, then start it.")
    answers = gates.ask_all(window, by=by, at=at, again=unattended)
    if answers.closed:
        _refuse(window, answers.reason, cause=answers.shut_by, by=by, at=at(), unattended=unattended)
        raise NotYet(answers.reason)
    if answers.preparing:
        _wait_for(window, answers.reason, by=by, at=at(), unattended=unattended)
        raise NotYet(answers.reason, preparing=True)
    try:
        return holds.all_or_named(
            lambda: _begin(window, by=by, at=at()), clashes=lambda: holds.clashes_of(_as_if_begun(window_id, at()))
        )
    except Conflicts as exc:
        cause = f"conflict {sorted(other.pk for other in exc.windows)}"
        _refuse(window, str(exc), cause=cause, by=by, at=at(), unattended=unattended)
        raise


def complete(window: Window, *, by: Actor, at: datetime) -> Window:
    """The window, completed: its services are as they were before, and its report is frozen. Raises WrongState."""

    def write() -> Window:
        row = holds.locked(window.pk)
        before = records.snapshot(row)
        services = _services_of(row)
        holds.lock_services(services)  # two windows that complete together would each leave it to the other
        row.move(Status.COMPLETED, completed_at=at, changed_at=at)
        holds.release(row)
        states = dict(row.affected.values_list("service_id", "state_before"))
        effects.bring_about(services, before=states, by=by, at=at)
        gone = (NoticeKind.AHEAD, NoticeKind.STARTED, NoticeKind.OVERRUN)
        notices.withdraw(row, gone, because="The window was completed", at=at)
        notices.tell(row, NoticeKind.COMPLETED, at=at)
        _record("completed", row, before=before, by=by, at=at)
        return row

    done = _in_one_go(write)
    reports.freeze(done, at=at)  # asks other apps: after the transaction, and again by the tick should we die here
    return done


def cancel(window: Window, *, reason: str = "", by: Actor, at: datetime) -> Window:
    """The window, called off before it began; its time is free for others. Raises WrongState, BadWindow."""
    reason = reason.strip()
    if problem := rules.text_problem(reason, longest=rules.LONGEST_REASON):
        raise BadWindow({"reason": problem})

    def write() -> Window:
        row = holds.locked(window.pk)
        before = records.snapshot(row)
        row.move(
            Status.CANCELLED,
            cancelled_at=at,
            cancel_reason=reason,
            start_asked_at=None,
            start_asked_by="",
            sequence=row.sequence + 1,
            changed_at=at,
        )
        holds.release(row)
        because = "The window was cancelled"
        notices.drop_waiting(row, because=because, at=at)
        gone = (NoticeKind.AHEAD, NoticeKind.START_DUE, NoticeKind.START_REFUSED)
        notices.withdraw(row, gone, because=because, at=at)
        notices.tell(row, NoticeKind.CANCELLED, facts={"reason": reason}, at=at)
        _record("cancelled", row, before=before, by=by, at=at)
        return row

    return _in_one_go(write)


def post_update(window: Window, *, message: str, by: Actor, at: datetime) -> Update:
    """The status update, told to everyone affected, while the window is open. Raises WrongState, BadWindow."""
    message = message.strip()
    if problem := rules.message_problem(message):
        raise BadWindow({"message": problem})
    with transaction.atomic():
        row = holds.locked(window.pk)
        if row.status not in OPEN:
            raise WrongState(
                f"Window {row.pk} is {row.status}; updates are posted while it is scheduled or in progress.",
                current=row.status,
            )
        update = Update.objects.create(window=row, message=message, author=records.author(by)[:255], created_at=at)
        facts = {"update": message, "author": update.author}
        notices.tell(row, NoticeKind.UPDATE, mark=str(update.pk), facts=facts, at=at)
        said: dict[str, object] = {"update": update.pk, "by": str(by)}
        publish("maintenance.window.updated", subject=row.pk, at=at, data=said)
        audit.record("maintenance.window.updated", by=by, subject=row, at=at, after={"message": message})
    return update


def leave(window_id: int, *, by: Actor, at: datetime) -> bool:
    """Whether a window that the tick was to start, and whose time has passed, is given up now; on-call hears of it."""
    with transaction.atomic():
        row = holds.locked(window_id)
        if row.status != Status.SCHEDULED or at < row.scheduled_end:
            return False
        reason = row.start_refused_because or "Nothing could start it in its time."
        reason = f"Its time has passed and it was not started: {reason}"[:1000]
        told = _tell_refused(row, reason, cause="left", at=at)
        Window.objects.filter(pk=row.pk).update(start_asked_at=None, start_asked_by="", start_refused_because=reason)
        if told:
            _record_refusal(row, reason, by=by, at=at)
        return told


def _begin(window: Window, *, by: Actor, at: datetime) -> Window:
    row = holds.locked(window.pk)
    _refuse_wrong_state(row, Status.IN_PROGRESS)
    _refuse_changed(row, window)
    before = records.snapshot(row)
    reached = reach.of(row)
    services = _services_of(row) | reached
    holds.lock_services(services)
    reach.align(row, reached)
    if row.maintenance_type != Type.EMERGENCY and (running := selectors.running_on(row)):
        raise Conflicts(running)
    row.move(
        Status.IN_PROGRESS,
        actual_start=at,
        start_asked_at=None,
        start_asked_by="",
        start_refused_because="",
        changed_at=at,
    )
    if at < row.scheduled_start:
        holds.stretch(row)
    services = set(row.affected.values_list("service_id", flat=True))
    effects.remember(row)
    effects.bring_about(services, begun=services, by=by, at=at)
    notices.drop_waiting(row, because="The window had started", at=at)
    gone = (NoticeKind.AHEAD, NoticeKind.START_DUE, NoticeKind.START_REFUSED)
    notices.withdraw(row, gone, because="The window had started", at=at)
    notices.tell(row, NoticeKind.STARTED, at=at)
    _record("started", row, before=before, by=by, at=at)
    return row


def _as_if_begun(window_id: int, at: datetime) -> Window:
    window = Window.objects.get(pk=window_id)
    window.actual_start = at
    return window


def _services_of(window: Window) -> set[int]:
    return set(window.affected.values_list("service_id", flat=True))


def _in_one_go(write: Callable[[], Window]) -> Window:
    return holds.all_or_named(write, clashes=list)


def _refuse_wrong_state(window: Window, wanted: Status) -> None:
    if not rules.may_move(Status(window.status), wanted):
        is_now = window.status.replace("_", " ")
        raise WrongState(f"Window {window.pk} is {is_now}; it cannot be started.", current=window.status)


def _refuse_changed(row: Window, asked: Window) -> None:
    """Nothing when the gates were asked about the window as it is now."""
    if row.changed_at != asked.changed_at:
        raise NotYet("The window was changed while it was being started. Look again, then start it.")


def _wait_for(window: Window, reason: str, *, by: Actor, at: datetime, unattended: bool) -> None:
    """Remember that a start was asked for, once; the tick starts the window when its gates are open.

    Of one that starts itself nobody knows that it waits: on-call hears of it once, when it is late.
    """
    with transaction.atomic():
        row = holds.locked(window.pk)
        _refuse_wrong_state(row, Status.IN_PROGRESS)
        _refuse_changed(row, window)
        waiting = Window.objects.filter(pk=window.pk, start_asked_at=None)
        if waiting.update(start_asked_at=at, start_asked_by=by.name[:255], start_refused_because=""):
            data = {"reason": reason, "by": str(by)}
            publish("maintenance.window.start_asked", subject=window.pk, at=at, data=data)
            audit.record("maintenance.window.start_asked", by=by, subject=window, at=at, after={"reason": reason})
        if unattended and row.starts_itself and at >= row.scheduled_start + rules.START_DUE_AFTER:
            _tell_refused(row, reason, cause="preparing", at=at)


def _refuse(window: Window, reason: str, *, cause: str, by: Actor, at: datetime, unattended: bool) -> None:
    """Record why the window did not start. A start that was asked for and waited is given up."""
    with transaction.atomic():
        row = holds.locked(window.pk)
        if row.status != Status.SCHEDULED or row.changed_at != window.changed_at:
            return  # what was asked was another start
        Window.objects.filter(pk=row.pk).update(
            start_refused_because=reason[:1000], start_asked_at=None, start_asked_by=""
        )
        # Whoever asks is told by the answer; nobody sees the tick's, and it asks every few seconds.
        if not unattended or _tell_refused(row, reason, cause=cause, at=at):
            _record_refusal(row, reason, by=by, at=at)


def _tell_refused(window: Window, reason: str, *, cause: str, at: datetime) -> bool:
    mark = notices.mark_of(cause, window.scheduled_start, window.scheduled_end)
    return notices.tell(window, NoticeKind.START_REFUSED, mark=mark, facts={"reason": reason}, at=at)


def _record_refusal(window: Window, reason: str, *, by: Actor, at: datetime) -> None:
    data = {"reason": reason[:1000], "by": str(by)}
    publish("maintenance.window.start_refused", subject=window.pk, at=at, data=data)
    audit.record("maintenance.window.start_refused", by=by, subject=window, at=at, after={"reason": reason[:1000]})


def _record(what: str, window: Window, *, before: dict[str, object], by: Actor, at: datetime) -> None:
    data = {"title": window.title, "status": window.status, "by": str(by)}
    publish(f"maintenance.window.{what}", subject=window.pk, at=at, data=data)
    old, new = audit.differences(before, records.snapshot(window))
    audit.record(f"maintenance.window.{what}", by=by, subject=window, at=at, before=old, after=new)
