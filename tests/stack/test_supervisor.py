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
