"""Series make their windows ahead, survive conflicts, and follow changes without undoing what people decided."""

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connections

from catalogue.gates import Verdict
from catalogue.models import Service
from catalogue.services import InUse, remove
from maintenance.models import Series, SeriesNote, Window, WrongState
from maintenance.plans import GatePlan
from maintenance.records import moment
from maintenance.series_plans import SeriesPlan
from maintenance.services import notices, running, scheduling, series_making, series_notes, series_remaking, ticking
from maintenance.services.series import (
    BadSeries,
    change_series,
    create_series,
    end_series,
    make_ahead,
    skip,
)
from notifications.models import Message
from sysops.access.actors import Actor
from sysops.access.models import AuditEntry
from sysops.events.models import Event
from tests.maintenance.support import BY, HOUR, NOW, FakeGate, clock, make_service, make_window, told

LONDON = "Europe/London"
DAY = timedelta(days=1)
pytestmark = pytest.mark.django_db


def london(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(LONDON))


FIRST = london("2027-01-12T03:00")  # a Tuesday, two days after NOW


def weekly(*services: Service, **others: object) -> SeriesPlan:
    given: dict[str, object] = {
        "slug": "patching",
        "title": "Patching",
        "description": "Updates of the operating system.",
        "rule": "FREQ=WEEKLY;BYDAY=TU",
        "first_start": FIRST,
        "duration": 2 * HOUR,
        "services": services or (make_service(),),
        "time_zone": LONDON,
        **others,
    }
    return SeriesPlan(**given)  # type: ignore[arg-type]


def make_series(*services: Service, **others: object) -> Series:
    return create_series(weekly(*services, **others), by=BY, at=NOW)


def windows(series: Series) -> list[Window]:
    return list(Window.objects.filter(series=series).order_by("scheduled_start", "pk"))


def open_windows(series: Series) -> list[Window]:
    return [window for window in windows(series) if window.status == "scheduled"]


def starts(series: Series) -> list[str]:
    """When its open windows begin and end, by the clocks of London."""
    zone = ZoneInfo(LONDON)
    return [
        f"{w.scheduled_start.astimezone(zone):%m-%d %H:%M}–{w.scheduled_end.astimezone(zone):%H:%M}"
        for w in open_windows(series)
    ]


def notes(series: Series) -> Mapping[datetime, str]:
    return {note.occurrence: note.reason for note in series.notes.order_by("occurrence")}


def series_events(series: Series) -> list[str]:
    rows = Event.objects.filter(name__startswith="maintenance.series.", subject=str(series.pk)).order_by("pk")
    return [name.removeprefix("maintenance.series.") for name in rows.values_list("name", flat=True)]


def sent() -> list[tuple[str, str]]:
    """The messages that reach people: about what, and their kind."""
    live = Message.objects.filter(expired_because="").order_by("pk").values_list("thread", "kind")
    return [(thread.split(":")[0], kind.removeprefix("maintenance.")) for thread, kind in live]


def run(at: datetime) -> int:
    return make_ahead(now=clock(at), by=BY)


def test_a_series_makes_the_windows_of_sixty_days_that_start_and_complete_by_themselves() -> None:
    service = make_service("shop-db")

    series = make_series(service)

    made = windows(series)
    assert starts(series)[:2] == ["01-12 03:00–05:00", "01-19 03:00–05:00"]
    assert len(made) == 9, "60 days from 10 January"
    first = made[0]
    assert (first.maintenance_type, first.title, first.time_zone) == ("recurring", "Patching", LONDON)
    assert (first.starts_itself, first.completes_itself, first.occurrence) == (True, True, FIRST)
    assert [row.service for row in first.affected.all()] == [service]
    assert series_events(series) == ["created"]
    assert AuditEntry.objects.filter(action="maintenance.series.created", actor="ada").count() == 1


def test_time_passing_makes_each_further_window_once() -> None:
    series = make_series()

    assert run(NOW) == 0, "nothing is missing"
    assert run(NOW + 8 * DAY) == 1
    assert run(NOW + 8 * DAY) == 0
    assert len(windows(series)) == 10
    series.refresh_from_db()
    assert series.made_until == NOW + 68 * DAY


