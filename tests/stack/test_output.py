"""Whoever reads our standard output, or does not, holds nobody up."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import psutil
import pytest

from sysops.stack.output import Output
from sysops.stack.programs import ROOT
from tests.stack.conftest import Stack, lives, wait_until

CHATTY = "import time\nwhile True: print('x' * 999, flush=True); time.sleep(0.001)"


class Unread(Stack):
    """A stack whose output is a pipe that nobody reads."""

    def _read(self) -> None:
        return


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        yield reader, stream
        os.close(reader)


def test_lines_come_out_in_order_with_the_name_of_their_program(pipe: tuple[int, TextIO]) -> None:
    output = Output(pipe[1])
    output.say("web", "one")
    output.say("beat", "tw\ud800")
    output.close()

    assert os.read(pipe[0], 1000) == b"web             | one\nbeat            | tw?\n"


def test_lines_nobody_reads_are_dropped_and_counted_and_hold_nobody_up(pipe: tuple[int, TextIO]) -> None:
    output = Output(pipe[1], most_bytes=100_000)
    begun = time.monotonic()
    for number in range(400):
        output.say("web", f"{number:03} {'x' * 999}")
    output.close(seconds=0.2)
    assert time.monotonic() - begun < 2

    os.set_blocking(pipe[0], False)
    read = b""

    def all_read() -> bool:
        nonlocal read
        try:
            read += os.read(pipe[0], 65536)
        except BlockingIOError:
            return not output._thread.is_alive()
        return False

    wait_until(all_read, seconds=10)
    lines = read.decode().splitlines()
    kept = [line[18:21] for line in lines if line.startswith("web")]
    said = [line.split()[2] for line in lines if "lines were dropped: nobody read them in time" in line]
    assert kept == sorted(kept)
    assert kept[0] == "000"
    assert len(kept) + sum(map(int, said)) == 400
    assert said


def test_a_log_on_a_full_disk_ends_nothing() -> None:
    said = "output.say('web', 'x' * 9999); output.say('web', 'y'); output.close(); sys.stderr.write('on')"
    code = f"import sys; from sysops.stack.output import Output; output = Output(); {said}"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "on")


def test_a_stack_whose_output_nobody_reads_goes_on_and_stops_when_asked(folder: Path) -> None:
    stack = Unread(folder / "var", [{"name": "chatty", "code": CHATTY, "order": 30}]).start()
    try:
        wait_until(lambda: (stack.data_dir / "run" / "processes.json").exists() and "chatty" in stack.pids())
        before = psutil.Process(stack.pids()["chatty"])
        time.sleep(2)  # it says more than the pipe takes
        before.kill()

        wait_until(lambda: stack.pids()["chatty"] != before.pid, seconds=10)
        running = stack.processes()
        assert stack.stop(signal.SIGTERM) == 0
        assert [process for process in running if lives(process)] == []
    finally:
        stack.clear()
