"""Windows start, are talked about, extended, overrun, complete and are cancelled; by people and by themselves."""

from datetime import timedelta

import pytest

from catalogue import services as catalogue
from catalogue.models import Service
from catalogue.rules import State
from maintenance.models import Window, WrongState
from maintenance.rules import Status
from maintenance.services import reach, reports, running, scheduling, ticking
from maintenance.services.running import NotYet
from maintenance.services.scheduling import BadWindow, Conflicts
from maintenance.subscribers import refresh_reach
from sysops.access.actors import Actor
from sysops.access.models import AuditEntry
from sysops.events.models import Event
from sysops.kernel.clock import Clock
from tests.maintenance.support import (
    BY,
    HOUR,
    NOW,
    START,
    clock,
    events,
    make_running,
    make_service,
    make_window,
    message,
    state_of,
    told,
)

MINUTE = timedelta(minutes=1)


@pytest.mark.django_db
def test_the_whole_life_of_a_window() -> None:
    database = make_service("db")
    shop = make_service("shop", database)
    window = make_window(database)

    running.start(window.pk, by=BY, at=clock(START + 5 * MINUTE))
    running.post_update(window, message=" Half done. ", by=BY, at=START + HOUR)
    done = running.complete(window, by=BY, at=START + 90 * MINUTE)

    assert (done.status, done.actual_start, done.completed_at) == (
        "completed",
        START + 5 * MINUTE,
        START + 90 * MINUTE,
    )
    assert told(window) == ["scheduled", "started", "update", "completed"]
    assert message(window, "update").context["update"] == "Half done."
    assert message(window, "update").key.startswith(f"window:{window.pk}:update:")
    assert events(window) == ["scheduled", "started", "updated", "completed"]
    assert [state_of(service) for service in (database, shop)] == ["normal", "normal"]
    actions = AuditEntry.objects.filter(action__startswith="maintenance.").order_by("id")
    assert [entry.action.split(".")[-1] for entry in actions] == ["scheduled", "started", "updated", "completed"]
    assert done.report is not None


@pytest.mark.django_db
def test_while_it_runs_its_services_and_what_stands_on_them_are_in_maintenance_and_its_own_turn_users_away() -> None:
    database = make_service("db")
    shop = make_service("shop", database)

    make_running(database, title="Upgrade")

    database.refresh_from_db()
    shop.refresh_from_db()
    assert (database.state, database.state_reason, database.state_until) == (
        "maintenance",
        "Upgrade",
        START + 2 * HOUR,
    )
    assert database.maintenance_mode
    assert (shop.state, shop.maintenance_mode) == ("maintenance", False)


@pytest.mark.django_db
def test_a_window_without_maintenance_mode_turns_nobody_away() -> None:
    database = make_service("db")

    make_running(database, maintenance_mode=False)

    database.refresh_from_db()
    assert (database.state, database.maintenance_mode) == ("maintenance", False)


@pytest.mark.django_db
def test_what_was_down_before_is_down_after_and_nothing_new() -> None:
    database = make_service("db")
    catalogue.set_state(database, State.DOWN, reason="Disk full", by=BY, at=NOW)

    window = make_running(database)
    assert state_of(database) == "maintenance"
    running.complete(window, by=BY, at=START + HOUR)

    assert state_of(database) == "down"


@pytest.mark.django_db
def test_a_state_that_somebody_gave_meanwhile_stays() -> None:
    database = make_service("db")
    window = make_running(database)
    catalogue.set_state(database, State.DEGRADED, reason="Half back", by=BY, at=START)

    running.complete(window, by=BY, at=START + HOUR)

    database.refresh_from_db()
    assert (database.state, database.state_reason, database.maintenance_mode) == ("degraded", "Half back", False)


@pytest.mark.django_db
@pytest.mark.parametrize("first_ends_first", [True, False])
def test_a_service_leaves_maintenance_with_the_last_of_its_windows(first_ends_first: bool) -> None:
    database = make_service("db")
    catalogue.set_state(database, State.DEGRADED, by=BY, at=NOW)
    planned = make_running(database, title="Upgrade")
    emergency = make_window(database, emergency=True, start=START + HOUR, hours=3, title="Fire")
    running.start(emergency.pk, by=BY, at=clock(START + HOUR))
    database.refresh_from_db()
    assert (database.state_reason, database.state_until) == ("Fire", START + 4 * HOUR)

    one, other = (planned, emergency) if first_ends_first else (emergency, planned)
    running.complete(one, by=BY, at=START + HOUR)
    database.refresh_from_db()
    assert (database.state, database.state_reason) == ("maintenance", other.title)
    assert database.maintenance_mode
    running.complete(other, by=BY, at=START + 2 * HOUR)

    assert state_of(database) == "degraded"


