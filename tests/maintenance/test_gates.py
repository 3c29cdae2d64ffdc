"""Gates are asked before a start: closed keeps the window from starting, preparing starts it later (SPEC M9)."""

from datetime import timedelta

import pytest
from django.db import connection

from catalogue.gates import Answer, Question, Verdict, gates
from maintenance.models import WindowGate
from maintenance.plans import GatePlan
from maintenance.services import running, scheduling, ticking
from maintenance.services.running import NotYet
from sysops.access.models import AuditEntry
from tests.maintenance.support import (
    BY,
    HOUR,
    NOW,
    START,
    FakeGate,
    clock,
    events,
    make_service,
    make_team,
    make_window,
    message,
    told,
)

MINUTE = timedelta(minutes=1)
PREPARING = (Verdict.PREPARING, "A backup is being taken.")
CLOSED = (Verdict.CLOSED, "The last backup is 9 h old.")
OPEN = (Verdict.OPEN, "Backup 7 is fresh.")


@pytest.mark.django_db
def test_an_open_gate_is_asked_what_the_window_is_about_and_its_answer_is_kept(gate: FakeGate) -> None:
    database = make_service("db")
    make_service("shop", database)
    window = make_window(database, gates=[GatePlan("fake", {"hours": 4})])

    running.start(window.pk, by=BY, at=clock(START))

    asked = Question(f"window {window.pk}", ("db",), {"hours": 4}, False, None, "ada", START)
    assert gate.asked == [asked]
    row = window.gates.get()
    assert (row.state, row.reason, row.facts, row.asked_at) == ("open", "Fine.", {"backup": 7}, START)


@pytest.mark.django_db
def test_a_closed_gate_keeps_the_window_from_starting_and_says_why(gate: FakeGate) -> None:
    window = make_window(gates=[GatePlan("fake")])
    gate.says(CLOSED)

    with pytest.raises(NotYet, match="Fake gate: The last backup is 9 h old") as refusal:
        running.start(window.pk, by=BY, at=clock(START))

    assert not refusal.value.preparing
    window.refresh_from_db()
    assert window.status == "scheduled"
    assert window.start_refused_because == "Fake gate: The last backup is 9 h old."
    assert events(window) == ["scheduled", "start_refused"]
    assert AuditEntry.objects.order_by("-id")[0].action == "maintenance.window.start_refused"
    assert told(window) == ["scheduled"]  # whoever asked reads the answer
    gate.says(OPEN)
    assert running.start(window.pk, by=BY, at=clock(START)).start_refused_because == ""


@pytest.mark.django_db
def test_a_gate_that_prepares_starts_the_window_when_it_is_open(gate: FakeGate) -> None:
    window = make_window(gates=[GatePlan("fake", prepare=True)])
    gate.says(PREPARING, PREPARING, PREPARING, OPEN)

    with pytest.raises(NotYet, match="being taken") as refusal:
        running.start(window.pk, by=BY, at=clock(START))
    assert refusal.value.preparing
    with pytest.raises(NotYet):
        running.start(window.pk, by=BY, at=clock(START + MINUTE))
    first, second = (ticking.tick(now=clock(START + n * MINUTE)).started for n in (2, 3))

    assert (first, second) == (0, 1)
    window.refresh_from_db()
    assert (window.status, window.actual_start, window.start_asked_at) == ("in_progress", START + 3 * MINUTE, None)
    assert [question.since for question in gate.asked] == [None, START, START, START]
    assert events(window) == ["scheduled", "start_asked", "started"]
    assert "start_refused" not in told(window)


@pytest.mark.django_db
def test_a_preparation_that_fails_is_given_up_and_on_call_hears_of_it_once(gate: FakeGate) -> None:
    database = make_service("db", owner_team=make_team("ops", "bob"))
    window = make_window(database, gates=[GatePlan("fake", prepare=True)])
    gate.says(PREPARING, (Verdict.CLOSED, "The backup failed."))
    with pytest.raises(NotYet):
        running.start(window.pk, by=BY, at=clock(START))

    for n in range(3):
        ticking.tick(now=clock(START + n * MINUTE))

    window.refresh_from_db()
    assert (window.status, window.start_asked_at) == ("scheduled", None)
    assert len(gate.asked) == 2  # nobody asks any more
    said = message(window, "start_refused")
    assert (said.level, said.context["reason"]) == ("critical", "Fake gate: The backup failed.")
    assert said.audience["on_call_of"] == [database.owner_team_id]
    assert not said.audience["subscribers_of"]
    gate.says(PREPARING)
    with pytest.raises(NotYet):  # asked anew, it prepares anew
        running.start(window.pk, by=BY, at=clock(START + 5 * MINUTE))
    assert gate.asked[-1].since is None


@pytest.mark.django_db
def test_a_window_that_starts_itself_asks_until_its_end_but_on_call_hears_of_each_cause_once(gate: FakeGate) -> None:
    window = make_window(starts_itself=True, gates=[GatePlan("fake", prepare=True)])
    gate.says(PREPARING, *[(Verdict.CLOSED, f"The last backup is {n} h old.") for n in range(3, 20)])

    for n in range(10):
        ticking.tick(now=clock(START + n * MINUTE))
    assert told(window) == ["scheduled", "start_refused"]
    assert events(window) == ["scheduled", "start_asked", "start_refused"]
    assert {question.since for question in gate.asked[1:]} == {START}  # what failed once is not taken again
    ticking.tick(now=clock(START + 2 * HOUR))
    ticking.tick(now=clock(START + 3 * HOUR))

    window.refresh_from_db()
    assert window.status == "scheduled"
    assert "Its time has passed and it was not started: Fake gate" in window.start_refused_because
    assert len(gate.asked) == 10
    assert told(window).count("start_refused") == 2


