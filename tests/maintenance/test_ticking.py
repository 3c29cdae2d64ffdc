"""What a tick does first, and what cannot keep it from the rest."""

from datetime import timedelta

import pytest

from maintenance.plans import GatePlan
from maintenance.services import ticking
from tests.maintenance.support import HOUR, START, FakeGate, clock, make_running, make_service, make_window, told


class Killed(BaseException):
    """As the worker's time limit does it: nothing catches it."""


@pytest.mark.django_db
def test_of_two_windows_back_to_back_the_second_begins_as_the_first_ends_and_nobody_is_woken() -> None:
    database = make_service("db")
    make_running(database, hours=2, completes_itself=True)
    second = make_window(database, start=START + 2 * HOUR, starts_itself=True)

    ticked = ticking.tick(now=clock(START + 2 * HOUR))

    assert (ticked.completed, ticked.started) == (1, 1)
    assert told(second) == ["scheduled", "started"]


@pytest.mark.django_db
def test_a_gate_that_never_answers_keeps_nothing_else_from_being_done(gate: FakeGate) -> None:
    gate.fails = Killed()
    stuck = make_window(starts_itself=True, start=START - HOUR, gates=[GatePlan("fake")])
    free = make_window(starts_itself=True)
    over = make_running(start=START - 3 * HOUR, at=START - 3 * HOUR, completes_itself=True)
    late = make_running(start=START - 3 * HOUR, at=START - 3 * HOUR)
    tomorrow = make_window(start=START + 20 * HOUR)

    with pytest.raises(Killed):
        ticking.tick(now=clock(START + timedelta(seconds=1)))

    assert told(over)[-1] == "completed"
    assert told(late)[-1] == "overrun"
    assert told(tomorrow)[-1] == "ahead"
    assert told(free)[-1] == "started"
    assert "started" not in told(stuck)