@pytest.mark.django_db
def test_every_wrong_step_is_refused_with_the_state_it_is_in() -> None:
    def start(window: Window) -> object:
        return running.start(window.pk, by=BY, at=clock(START))

    def complete(window: Window) -> object:
        return running.complete(window, by=BY, at=START)

    def cancel(window: Window) -> object:
        return running.cancel(window, by=BY, at=START)

    def update(window: Window) -> object:
        return running.post_update(window, message="So far so good", by=BY, at=START)

    def extend(window: Window) -> object:
        return scheduling.extend(window, duration=9 * HOUR, by=BY, at=START)

    wrong = {
        Status.SCHEDULED: [complete],
        Status.IN_PROGRESS: [start, cancel],
        Status.COMPLETED: [start, complete, cancel, update, extend],
        Status.CANCELLED: [start, complete, cancel, update, extend],
    }
    for status, steps in wrong.items():
        window = _in(status)
        for step in steps:
            for stale in (window, Window.objects.get(pk=window.pk)):
                with pytest.raises(WrongState) as refusal:
                    step(stale)
                assert refusal.value.current == status
        window.refresh_from_db()
        assert window.status == status


def _in(status: Status) -> Window:
    window = make_window()
    if status in (Status.IN_PROGRESS, Status.COMPLETED):
        window = running.start(window.pk, by=BY, at=clock(START))
    if status is Status.COMPLETED:
        window = running.complete(window, by=BY, at=START + HOUR)
    if status is Status.CANCELLED:
        window = running.cancel(window, by=BY, at=NOW)
    return window


@pytest.mark.django_db
def test_a_window_may_start_early_and_takes_the_time_from_then_on() -> None:
    database = make_service("db")

    window = make_running(database, at=START - HOUR)

    assert window.scheduled_end == START + 2 * HOUR
    assert window.affected.get().period.lower == START - HOUR
    with pytest.raises(Conflicts, match="still running"):
        make_window(database, start=START - HOUR / 2, hours=0.25)


@pytest.mark.django_db
def test_a_window_may_not_start_early_into_another_one() -> None:
    database = make_service("db")
    before = make_window(database, start=START - HOUR, hours=1)
    window = make_window(database)

    with pytest.raises(Conflicts) as refusal:
        running.start(window.pk, by=BY, at=clock(START - HOUR / 2))

    assert refusal.value.windows == [before]
    window.refresh_from_db()
    assert (window.status, state_of(database)) == ("scheduled", "normal")


@pytest.mark.django_db
def test_a_window_whose_time_has_passed_is_not_started() -> None:
    window = make_window()

    with pytest.raises(NotYet, match="Reschedule it"):
        running.start(window.pk, by=BY, at=clock(START + 2 * HOUR))


@pytest.mark.django_db
def test_nobody_starts_on_services_that_another_window_still_works_on_except_in_an_emergency() -> None:
    database = make_service("db")
    shop = make_service("shop", database)
    late = make_running(database, title="Endless")
    now = START + 3 * HOUR
    following = make_window(shop, start=now, at=NOW)

    with pytest.raises(Conflicts, match=r"Endless.*still running") as refusal:
        running.start(following.pk, by=BY, at=clock(now))
    assert refusal.value.windows == [late]
    emergency = make_window(shop, emergency=True, start=None, at=now)
    assert running.start(emergency.pk, by=BY, at=clock(now)).status == "in_progress"
    running.complete(late, by=BY, at=now)
    running.start(following.pk, by=BY, at=clock(now))


@pytest.mark.django_db
def test_a_cancelled_window_says_why_and_nothing_more_is_told_of_it() -> None:
    window = make_window()

    cancelled = running.cancel(window, reason="No spare part", by=BY, at=NOW)

    assert (cancelled.cancel_reason, cancelled.cancelled_at, cancelled.sequence) == ("No spare part", NOW, 1)
    assert message(window, "cancelled").context["reason"] == "No spare part"
    ticking.tick(now=clock(START + HOUR))
    assert told(window) == ["scheduled", "cancelled"]


