"""Starting the real supervisor in a child process, and looking at what it does."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from sysops.stack import leftovers
from sysops.stack.programs import ROOT
from tests.services import Home, free_port

SLEEPER = "import time; print('here'); time.sleep(999)"


@dataclass
class Stack:
    """One `sysops up` with small programs instead of the application."""

    data_dir: Path
    programs: list[dict[str, object]] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)
    argv: Sequence[str] = ()  # instead of the small stack
    lines: list[str] = field(default_factory=list)

    def start(self) -> "Stack":
        given = {k: v for k, v in os.environ.items() if not k.startswith("SYSOPS_")}
        if "SYSOPS_PG_OS_USER" in os.environ:
            given["SYSOPS_PG_OS_USER"] = os.environ["SYSOPS_PG_OS_USER"]
        given |= {"SYSOPS_DATA_DIR": str(self.data_dir), "SYSOPS_PORT": str(free_port()), **self.environ}
        self.port = int(given["SYSOPS_PORT"])
        self.process = subprocess.Popen(
            [sys.executable, "-m", *(self.argv or ("tests.stack.small_stack", json.dumps(self.programs)))],
            cwd=ROOT, env=given, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, text: str, *, seconds: float = 60, times: int = 1) -> None:
        """Until `text` was said so often; fails with everything that was said instead."""
        wait_until(
            lambda: self.output.count(text) >= times, seconds=seconds, why=lambda: f"{text!r} in:\n{self.output}"
        )

    def pids(self) -> dict[str, int]:
        """What the supervisor wrote down about its programs."""
        known = json.loads((self.data_dir / "run" / leftovers.RECORD).read_text())
        return {entry["name"]: entry["pid"] for entry in known}

    def settings(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.data_dir / "run" / "stack.json").read_text())
        return found

    def processes(self) -> list[psutil.Process]:
        """Every process of this stack that lives, wherever it hangs in the tree."""
        mark = (self.data_dir / "instance-id").read_text()
        return [p for p in leftovers.find(self.data_dir / "run", mark=mark) if lives(p)]

    def stop(self, number: signal.Signals = signal.SIGTERM, *, seconds: float = 30) -> int:
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def clear(self) -> None:
        """Whatever the test did, nothing of it stays."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if (self.data_dir / "instance-id").exists():
            leftovers.end(self.processes(), seconds=5)
        outside = self.data_dir / "postgres"
        if outside.is_symlink():
            shutil.rmtree(outside.resolve().parent)
        self._reader.join(5)
        if self.process.stdout:
            self.process.stdout.close()


MakeStack = Callable[..., Stack]


@pytest.fixture
def folder(home: Home, request: pytest.FixtureRequest) -> Path:
    """A folder that the servers' OS user can pass through, as a checkout in /srv would be."""
    made = home.dir / f"f{abs(hash(request.node.name)) % 10**8}"
    made.mkdir(mode=0o755)
    return made


@pytest.fixture
def make_stack(folder: Path) -> Iterator[MakeStack]:
    """Starts stacks; all of them and their processes end with the test."""
    made: list[Stack] = []

    def make(*programs: Mapping[str, object], data_dir: Path | None = None, **options: object) -> Stack:
        stack = Stack(data_dir or folder / "var", [dict(p) for p in programs], **options)  # type: ignore[arg-type]
        made.append(stack)
        return stack.start()

    yield make
    for stack in made:
        stack.clear()


def lives(process: psutil.Process) -> bool:
    """Whether it still does anything: one that ended and waits for its parent to notice does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(true: Callable[[], bool], *, seconds: float = 60, why: Callable[[], str] = lambda: "condition") -> None:
    """Return when it is true; fail when it never becomes so."""
    give_up = time.monotonic() + seconds
    while not true():
        if time.monotonic() > give_up:
            pytest.fail(f"Not after {seconds:.0f} s: {why()}")
        time.sleep(0.05)
