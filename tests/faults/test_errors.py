"""Parts of Sysops are killed while errors are reported; every report that was answered 200 is stored exactly once."""

import time

import pytest

from tests.faults.reporting import Reporting
from tests.running import Sysops, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def reporting(sysops: Sysops, request: pytest.FixtureRequest) -> Reporting:
    name = request.node.name.split("[")[-1].rstrip("]").replace(" ", "-").replace("_", "-").lower()
    return Reporting.to(sysops, name[-60:].strip("-"))


def kill(reporting: Reporting, *words: str, children: bool = False) -> None:
    """kill -9 of the program with these words in its command line, or of its children."""
    found = reporting.sysops.processes
    until(lambda: len(found(*words)) > children, seconds=60, what=lambda: f"{words} runs:\n{reporting.log()}")
    for victim in found(*words)[1:] if children else found(*words)[:1]:
        victim.kill()


VICTIMS: dict[str, tuple[tuple[str, ...], bool]] = {
    "web server": (("granian",), False),
    "web worker": (("granian",), True),
    "digest worker": (("worker", "intake"), False),
    "digest process": (("worker", "intake"), True),
    "queue": (("valkey-server",), False),
}


@pytest.mark.parametrize("victim", VICTIMS)
def test_what_was_answered_200_is_stored_once_whoever_is_killed(reporting: Reporting, victim: str) -> None:
    words, children = VICTIMS[victim]
    with reporting.load() as load:
        for _ in range(3):
            time.sleep(3)
            kill(reporting, *words, children=children)
        before = len(load.answered)
        until(lambda: len(load.answered) > before + 100, seconds=90, what="reports are taken again")

    assert set(load.statuses) <= {0, 200, 503}, load.statuses
    assert load.without_retry_after == []
    reporting.check(load)


def test_what_was_answered_200_is_stored_once_when_postgresql_is_killed(reporting: Reporting) -> None:
    with reporting.load() as load:
        for _ in range(3):
            time.sleep(3)
            kill(reporting, "bin/postgres", str(reporting.sysops.data_dir))
        before = len(load.answered)
        until(lambda: len(load.answered) > before + 100, seconds=90, what="reports are taken again")

    assert set(load.statuses) <= {200, 503}, load.statuses  # the web server itself answers all the time
    assert load.without_retry_after == []
    assert load.slowest_refusal < 12
    reporting.check(load)


def test_what_was_answered_200_is_stored_once_when_everything_is_killed(reporting: Reporting) -> None:
    with reporting.load() as load:
        time.sleep(3)
        reporting.sysops.process.kill()
        reporting.sysops.process.wait(10)
        time.sleep(1)
        reporting.sysops.start()
        before = len(load.answered)
        until(lambda: len(load.answered) > before + 100, seconds=90, what="reports are taken again")

    reporting.check(load)