@pytest.mark.django_db
@pytest.mark.parametrize("text", [" ", "x" * 5_001, "a\0b", "\ud800"])
def test_an_update_says_something_that_can_be_stored(text: str) -> None:
    window = make_running()

    with pytest.raises(BadWindow, match="message"):
        running.post_update(window, message=text, by=BY, at=START)
    with pytest.raises(BadWindow, match="reason"):
        running.cancel(make_window(), reason="x" * 501, by=BY, at=NOW)


@pytest.mark.django_db
def test_a_window_starts_and_completes_itself_at_its_times() -> None:
    window = make_window(starts_itself=True, completes_itself=True)

    before = ticking.tick(now=clock(START - MINUTE))
    at_start = ticking.tick(now=clock(START))
    again = ticking.tick(now=clock(START + MINUTE))
    at_end = ticking.tick(now=clock(START + 2 * HOUR))

    assert (before.started, at_start.started, again.started, at_end.completed) == (0, 1, 0, 1)
    window.refresh_from_db()
    assert (window.actual_start, window.completed_at) == (START, START + 2 * HOUR)
    assert told(window) == ["scheduled", "ahead", "started", "completed"]
    assert AuditEntry.objects.order_by("-id")[0].actor == "maintenance.tick"


@pytest.mark.django_db
def test_a_window_left_to_people_neither_starts_nor_completes_itself() -> None:
    window = make_window()

    ticking.tick(now=clock(START + MINUTE))
    window.refresh_from_db()
    assert window.status == "scheduled"
    running.start(window.pk, by=BY, at=clock(START + MINUTE))
    ticking.tick(now=clock(START + 3 * HOUR))

    window.refresh_from_db()
    assert window.status == "in_progress"


@pytest.mark.django_db
def test_past_its_end_a_window_overruns_once_and_an_extension_ends_that() -> None:
    window = make_running()

    first = ticking.tick(now=clock(START + 2 * HOUR))
    second = ticking.tick(now=clock(START + 2 * HOUR + MINUTE))

    window.refresh_from_db()
    assert (first.overrun, second.overrun, window.overrunning) == (1, 0, True)
    assert told(window).count("overrun") == 1
    assert events(window)[-1] == "overrunning"
    extended = scheduling.extend(window, duration=3 * HOUR, by=BY, at=START + 2 * HOUR + MINUTE)
    assert not extended.overrunning
    assert ticking.tick(now=clock(START + 3 * HOUR)).overrun == 1
    assert told(window).count("overrun") == 2


@pytest.mark.django_db
def test_a_window_missed_for_hours_is_not_started_after_its_end_and_on_call_hears_of_it_once() -> None:
    window = make_window(starts_itself=True, completes_itself=True)

    first = ticking.tick(now=clock(START + 5 * HOUR))
    second = ticking.tick(now=clock(START + 5 * HOUR + MINUTE))

    window.refresh_from_db()
    assert (window.status, first.started, first.left, second.left) == ("scheduled", 0, 1, 0)
    assert window.start_refused_because.startswith("Its time has passed")
    assert told(window) == ["scheduled", "start_refused"]
    assert events(window)[-1] == "start_refused"


@pytest.mark.django_db
def test_a_window_missed_for_a_while_still_starts_inside_its_time() -> None:
    window = make_window(starts_itself=True)

    ticking.tick(now=clock(START + HOUR))

    window.refresh_from_db()
    assert window.actual_start == START + HOUR


@pytest.mark.django_db
def test_one_window_that_fails_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    poisoned, healthy = make_window(starts_itself=True), make_window(starts_itself=True)
    real = running.start

    def start(window_id: int, *, by: object, at: Clock, unattended: bool) -> Window:
        if window_id == poisoned.pk:
            raise RuntimeError("poison")
        return real(window_id, by=BY, at=at, unattended=unattended)

    monkeypatch.setattr(running, "start", start)
    ticked = ticking.tick(now=clock(START))

    assert ticked.started == 1
    healthy.refresh_from_db()
    assert healthy.status == "in_progress"
    assert f"Window {poisoned.pk} could not be worked on" in caplog.text