def test_across_the_change_of_clocks_the_wall_clock_stays() -> None:
    series = make_series()

    run(NOW + 60 * DAY)

    assert "03-23 03:00–05:00" in starts(series)
    assert "03-30 03:00–05:00" in starts(series), "summer time since the 28th"
    in_utc = {window.scheduled_start.hour for window in windows(series)}
    assert in_utc == {2, 3}


def test_a_window_at_a_time_that_does_not_exist_is_moved_and_says_so() -> None:
    series = make_series(rule="FREQ=WEEKLY", first_start=london("2027-01-17T01:30"), duration=HOUR)

    run(NOW + 60 * DAY)

    moved = Window.objects.get(series=series, scheduled_start=london("2027-03-28T02:30"))
    assert "01:30 does not exist on 2027-03-28 in Europe/London" in moved.note
    assert moved.estimated_duration_seconds == 3600


def test_after_a_long_silence_what_has_passed_is_not_made() -> None:
    series = make_series()

    run(NOW + 400 * DAY)

    late = [window for window in windows(series) if window.scheduled_start > NOW + 61 * DAY]
    assert min(window.scheduled_start for window in late) > NOW + 400 * DAY


def test_an_occurrence_in_the_way_of_another_window_is_noted_and_told_and_the_others_are_made() -> None:
    service = make_service()
    other = make_window(service, start=FIRST + 7 * DAY, title="Upgrade")

    series = make_series(service)

    assert len(windows(series)) == 8
    assert list(notes(series)) == [FIRST + 7 * DAY]
    assert "Upgrade" in notes(series)[FIRST + 7 * DAY]
    assert series_events(series) == ["created", "conflict"]
    event = Event.objects.get(name="maintenance.series.conflict")
    assert event.data["occurrence"] == (FIRST + 7 * DAY).astimezone(UTC).isoformat()
    run(NOW + HOUR)
    assert series_events(series) == ["created", "conflict"], "the same conflict is told once"
    running.cancel(other, by=BY, at=NOW)
    assert run(NOW + 2 * HOUR) == 1, "tried again while it is to come"
    assert not notes(series)


def test_a_conflict_that_never_went_away_is_left_once_its_time_has_passed() -> None:
    service = make_service()
    make_window(service, start=FIRST)
    series = make_series(service)

    run(NOW + 3 * DAY)

    assert FIRST not in {window.occurrence for window in windows(series)}
    assert list(notes(series)) == [FIRST], "the record stays"


def test_a_single_window_may_not_take_the_time_of_a_series() -> None:
    service = make_service()
    make_series(service)

    with pytest.raises(scheduling.Conflicts, match="Patching"):
        make_window(service, start=FIRST + HOUR)


def test_one_message_tells_of_the_series_with_its_rule_in_words_and_the_next_dates() -> None:
    database = make_service("shop-db")
    make_service("shop", database)

    series = make_series(database)

    assert sent() == [("series", "scheduled")], "not one for each of nine windows"
    said = Message.objects.get(expired_because="")
    assert said.context["title"] == "Patching"
    assert (said.context["services"], said.context["reached"]) == (["shop-db"], ["shop"])
    description = str(said.context["description"])
    assert "every week on Tuesday, 03:00–05:00 (Europe/London)" in description
    assert "Tue 12 Jan 2027 03:00, Tue 19 Jan 2027 03:00" in description
    assert len(said.audience["subscribers_of"]) == 2
    run(NOW + 30 * DAY)
    assert sent() == [("series", "scheduled")]
    assert len(windows(series)) == 13


def test_each_window_is_still_told_of_a_day_ahead() -> None:
    make_series()

    notices.settle_due(now=FIRST - 23 * HOUR)

    assert sent() == [("series", "scheduled"), ("window", "ahead")]


