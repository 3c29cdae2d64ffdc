"""The supervisor's own mishaps: what it runs is restarted all the same."""

import json
import subprocess
import sys

from sysops.stack.programs import ROOT


def after(mishap: str) -> dict[str, object]:
    """See tests.stack.mishaps."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.stack.mishaps", mishap], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_failure_of_the_supervision_itself_is_said_and_does_not_end_it() -> None:
    found = after("failure")

    assert found["before"] != found["after"]
    assert "fd 9 added twice" in str(found["said"])


def test_a_process_that_was_dropped_without_being_reaped_leaves_no_pipe_behind() -> None:
    found = after("dropped")

    assert found["before"] != found["after"]
    assert found["heard"] == [found["after"]]


def test_what_the_system_refuses_to_start_is_started_when_it_may_be_again() -> None:
    found = after("refused")

    assert found["before"] != found["after"]
    said = str(found["said"])
    assert said.count("sleeper cannot be started: the machine refuses a process") == 1
    assert said.count("starting it again") == 1
    assert "sleeper is started again" in said


def test_without_open_files_left_it_is_said_once_and_what_died_is_started_when_there_are_some() -> None:
    found = after("no_files")

    assert found["before"] != found["after"]
    assert str(found["said"]).count("Too many open files") == 1


def test_a_server_that_takes_long_to_come_up_is_waited_for() -> None:
    found = after("slow")

    assert "Still waiting for slow; its lines above say what it does" in str(found["said"])
