"""Everybody affected is told of everything, once, while it is true (SPEC M6, M12)."""

from datetime import timedelta

import pytest

from maintenance.models import Notice, Window
from maintenance.rules import NoticeKind
from maintenance.services import notices, running, scheduling, ticking
from notifications.models import Message
from tests.maintenance.support import (
    BY,
    HOUR,
    NOW,
    START,
    clock,
    dropped,
    make_running,
    make_service,
    make_team,
    make_window,
    message,
    plan,
    told,
    waiting,
)

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


@pytest.mark.django_db
def test_a_day_ahead_people_are_told_once_however_often_somebody_looks() -> None:
    window = make_window()

    counts = [notices.settle_due(now=START - DAY + n * MINUTE) for n in (-1, 0, 0, 1)]

    assert counts == [0, 1, 0, 0]
    assert told(window) == ["scheduled", "ahead"]
    said = message(window, "ahead")
    assert (said.level, said.expires_at) == ("warning", START)


@pytest.mark.django_db
def test_a_notice_that_is_late_is_told_while_it_is_true_and_never_after_the_start() -> None:
    early, late = make_window(), make_window(start=START - DAY)

    notices.settle_due(now=START - HOUR)

    assert told(early) == ["scheduled", "ahead"]
    assert told(late) == ["scheduled"]
    assert dropped(late) == {"ahead": "Its start had passed", "start_due": "Its end had passed"}


@pytest.mark.django_db
def test_after_a_reschedule_the_day_ahead_is_that_of_the_new_start() -> None:
    window = make_window()
    notices.settle_due(now=START - DAY)
    scheduling.change(window, {"start": START + DAY}, by=BY, at=START - HOUR)

    assert notices.settle_due(now=START) == 1
    assert notices.settle_due(now=START + HOUR) == 0

    assert told(window) == ["scheduled", "ahead", "rescheduled", "ahead"]
    assert Message.objects.filter(kind="maintenance.ahead").values("key").distinct().count() == 2


@pytest.mark.django_db
def test_what_was_told_ahead_of_a_start_is_not_told_again_when_the_window_comes_back_to_it() -> None:
    window = make_window()
    notices.settle_due(now=START - DAY)
    scheduling.change(window, {"start": START + DAY}, by=BY, at=START - 20 * HOUR)
    scheduling.change(window, {"start": START}, by=BY, at=START - 19 * HOUR)

    notices.settle_due(now=START - HOUR)

    assert told(window).count("ahead") == 1
    assert "ahead" not in waiting(window)


@pytest.mark.django_db
def test_what_is_not_delivered_when_it_stops_being_true_is_withdrawn() -> None:
    window = make_window()
    notices.settle_due(now=START - DAY)

    scheduling.change(window, {"start": START + DAY}, by=BY, at=START - HOUR)
    assert message(window, "ahead").expired_because == "The window was rescheduled"
    running.start(window.pk, by=BY, at=clock(START + DAY))
    ticking.tick(now=clock(START + DAY + 3 * HOUR))
    running.complete(window, by=BY, at=START + DAY + 4 * HOUR)

    expired = {row.kind.split(".")[1]: row.expired_because for row in Message.objects.exclude(expired_because="")}
    assert expired["started"] == expired["overrun"] == "The window was completed"
    assert "completed" not in expired


@pytest.mark.django_db
def test_when_nobody_starts_a_window_on_call_is_told_five_minutes_later() -> None:
    ops = make_team("ops", "bob")
    window = make_window(make_service("db", owner_team=ops))

    ticking.tick(now=clock(START + 5 * MINUTE - timedelta(seconds=1)))
    assert "start_due" not in told(window)
    ticking.tick(now=clock(START + 5 * MINUTE))

    said = message(window, "start_due")
    assert (said.level, said.audience["on_call_of"], said.audience["owners_of"]) == ("critical", [ops.pk], [])
    assert said.audience["operators"] is False


@pytest.mark.django_db
def test_a_window_that_was_started_is_not_due_any_more() -> None:
    window = make_running()

    ticking.tick(now=clock(START + 6 * MINUTE))

    assert "start_due" not in told(window)
    assert dropped(window)["start_due"] == "The window had started"


@pytest.mark.django_db
def test_of_an_overrun_everybody_hears_and_whoever_is_on_call() -> None:
    ops = make_team("ops", "bob")
    database = make_service("db", owner_team=ops)
    shop = make_service("shop", database)
    window = make_running(database)

    ticking.tick(now=clock(START + 2 * HOUR))

    said = message(window, "overrun")
    assert said.level == "critical"
    assert set(said.audience["subscribers_of"]) == {database.pk, shop.pk} == set(said.audience["owners_of"])
    assert said.audience["on_call_of"] == [ops.pk]


@pytest.mark.django_db
def test_where_no_team_owns_a_service_the_operators_hear_what_on_call_would() -> None:
    window = make_running()

    ticking.tick(now=clock(START + 2 * HOUR))

    assert message(window, "overrun").audience["operators"] is True


@pytest.mark.django_db
def test_everything_about_an_emergency_is_urgent() -> None:
    window = make_window(emergency=True, start=None)
    running.start(window.pk, by=BY, at=clock(NOW))
    running.complete(window, by=BY, at=NOW + HOUR)

    assert told(window) == ["scheduled", "started", "completed"]
    assert set(Message.objects.values_list("urgent", "level")) == {(True, "warning")}


@pytest.mark.django_db
def test_the_same_thing_is_told_once() -> None:
    window = make_window()

    again = notices.tell(window, NoticeKind.SCHEDULED, at=NOW + HOUR)

    assert again is False
    assert told(window) == ["scheduled"]


@pytest.mark.django_db
def test_hundreds_of_notices_due_at_once_are_all_told() -> None:
    service = make_service("db")
    windows = [make_window(service, start=START + n * HOUR, hours=1) for n in range(3)]
    Notice.objects.filter(kind="start_due").delete()
    window = windows[0]
    Notice.objects.bulk_create(
        Notice(window=window, kind="ahead", mark=str(n), due_at=START - DAY) for n in range(2 * notices.BATCH)
    )

    assert notices.settle_due(now=START - HOUR) == 2 * notices.BATCH + 3
    assert not Notice.objects.filter(state="waiting").exists()


@pytest.mark.django_db
def test_a_notice_that_cannot_be_told_keeps_no_other_from_being_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    poisoned, healthy = make_window(), make_window()
    real = notices._post

    def post(notice: Notice, window: Window, **others: object) -> None:
        if window == poisoned:
            raise RuntimeError("poison")
        real(notice, window, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(notices, "_post", post)
    assert notices.settle_due(now=START - DAY) == 1
    assert told(healthy) == ["scheduled", "ahead"]
    assert "poison" in caplog.text
    monkeypatch.setattr(notices, "_post", real)

    assert notices.settle_due(now=START - DAY) == 1
    assert told(poisoned) == ["scheduled", "ahead"]


@pytest.mark.django_db
def test_people_in_other_zones_are_given_the_zone_of_the_window_and_its_times_in_utc() -> None:
    window = scheduling.schedule(plan(make_service(), time_zone="Australia/Lord_Howe"), by=BY, at=NOW)

    context = message(window, "scheduled").context
    assert (context["time_zone"], context["start_at"]) == ("Australia/Lord_Howe", "2027-01-15T02:00:00Z")
    assert context["duration_words"] == "2 h"
    assert context["url"] == f"/admin/maintenance/window/{window.pk}/change/"