@pytest.mark.parametrize(
    "wanted, field, says",
    [
        ({"rule": "FREQ=HOURLY"}, "rule", "DAILY, WEEKLY"),
        ({"rule": "FREQ=DAILY;UNTIL=20260101"}, "rule", "no day within ten years"),
        ({"rule": "FREQ=DAILY", "duration": 25 * HOUR}, "estimated_duration_seconds", "too long for the rule"),
        ({"duration": timedelta(seconds=59)}, "estimated_duration_seconds", "at least 60 seconds"),
        ({"duration": timedelta(days=31)}, "estimated_duration_seconds", "30 days"),
        ({"time_zone": "Europe/Londn"}, "time_zone", "no time zone"),
        ({"title": " "}, "title", "few words"),
        ({"slug": "No Slug"}, "slug", "lower-case"),
        ({"services": []}, "affected_services", "at least one"),
        ({"first_start": datetime(1999, 1, 1, tzinfo=UTC)}, "first_start_time", "after 2000"),
        ({"first_start": datetime(2027, 1, 1)}, "first_start_time", "offset"),
        ({"first_start": datetime(9999, 12, 31, tzinfo=UTC)}, "first_start_time", "hundred years"),
    ],
)
def test_what_is_no_series_is_refused_by_field(wanted: dict[str, object], field: str, says: str) -> None:
    with pytest.raises(BadSeries) as refused:
        make_series(**wanted)

    assert says in refused.value.problems[field]
    assert not Series.objects.exists()


def test_a_slug_is_given_once() -> None:
    make_series()

    with pytest.raises(BadSeries, match="There is a series 'patching' already"):
        make_series()


def test_a_skipped_occurrence_is_cancelled_noted_and_never_made_again() -> None:
    series = make_series()
    third = FIRST + 14 * DAY

    note = skip(series, third, by=BY, at=NOW, reason="Black Friday")

    assert (note.skipped, note.reason) == (True, "Black Friday")
    assert Window.objects.get(series=series, occurrence=third).cancel_reason == "Black Friday"
    assert skip(series, third, by=BY, at=NOW) == note, "twice is once"
    run(NOW + DAY)
    assert len(open_windows(series)) == 8
    assert series_events(series) == ["created", "skipped"]
    assert sent()[-1] == ("window", "cancelled"), "people hear of this one"


def test_an_occurrence_can_be_skipped_long_before_it_is_made() -> None:
    series = make_series()
    far = london("2027-06-01T03:00")

    skip(series, far, by=BY, at=NOW)
    run(london("2027-05-01T00:00"))

    occurrences = {window.occurrence for window in windows(series)}
    assert far not in occurrences
    assert far + 7 * DAY in occurrences


@pytest.mark.parametrize(
    "occurrence, says",
    [(FIRST + DAY, "names no start"), (FIRST - 7 * DAY, "has passed"), (FIRST + timedelta(seconds=1), "The next are")],
)
def test_what_is_no_occurrence_to_come_cannot_be_skipped(occurrence: datetime, says: str) -> None:
    series = make_series()

    with pytest.raises(BadSeries, match=says):
        skip(series, occurrence, by=BY, at=NOW)

    assert len(open_windows(series)) == 9


def test_an_occurrence_that_has_begun_cannot_be_skipped() -> None:
    series = make_series()
    running.start(windows(series)[0].pk, by=BY, at=clock(NOW))

    with pytest.raises(WrongState):
        skip(series, FIRST, by=BY, at=NOW)

    assert not notes(series)


def test_an_occurrence_moved_by_itself_stays_moved_and_is_not_made_again() -> None:
    series = make_series()
    second = windows(series)[1]

    scheduling.change(second, {"start": second.scheduled_start + 30 * HOUR}, by=BY, at=NOW)
    run(NOW + HOUR)

    assert starts(series)[1] == "01-20 09:00–11:00"
    assert len(windows(series)) == 9


def test_changing_the_time_moves_what_is_to_come_and_keeps_what_people_moved_skipped_or_began() -> None:
    series = make_series()
    begun, moved, cancelled, *rest = windows(series)
    running.start(begun.pk, by=BY, at=clock(NOW))
    scheduling.change(moved, {"start": moved.scheduled_start + 30 * HOUR}, by=BY, at=NOW)
    skip(series, cancelled.occurrence or NOW, by=BY, at=NOW)

    change_series(series, {"first_start": FIRST + HOUR, "duration": 3 * HOUR}, by=BY, at=NOW)

    assert starts(series)[0] == "01-20 09:00–11:00", "the moved one"
    assert starts(series)[1:3] == ["02-02 04:00–07:00", "02-09 04:00–07:00"]
    assert len(open_windows(series)) == 7
    assert [window.pk for window in open_windows(series)][1:] == [window.pk for window in rest], "the same windows"
    assert all(window.sequence == 1 for window in open_windows(series))
    begun.refresh_from_db()
    assert (begun.status, begun.scheduled_start) == ("in_progress", FIRST)
    run(NOW + HOUR)
    assert len(windows(series)) == 9, "nothing is made a second time"
    assert [note.skipped for note in series.notes.all()] == [True]