@pytest.mark.django_db
def test_an_open_gate_in_time_starts_a_window_that_was_refused_before(gate: FakeGate) -> None:
    window = make_window(starts_itself=True, gates=[GatePlan("fake")])
    gate.says(CLOSED, OPEN)

    ticking.tick(now=clock(START))
    ticking.tick(now=clock(START + MINUTE))

    window.refresh_from_db()
    assert window.status == "in_progress"


@pytest.mark.django_db
def test_nothing_is_prepared_for_a_window_that_another_gate_keeps_closed(
    gate: FakeGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    shut, late = FakeGate(), FakeGate()
    shut.says(CLOSED)
    monkeypatch.setitem(gates._things, "shut", shut)
    monkeypatch.setitem(gates._things, "late", late)
    window = make_window(gates=[GatePlan("fake"), GatePlan("shut"), GatePlan("late", prepare=True)])

    with pytest.raises(NotYet):
        running.start(window.pk, by=BY, at=clock(START))

    assert late.asked == []
    assert list(window.gates.values_list("state", flat=True)) == ["open", "closed", "unasked"]


@pytest.mark.django_db
def test_a_gate_that_breaks_or_is_gone_is_closed(gate: FakeGate, caplog: pytest.LogCaptureFixture) -> None:
    window = make_window(gates=[GatePlan("fake")])
    gate.fails = OSError("no route to host")

    with pytest.raises(NotYet, match="could not be asked \\(OSError\\)"):
        running.start(window.pk, by=BY, at=clock(START))
    assert "no route to host" in caplog.text
    WindowGate.objects.update(gate="uninstalled")
    with pytest.raises(NotYet, match="There is no gate 'uninstalled'"):
        running.start(window.pk, by=BY, at=clock(START))


@pytest.mark.django_db
def test_a_window_changed_while_its_gates_are_asked_is_not_started(
    gate: FakeGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = make_window(gates=[GatePlan("fake")])
    real = gate.ask

    def meanwhile(question: Question) -> object:
        scheduling.change(window, {"gates": [GatePlan("fake", {"hours": 1})]}, by=BY, at=NOW + HOUR)
        return real(question)

    monkeypatch.setattr(gate, "ask", meanwhile)
    with pytest.raises(NotYet, match="was changed"):
        running.start(window.pk, by=BY, at=clock(START))


@pytest.mark.django_db(transaction=True)
def test_gates_are_asked_outside_any_transaction(gate: FakeGate, monkeypatch: pytest.MonkeyPatch) -> None:
    window = make_window(starts_itself=True, gates=[GatePlan("fake")])
    inside: list[bool] = []
    real = gate.ask

    def ask(question: Question) -> object:
        inside.append(connection.in_atomic_block)
        return real(question)

    monkeypatch.setattr(gate, "ask", ask)
    ticking.tick(now=clock(START))

    assert inside == [False]
    window.refresh_from_db()
    assert window.status == "in_progress"


@pytest.mark.django_db
def test_a_window_rescheduled_while_a_gate_prepares_begins_at_its_new_start_and_asks_anew(gate: FakeGate) -> None:
    gate.says(PREPARING, OPEN)
    window = make_window(gates=[GatePlan("fake", prepare=True)])
    with pytest.raises(NotYet):
        running.start(window.pk, by=BY, at=clock(START - MINUTE))

    scheduling.change(window, {"start": START + 24 * HOUR}, by=BY, at=START)
    ticking.tick(now=clock(START + MINUTE))

    window.refresh_from_db()
    assert (window.status, window.start_asked_at) == ("scheduled", None)
    assert len(gate.asked) == 1
    running.start(window.pk, by=BY, at=clock(START + 24 * HOUR))
    assert gate.asked[-1].since is None


@pytest.mark.django_db
@pytest.mark.parametrize("answer", [PREPARING, CLOSED])
def test_what_gates_said_of_another_start_is_not_kept(
    gate: FakeGate, monkeypatch: pytest.MonkeyPatch, answer: tuple[Verdict, str]
) -> None:
    gate.says(answer)
    window = make_window(gates=[GatePlan("fake", prepare=True)])
    real = gate.ask

    def meanwhile(question: Question) -> object:
        scheduling.change(window, {"start": START + 24 * HOUR}, by=BY, at=NOW + HOUR)
        return real(question)

    monkeypatch.setattr(gate, "ask", meanwhile)
    with pytest.raises(NotYet):
        running.start(window.pk, by=BY, at=clock(START))

    window.refresh_from_db()
    assert (window.start_asked_at, window.start_refused_because) == (None, "")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "answer",
    [Answer(Verdict.OPEN, "NUL \0"), Answer(Verdict.OPEN, "", {"at": NOW}), Answer(Verdict.OPEN, "", {"x": "\ud800"})],
)
def test_a_gate_whose_answer_cannot_be_kept_is_closed(
    gate: FakeGate, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    gate.answers = [answer]
    window = make_window(gates=[GatePlan("fake")])

    with pytest.raises(NotYet, match="could not be asked"):
        running.start(window.pk, by=BY, at=clock(START))
    assert "broke" in caplog.text


@pytest.mark.django_db
def test_when_a_window_that_starts_itself_still_waits_for_a_gate_on_call_hears_of_it_once(gate: FakeGate) -> None:
    gate.says(PREPARING)
    window = make_window(starts_itself=True, gates=[GatePlan("fake", prepare=True)])

    for minutes in (0, 4, 5, 6, 60):
        ticking.tick(now=clock(START + minutes * MINUTE))
        heard = told(window).count("start_refused")
        assert heard == (minutes >= 5), minutes

    assert message(window, "start_refused").context["reason"] == "Fake gate: A backup is being taken."