@pytest.mark.django_db
def test_a_report_that_nobody_came_to_write_is_written_by_the_next_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    window = make_running()
    with monkeypatch.context() as patched:
        patched.setattr(reports, "freeze", lambda window, *, at: None)  # as if killed right after the completion
        running.complete(window, by=BY, at=START + HOUR)
    window.refresh_from_db()
    assert window.report is None

    ticking.tick(now=clock(START + HOUR + MINUTE))

    window.refresh_from_db()
    assert window.report is not None


@pytest.mark.django_db
def test_what_comes_to_stand_on_a_service_is_reached_and_in_maintenance_too() -> None:
    database = make_service("db")
    api, shop = make_service("api"), make_service("shop")
    window = make_running(database)

    _depend(shop, api)
    _depend(api, database)

    assert {row.service.slug: row.direct for row in window.affected.all()} == {
        "db": True,
        "api": False,
        "shop": False,
    }
    assert (state_of(api), state_of(shop)) == ("maintenance", "maintenance")
    _depend(shop)
    assert state_of(shop) == "normal"
    assert window.affected.count() == 2
    running.complete(window, by=BY, at=START + HOUR)
    assert (state_of(api), state_of(database)) == ("normal", "normal")


@pytest.mark.django_db
def test_a_clash_that_a_new_dependency_makes_is_kept_and_noted() -> None:
    database, shop = make_service("db"), make_service("shop")
    below, above = make_window(database), make_window(shop)

    _depend(shop, database)

    row = below.affected.get(service=shop)
    assert (row.direct, row.holds) == (False, False)
    below.refresh_from_db()
    assert f"Reaches shop since its dependencies changed, on which window {above.pk} works" in below.note
    assert scheduling.overlaps(below) == [above]


@pytest.mark.django_db
def test_a_dependency_changed_just_before_the_start_counts() -> None:
    database, shop = make_service("db"), make_service("shop")
    window = make_window(database)
    catalogue.change(shop, {"depends_on": [database]}, by=BY, at=NOW)  # and nobody came to hear of it

    running.start(window.pk, by=BY, at=clock(START))

    assert state_of(shop) == "maintenance"


@pytest.mark.django_db
def test_other_changes_of_a_service_are_none_of_our_business(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_called(*_: object, **__: object) -> int:
        raise AssertionError("refreshed for nothing")

    service = make_service("db")
    catalogue.change(service, {"tier": 1}, by=BY, at=NOW)
    monkeypatch.setattr(reach, "refresh", not_called)

    refresh_reach(Event.objects.filter(name="catalogue.service.changed").get())


def _depend(service: Service, *needs: Service) -> None:
    """Change what the service stands on, and let maintenance hear of it."""
    catalogue.change(service, {"depends_on": needs}, by=BY, at=START)
    refresh_reach(Event.objects.filter(name="catalogue.service.changed", subject=service.slug).order_by("-pk")[0])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("by", "author"),
    [
        (Actor.token("boss (sysops_2cTg6X…)"), "boss"),
        (Actor.token("boss (night) (sysops_2cTg6X…)"), "boss (night)"),
        (Actor.token("(sysops_2cTg6X…)"), "(sysops_2cTg6X…)"),
        (Actor.user("ada (ops)"), "ada (ops)"),
    ],
)
def test_people_read_who_said_something_and_not_with_which_token(by: Actor, author: str) -> None:
    window = make_running()

    update = running.post_update(window, message="Half done", by=by, at=START)

    assert message(window, "update").context["author"] == update.author == author
    assert AuditEntry.objects.filter(action="maintenance.window.updated").get().actor == by.name


@pytest.mark.django_db
def test_a_state_that_somebody_gave_meanwhile_outlives_an_extension_and_the_end_of_another_window() -> None:
    database = make_service("db")
    window = make_running(database)
    emergency = make_running(database, emergency=True)
    catalogue.set_state(database, State.DOWN, reason="It does not come up", by=BY, at=START + HOUR)

    scheduling.extend(window, duration=4 * HOUR, by=BY, at=START + HOUR)
    assert state_of(database) == "down"
    running.complete(emergency, by=BY, at=START + 2 * HOUR)
    assert state_of(database) == "down"
    running.complete(window, by=BY, at=START + 3 * HOUR)
    assert state_of(database) == "down"