def test_changing_only_words_tells_nobody_and_keeps_the_times() -> None:
    series = make_series()
    before = starts(series)

    change_series(series, {"title": "Patching of databases", "completes_itself": False}, by=BY, at=NOW)

    assert {window.title for window in windows(series)} == {"Patching of databases"}
    assert not any(window.completes_itself for window in windows(series))
    assert starts(series) == before
    assert sent() == [("series", "scheduled")]
    assert series_events(series) == ["created", "changed"]
    entry = AuditEntry.objects.get(action="maintenance.series.changed")
    assert entry.after == {"title": "Patching of databases", "completes_itself": False}


def test_changing_nothing_writes_nothing() -> None:
    series = make_series()

    change_series(series, {"title": "Patching", "rule": "freq=weekly;byday=tu"}, by=BY, at=NOW)

    assert series_events(series) == ["created"]


def test_a_changed_time_is_told_once_and_for_itself_only_where_people_heard_of_that_one() -> None:
    series = make_series()
    soon = FIRST - 20 * HOUR
    notices.settle_due(now=soon)  # a day ahead of the first

    change_series(series, {"first_start": FIRST + HOUR}, by=BY, at=soon)

    assert sent() == [("series", "scheduled"), ("series", "rescheduled"), ("window", "rescheduled")]
    assert told(windows(series)[0])[-1] == "rescheduled"
    said = Message.objects.filter(thread=f"series:{series.pk}").order_by("-pk")[0]
    assert said.context["previous_start_at"] == moment(FIRST)
    assert "04:00–06:00" in str(said.context["description"])


def test_another_day_of_the_week_cancels_the_old_windows_quietly_and_makes_new_ones() -> None:
    series = make_series()

    change_series(series, {"rule": "FREQ=WEEKLY;BYDAY=TH"}, by=BY, at=NOW)

    assert starts(series)[:2] == ["01-14 03:00–05:00", "01-21 03:00–05:00"]
    gone = [window for window in windows(series) if window.status == "cancelled"]
    assert len(gone) == 9
    assert {window.occurrence for window in gone} == {None}
    assert sent() == [("series", "scheduled"), ("series", "rescheduled")], "not one for each window"
    said = Message.objects.filter(thread=f"series:{series.pk}").order_by("-pk")[0].context
    assert said["previous_start_at"] == moment(FIRST)
    assert said["start_at"] == moment(FIRST + 2 * DAY)
    change_series(series, {"rule": "FREQ=WEEKLY;BYDAY=TU"}, by=BY, at=NOW)
    assert starts(series)[0] == "01-12 03:00–05:00", "and back again"


def test_a_worker_that_dies_half_way_through_a_change_leaves_the_rest_to_the_next_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    series, ending = make_series(), make_series(slug="ending")
    worked = series_remaking.catch_up

    def dies_after_two(series: Series, *, by: Actor, at: datetime, stop: float | None = None) -> int:
        for window in list(Window.objects.filter(series=series, behind_series=True)[2:]):
            Window.objects.filter(pk=window.pk).update(behind_series=False)
            held_back.append(window.pk)
        worked(series, by=by, at=at)
        raise SystemExit("killed")

    held_back: list[int] = []
    monkeypatch.setattr(series_remaking, "catch_up", dies_after_two)
    with pytest.raises(SystemExit):
        change_series(series, {"first_start": FIRST + HOUR}, by=BY, at=NOW)
    with pytest.raises(SystemExit):
        end_series(ending, cancel_scheduled=True, by=BY, at=NOW, reason="No more")
    Window.objects.filter(pk__in=held_back).update(behind_series=True)
    assert len({start[6:] for start in starts(series)}) == 2, "some at the old time, some at the new one"
    monkeypatch.undo()

    run(NOW + HOUR)

    assert {start[6:] for start in starts(series)} == {"04:00–06:00"}
    assert not open_windows(ending)
    assert {window.cancel_reason for window in windows(ending)} == {"No more"}
    assert [kind for _, kind in sent()] == ["scheduled", "scheduled", "rescheduled", "cancelled"]


