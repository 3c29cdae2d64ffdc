"""Probes: measured within a time limit whatever they do."""

import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from monitoring import health
from monitoring.health import Probe, Reading, measure, probes, room
from monitoring.parts import Folder
from monitoring.rules import Status

NAME = "probe of this test"


class FakePart:
    """Answers what it is told, as slowly as it is told; remembers how often it was asked."""

    def __init__(self, status: Status = Status.HEALTHY, *, fail: Exception | None = None) -> None:
        self.status = status
        self.fail = fail
        self.go_on = Event()
        self.go_on.set()
        self.asked = 0

    def __call__(self) -> Sequence[Reading]:
        self.asked += 1
        self.go_on.wait(60)
        if self.fail:
            raise self.fail
        return [Reading(NAME, self.status, "As told")]


@pytest.fixture
def part() -> Iterator[FakePart]:
    part = FakePart()
    probes.register(NAME, Probe("checks", part, keep_seconds=0))
    yield part
    part.go_on.set()
    del probes._things[NAME]


def ask(limit: float = 30) -> Reading:
    """What is read within the limit; one that answers is waited for no longer than it takes."""
    (reading,) = measure([NAME], limit=limit)["checks"]
    return reading


def test_what_a_probe_says_is_shown_with_the_time_it_was_measured(part: FakePart) -> None:
    reading = ask()

    assert (reading.status, reading.details, reading.answers) == (Status.HEALTHY, "As told", True)
    assert reading.last_check is not None


def test_a_frozen_part_costs_the_limit_and_is_asked_once(part: FakePart) -> None:
    part.go_on.clear()
    began = time.monotonic()

    first, second = ask(0.2), ask(0.2)

    assert time.monotonic() - began < 20
    assert first.status is second.status is Status.UNHEALTHY
    silent = re.fullmatch(r"No answer for (\d+\.\d) s", second.details)
    assert silent is not None
    assert float(silent[1]) >= 0.4
    assert part.asked == 1


def test_a_part_that_thaws_is_healthy_again(part: FakePart) -> None:
    part.go_on.clear()
    ask(0.1)
    part.go_on.set()

    assert ask().status is Status.HEALTHY


def test_a_part_that_is_slow_but_answers_is_judged_by_its_answer(
    part: FakePart, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [100.0]
    monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    part.status = Status.DEGRADED
    part.go_on.clear()
    ask(0.05)
    seconds[0] += 0.3
    part.go_on.set()
    assert ask().status is Status.DEGRADED

    part.go_on.clear()
    seconds[0] += 0.2
    waiting = ask(0.1)
    assert (waiting.status, waiting.answers) == (Status.DEGRADED, False)
    seconds[0] += 0.4
    assert ask(0.05).status is Status.UNHEALTHY


def test_a_probe_that_breaks_is_not_known_and_tells_no_secret(part: FakePart) -> None:
    part.fail = RuntimeError("postgresql://sysops:hunter2@db/ is odd")

    reading = ask()

    assert reading.status is None
    assert "RuntimeError" in reading.details
    assert "hunter2" not in reading.details


def test_a_reading_is_kept_as_long_as_its_probe_says() -> None:
    part = FakePart()
    probes.register(NAME, Probe("checks", part, keep_seconds=60))
    try:
        ask(), ask(), ask()
    finally:
        del probes._things[NAME]

    assert part.asked == 1


def test_room_is_judged_by_the_share_that_is_free() -> None:
    assert room("x", free_bytes=50, total_bytes=100).status is Status.HEALTHY
    assert room("x", free_bytes=10, total_bytes=100).status is Status.DEGRADED
    assert room("x", free_bytes=1, total_bytes=100).status is Status.UNHEALTHY


def test_room_that_nobody_can_tell_is_not_known_and_a_problem_is_unhealthy() -> None:
    assert room("bucket", free_bytes=None, total_bytes=None).status is None
    assert room("x", free_bytes=50, total_bytes=100, problem="Cannot be written").status is Status.UNHEALTHY


def test_a_folder_that_is_there_has_room_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    (reading,) = Folder("data", tmp_path)()

    assert reading.status is not None
    assert reading.figures["total_bytes"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_unhealthy_and_says_why(tmp_path: Path) -> None:
    (missing,) = Folder("data", tmp_path / "gone")()
    assert (missing.status, missing.details) == (Status.UNHEALTHY, "Cannot be read: No such file or directory")

    if os.geteuid() != 0:  # root writes everywhere
        tmp_path.chmod(0o500)
        (locked,) = Folder("data", tmp_path)()
        assert (locked.status, locked.details) == (Status.UNHEALTHY, "Cannot be written: Permission denied")
    assert health.TIME_LIMIT_SECONDS < 1
