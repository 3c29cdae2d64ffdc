"""The disk below the database fills up while errors are reported: they are refused in time, and nothing is broken.

The data folder is a tmpfs in a mount namespace of its own, made too small and large enough again.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from errors.digest.event import load as load_payload
from tests.faults.reporting import Reporting
from tests.running import ROOT, Sysops, until
from tests.services import Home, free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LARGE = 3 * 1024**3
# The keeper stays behind in the namespace for whoever wants to enter it; the instance itself may be another user there.
MOUNTED = (
    'mount -t tmpfs -o mode=0755,size="$1" tmpfs "$2" && { sleep 300 & } && echo $! > "$3" && shift 3 && exec "$@"'
)
IS_ROOT = os.geteuid() == 0
NEW = ("unshare", "--mount") if IS_ROOT else ("unshare", "--user", "--map-root-user", "--mount")
OURSELVES = () if IS_ROOT else ("unshare", "--user", f"--map-user={os.geteuid()}", f"--map-group={os.getegid()}")
ENTER = ("nsenter", "--mount") if IS_ROOT else ("nsenter", "--mount", "--user", "--preserve-credentials")


class OnSmallDisk(Sysops):
    """An instance whose data folder is a disk that can be made smaller and larger."""

    def start(self) -> None:
        above = self.data_dir.parent
        mounted = ["sh", "-c", MOUNTED, "sh", str(LARGE), str(self.data_dir), str(above / "keeper")]
        with (above / "up.log").open("a") as log:
            self.process = subprocess.Popen(
                [*NEW, *mounted, *OURSELVES, sys.executable, "-m", "sysops.cli", "up"],
                cwd=ROOT,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(self._ready, seconds=90, what=lambda: f"ready:\n{(above / 'up.log').read_text()[-3000:]}")

    def stop(self) -> None:
        super().stop()
        with contextlib.suppress(ProcessLookupError):  # the instance ends what it finds below itself, also this
            os.kill(self.keeper, signal.SIGKILL)

    @property
    def keeper(self) -> int:
        return int((self.data_dir.parent / "keeper").read_text())

    def inside(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        """A command that sees what the instance sees."""
        enter = [*ENTER, f"--target={self.keeper}", f"--wd={ROOT}"]
        return subprocess.run([*enter, *argv], env=dict(self.environ), capture_output=True, text=True, timeout=60)

    def cli(self, *words: str, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        return self.inside(*OURSELVES, sys.executable, "-m", "sysops.cli", *words)

    @property
    def files(self) -> Path:
        """The data folder, as seen from outside."""
        return Path(f"/proc/{self.keeper}/root{self.data_dir}")

    def used(self) -> int:
        found = os.statvfs(self.files)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def resize(self, size: int) -> bool:
        """Whether the disk has this size now: one smaller than what is on it is refused."""
        return self.inside("mount", "-o", f"remount,size={size}", str(self.data_dir)).returncode == 0


@pytest.fixture
def small(home: Home) -> Iterator[OnSmallDisk]:
    port = free_port()
    made = OnSmallDisk.below(home.dir / "small" / str(port), port=port)
    assert isinstance(made, OnSmallDisk)
    try:
        made.start()
        made.sign_in()
        yield made
        made.http.close()
    finally:
        made.stop()


def test_a_full_disk_is_answered_503_in_time_and_nothing_is_lost_or_broken(small: OnSmallDisk) -> None:
    reporting = Reporting.to(small, "shop")
    reporting.data_dir = small.files
    with reporting.load() as load:
        until(lambda: len(load.answered) > 200, seconds=60, what="reports are taken")

        full_until = time.monotonic() + 15
        while time.monotonic() < full_until or load.statuses[503] < 50:
            assert time.monotonic() < full_until + 60, load.statuses
            small.resize(small.used() + 64 * 1024)  # again and again: what is on it grows and shrinks meanwhile
            time.sleep(0.2)
        assert httpx.get(f"{small.url}/health/live", timeout=5).status_code == 200

        assert small.resize(LARGE)
        before = len(load.answered)
        until(lambda: len(load.answered) > before + 200, seconds=90, what=lambda: f"taken again: {load.statuses}")

    assert set(load.statuses) <= {200, 503}, load.statuses
    assert load.without_retry_after == []
    assert load.slowest_refusal < 6
    reporting.check(load)
    payloads = reporting.rows("SELECT payload FROM errors_event WHERE project_id = %(project)s")
    assert all(load_payload(payload)["exception"] for (payload,) in payloads)