def test_days_next_to_each_other_move_without_standing_in_each_others_way() -> None:
    series = make_series(rule="FREQ=DAILY;COUNT=12", duration=20 * HOUR)

    change_series(series, {"first_start": FIRST + 10 * HOUR}, by=BY, at=NOW)
    assert starts(series)[:2] == ["01-12 13:00–09:00", "01-13 13:00–09:00"]
    change_series(series, {"first_start": FIRST + HOUR}, by=BY, at=NOW)

    assert starts(series)[:2] == ["01-12 04:00–00:00", "01-13 04:00–00:00"]
    assert not notes(series)
    assert [window.sequence for window in open_windows(series)] == [2] * 12


def test_a_change_into_another_window_notes_the_conflict_and_moves_the_rest() -> None:
    service = make_service()
    series = make_series(service)
    make_window(service, start=FIRST + 7 * DAY + 4 * HOUR, title="Upgrade")

    change_series(series, {"first_start": FIRST + 3 * HOUR}, by=BY, at=NOW)

    assert starts(series)[:2] == ["01-12 06:00–08:00", "01-26 06:00–08:00"]
    assert list(notes(series)) == [FIRST + 7 * DAY + 3 * HOUR]


def test_other_services_go_into_the_windows_to_come() -> None:
    old, new = make_service(), make_service()
    series = make_series(old)

    change_series(series, {"services": [new]}, by=BY, at=NOW)

    assert {row.service for window in windows(series) for row in window.affected.all()} == {new}
    assert sent()[-1] == ("series", "rescheduled")


def test_gates_of_a_series_are_gates_of_its_windows(gate: FakeGate) -> None:
    from maintenance.plans import GatePlan

    series = make_series(gates=[GatePlan("fake", {"hours": 3}, prepare=True)])

    row = windows(series)[0].gates.get()
    assert (row.gate, row.settings, row.prepare) == ("fake", {"hours": 3}, True)
    change_series(series, {"gates": []}, by=BY, at=NOW)
    assert not any(window.gates.exists() for window in windows(series))


def test_ending_a_series_leaves_its_windows_unless_asked_to_cancel_them() -> None:
    kept, cancelled = make_series(), make_series(slug="other")
    said = len(sent())

    assert end_series(kept, cancel_scheduled=False, by=BY, at=NOW) == 0
    assert end_series(cancelled, cancel_scheduled=True, by=BY, at=NOW, reason="Moved to the cloud.") == 9

    assert (len(open_windows(kept)), len(open_windows(cancelled))) == (9, 0)
    assert run(NOW + 30 * DAY) == 0
    assert sent()[said:] == [("series", "cancelled")]
    words = Message.objects.filter(thread=f"series:{cancelled.pk}").order_by("-pk")[0].context["reason"]
    assert words == "Moved to the cloud. All 9 occurrences that were scheduled are cancelled."


def test_ending_a_series_lets_work_in_progress_go_on() -> None:
    series = make_series()
    first = running.start(windows(series)[0].pk, by=BY, at=clock(FIRST))

    end_series(series, cancel_scheduled=True, by=BY, at=FIRST + HOUR)

    first.refresh_from_db()
    assert first.status == "in_progress"


def test_what_has_ended_cannot_be_changed_skipped_or_ended_again() -> None:
    series = make_series()
    end_series(series, cancel_scheduled=False, by=BY, at=NOW)

    with pytest.raises(WrongState, match="has ended"):
        change_series(series, {"title": "x"}, by=BY, at=NOW)
    with pytest.raises(WrongState, match="has ended"):
        skip(series, FIRST, by=BY, at=NOW)
    with pytest.raises(WrongState, match="has ended"):
        end_series(series, cancel_scheduled=True, by=BY, at=NOW)


def test_a_series_that_cannot_be_worked_on_keeps_no_other_waiting() -> None:
    broken, fine = make_series(), make_series(slug="fine")
    Series.objects.filter(pk=broken.pk).update(rule="FREQ=NEVER")

    with pytest.raises(ExceptionGroup, match="could not be worked on"):
        run(NOW + 30 * DAY)

    assert len(windows(fine)) == 13


