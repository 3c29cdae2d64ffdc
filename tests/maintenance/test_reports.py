"""After a window there is a report: planned against actual, what was said, what other apps know (SPEC M11)."""

import json
from collections.abc import Mapping
from datetime import timedelta

import pytest
from django.db import connection

from catalogue.sections import Span, sections
from maintenance.models import Window
from maintenance.plans import GatePlan
from maintenance.services import reports, running, scheduling, ticking
from notifications.models import Channel, Delivery, Message
from tests.maintenance.support import BY, HOUR, NOW, START, FakeGate, clock, make_running, make_service, make_window

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _no_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wired is tested where it is; here is nothing but what the test registers."""
    monkeypatch.setattr(sections, "_things", {})


@pytest.mark.django_db
def test_a_report_sets_the_plan_against_what_became_of_it(gate: FakeGate) -> None:
    database = make_service("db")
    make_service("shop", database)
    window = make_window(database, gates=[GatePlan("fake")])
    scheduling.change(window, {"start": START + HOUR}, by=BY, at=NOW)
    running.start(window.pk, by=BY, at=clock(START + HOUR + 10 * MINUTE))
    running.post_update(window, message="Half done", by=BY, at=START + 2 * HOUR)
    ticking.tick(now=clock(START + 3 * HOUR))
    done = running.complete(window, by=BY, at=START + 3 * HOUR + 30 * MINUTE)

    assert done.report is not None
    report = json.loads(json.dumps(done.report))
    assert report["times"] == {
        "planned_start_at": "2027-01-15T02:00:00Z",
        "planned_duration_seconds": 7200,
        "scheduled_start_at": "2027-01-15T03:00:00Z",
        "scheduled_end_at": "2027-01-15T05:00:00Z",
        "estimated_duration_seconds": 7200,
        "actual_start_at": "2027-01-15T03:10:00Z",
        "completed_at": "2027-01-15T05:30:00Z",
        "actual_duration_seconds": 8400,
        "overrun_seconds": 1800,
        "overrunning_since_at": "2027-01-15T05:00:00Z",
    }
    assert [(row["slug"], row["direct"], row["state_before"], row["state_after"]) for row in report["services"]] == [
        ("db", True, "normal", "normal"),
        ("shop", False, "normal", "normal"),
    ]
    assert [row["message"] for row in report["updates"]] == ["Half done"]
    assert [(row["gate"], row["state"]) for row in report["gates"]] == [("fake", "open")]
    kinds = [row["kind"] for row in report["notices"] if row["state"] == "posted"]
    assert kinds == ["scheduled", "rescheduled", "started", "update", "overrun", "completed"]
    assert report["window"]["status"] == "completed"


@pytest.mark.django_db
def test_a_report_counts_what_was_delivered() -> None:
    window = make_running()
    channel = Channel.objects.create(slug="mail", name="Mail", driver="email")
    said = Message.objects.get(kind="maintenance.started")
    for n, state in enumerate(["sent", "sent", "dead"]):
        Delivery.objects.create(message=said, channel=channel, address=f"{n}@example.org", state=state, due_at=START)

    done = running.complete(window, by=BY, at=START + HOUR)

    assert done.report is not None
    deliveries = {row["kind"]: row["deliveries"] for row in done.report["notices"]}
    assert deliveries["started"] == {"dead": 1, "sent": 2}
    assert deliveries["completed"] is None  # not fanned out yet: not known, and not none


@pytest.mark.django_db
def test_other_apps_tell_what_they_know_of_the_time_and_the_services(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Span] = []

    def backups(span: Span) -> Mapping[str, object]:
        asked.append(span)
        return {"taken": 3}

    monkeypatch.setitem(sections._things, "backups", backups)
    database = make_service("db")
    make_service("shop", database)

    done = running.complete(make_running(database), by=BY, at=START + HOUR)

    assert asked == [Span(START, START + HOUR, ("db", "shop"))]
    assert done.report is not None
    assert done.report["sections"]["backups"] == {"taken": 3}
    assert done.report["sections"]["errors"] is None
    assert done.report["not_known"]["errors"] == "No app that collects errors is installed."
    assert "backups" not in done.report["not_known"]


@pytest.mark.django_db
def test_a_section_that_cannot_be_read_costs_the_report_that_section_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(span: Span) -> Mapping[str, object]:
        raise OSError("no route to host")

    monkeypatch.setitem(sections._things, "backups", broken)

    done = running.complete(make_running(), by=BY, at=START + HOUR)

    assert done.report is not None
    assert done.report["sections"]["backups"] is None
    assert done.report["not_known"]["backups"] == "It could not be read: OSError: no route to host"
    assert "Section backups" in caplog.text


@pytest.mark.django_db
def test_a_frozen_report_stays_as_it_was() -> None:
    done = running.complete(make_running(title="Upgrade"), by=BY, at=START + HOUR)
    first = done.report
    Window.objects.filter(pk=done.pk).update(title="Something else")

    reports.freeze(Window.objects.get(pk=done.pk), at=START + 2 * HOUR)

    done.refresh_from_db()
    assert done.report == first == reports.report(done, at=START + 3 * HOUR)


@pytest.mark.django_db
def test_a_running_window_has_a_report_of_how_it_stands() -> None:
    window = make_running()

    report = reports.report(window, at=START + 30 * MINUTE)

    times = report["times"]
    assert isinstance(times, dict)
    assert (times["actual_duration_seconds"], times["overrun_seconds"], times["completed_at"]) == (1800, 0, None)
    assert reports.report(make_window(), at=NOW)["times"] is not None


@pytest.mark.django_db(transaction=True)
def test_sections_are_read_outside_any_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[bool] = []

    def slow(span: Span) -> Mapping[str, object]:
        inside.append(connection.in_atomic_block)
        return {}

    monkeypatch.setitem(sections._things, "backups", slow)
    running.complete(make_running(), by=BY, at=START + HOUR)

    assert inside == [False]


@pytest.mark.django_db
@pytest.mark.parametrize("odd", [START, {1, 2}, float("nan"), "a\0b", "\ud800"])
def test_a_section_that_cannot_be_kept_costs_the_report_that_section_only(
    odd: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sections._things, "odd", lambda span: {"found": odd})

    done = running.complete(make_running(), by=BY, at=START + HOUR)

    done.refresh_from_db()
    assert done.report is not None
    assert done.report["sections"]["odd"] is None
    assert "could not be read" in done.report["not_known"]["odd"]


@pytest.mark.django_db
def test_a_backslash_is_no_nul_character(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sections._things, "odd", lambda span: {"path": "C:\\u0000"})

    done = running.complete(make_running(), by=BY, at=START + HOUR)

    done.refresh_from_db()
    assert done.report is not None
    assert done.report["sections"]["odd"] == {"path": "C:\\u0000"}


@pytest.mark.django_db
def test_a_report_has_ids_and_times_as_the_api_has_them() -> None:
    window = make_running()
    update = running.post_update(window, message="Half done", by=BY, at=START)

    done = running.complete(window, by=BY, at=START + HOUR)

    assert done.report is not None
    assert done.report["window"]["id"] == str(window.pk)
    assert done.report["updates"][0]["id"] == str(update.pk)
    assert "+00:00" not in json.dumps(done.report)