def test_a_run_ends_in_bounded_time_and_the_next_one_goes_on() -> None:
    plan = weekly(rule="FREQ=DAILY")
    series = make_series(rule="FREQ=DAILY", slug="daily", services=plan.services)
    later = NOW + 30 * DAY

    assert make_ahead(now=clock(later), by=BY, work_for=timedelta(0)) == 0
    assert run(later) == 30
    assert len(windows(series)) == 89


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_make_each_window_once() -> None:
    series = make_series(rule="FREQ=DAILY")
    later, made = NOW + 20 * DAY, []

    def work() -> None:
        try:
            made.append(run(later))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sum(made) == 20
    assert len(made) == 3
    assert len(windows(series)) == 79
    assert not notes(series), "none found the other's window in its way"


def test_a_series_that_ended_meanwhile_makes_nothing_more() -> None:
    series = make_series()
    stale = Series.objects.get(pk=series.pk)
    end_series(series, cancel_scheduled=False, by=BY, at=NOW)

    assert series_making.make(stale, by=BY, at=NOW + 30 * DAY) == 0


def test_notes_are_unique_by_occurrence() -> None:
    series = make_series()
    skip(series, FIRST, by=BY, at=NOW)

    series_notes.note_conflict(series, FIRST, "In the way", by=BY, at=NOW)

    assert notes(series) == {FIRST: "This occurrence is skipped."}
    assert SeriesNote.objects.count() == 1


def test_a_service_is_not_deleted_under_a_series_whose_windows_are_yet_to_be_made() -> None:
    service = make_service("db")
    make_series(service, first_start=FIRST + 200 * DAY)
    assert not Window.objects.exists()

    with pytest.raises(InUse, match="maintenance series Patching"):
        remove(service, by=BY, at=NOW)


def test_a_worker_that_dies_after_a_series_has_ended_leaves_no_window_that_begins(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    series = make_series()
    first, second = windows(series)[:2]
    with monkeypatch.context() as patched:
        patched.setattr(series_remaking, "catch_up", lambda *_, **__: 0)  # killed between the two
        end_series(series, cancel_scheduled=True, by=BY, at=NOW)

    ticking.tick(now=clock(FIRST - HOUR))
    ticking.tick(now=clock(FIRST))

    assert {"ahead", "started"}.isdisjoint(told(first))
    real = series_remaking._cancel

    def cancel(window: Window, reason: str, *, by: Actor, at: datetime) -> None:
        if window.pk == first.pk:
            raise RuntimeError("poison")
        real(window, reason, by=by, at=at)

    monkeypatch.setattr(series_remaking, "_cancel", cancel)
    with pytest.raises(ExceptionGroup, match="could not be worked on"):
        make_ahead(now=clock(FIRST), by=BY)
    second.refresh_from_db()
    assert second.status == "cancelled"
    assert f"Window {first.pk} could not follow" in caplog.text


def test_an_occurrence_that_waits_for_a_gate_is_cancelled_with_its_series(gate: FakeGate) -> None:
    gate.says((Verdict.CLOSED, "No backup."))
    series = make_series(gates=[GatePlan("fake")])
    first = windows(series)[0]
    ticking.tick(now=clock(FIRST))

    end_series(series, cancel_scheduled=True, by=BY, at=FIRST + HOUR)

    first.refresh_from_db()
    assert first.status == "cancelled"


def test_an_occurrence_begun_while_its_series_ends_has_no_reason_why_it_was_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    series = make_series()
    first = windows(series)[0]
    real = series_remaking.catch_up

    def catch_up(series: Series, *, by: Actor, at: datetime) -> int:
        running.start(first.pk, by=BY, at=clock(at))
        return real(series, by=by, at=at)

    monkeypatch.setattr(series_remaking, "catch_up", catch_up)
    end_series(series, cancel_scheduled=True, by=BY, at=FIRST - HOUR)

    first.refresh_from_db()
    assert (first.status, first.cancel_reason) == ("in_progress", "")


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59+00:00", "9999-12-31T23:59:59-12:00"])
def test_an_occurrence_beyond_all_time_cannot_be_skipped(text: str) -> None:
    with pytest.raises(BadSeries, match="a hundred years"):
        skip(make_series(), datetime.fromisoformat(text), by=BY, at=NOW)
