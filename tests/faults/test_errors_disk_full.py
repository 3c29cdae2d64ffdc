"""The disk below the database fills up while errors are reported: they are refused in time, and nothing is broken.

The data folder is a tmpfs in a mount namespace of its own, made too small and large enough again.
"""

import os
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
# The keeper holds the namespace for whoever enters it: the instance, which may be another user there, and the test.
# It is none of the instance's own processes: those end with it.
KEEPER = 'mount -t tmpfs -o mode=0755,size="$1" tmpfs "$2" && echo mounted && exec sleep infinity'
IS_ROOT = os.geteuid() == 0
NEW = ("unshare", "--mount") if IS_ROOT else ("unshare", "--user", "--map-root-user", "--mount")
OURSELVES = () if IS_ROOT else ("unshare", "--user", f"--map-user={os.geteuid()}", f"--map-group={os.getegid()}")
ENTER = ("nsenter", "--mount") if IS_ROOT else ("nsenter", "--mount", "--user", "--preserve-credentials")


class OnSmallDisk(Sysops):
    """An instance whose data folder is a disk that can be made smaller and larger."""

    def mount(self) -> None:
        """Put the disk below the data folder."""
        self.keeper = subprocess.Popen(
            [*NEW, "sh", "-c", KEEPER, "sh", str(LARGE), str(self.data_dir)], stdout=subprocess.PIPE, text=True
        )
        assert self.keeper.stdout
        assert self.keeper.stdout.readline() == "mounted\n"

    def unmount(self) -> None:
        """Let go of the disk; what is on it is gone when nobody uses it any more."""
        self.keeper.kill()
        self.keeper.communicate()

    @property
    def seen(self) -> list[str]:
        """What a command begins with that sees what the instance sees."""
        return [*ENTER, f"--target={self.keeper.pid}", f"--wd={ROOT}"]

    @property
    def up(self) -> list[str]:
        return [*self.seen, *OURSELVES, *super().up]

    def inside(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        """What a command did that sees what the instance sees."""
        return subprocess.run([*self.seen, *argv], env=dict(self.environ), capture_output=True, text=True, timeout=120)

    def cli(self, *words: str, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        return self.inside(*OURSELVES, sys.executable, "-m", "sysops.cli", *words)

    @property
    def files(self) -> Path:
        """The data folder, as seen from outside."""
        return Path(f"/proc/{self.keeper.pid}/root{self.data_dir}")

    def used(self) -> int:
        found = os.statvfs(self.files)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def resize(self, size: int) -> bool:
        """Whether the disk has this size now: one smaller than what is on it is refused."""
        return self.inside("mount", "-o", f"remount,size={size}", str(self.data_dir)).returncode == 0


@pytest.fixture(scope="module")
def small(home: Home) -> Iterator[OnSmallDisk]:
    port = free_port()
    made = OnSmallDisk.below(home.dir / "small" / str(port), port=port)
    assert isinstance(made, OnSmallDisk)
    made.mount()
    try:
        made.start()
        try:
            made.sign_in()
            yield made
            made.http.close()
        finally:
            made.stop()
    finally:
        made.unmount()


def test_a_full_disk_is_answered_503_in_time_and_nothing_is_lost_or_broken(small: OnSmallDisk) -> None:
    reporting = Reporting.to(small, "shop")
    reporting.data_dir = small.files
    with reporting.load() as load:
        until(lambda: len(load.answered) > 200, seconds=60, what="reports are taken")

        small.resize(small.used() + 64 * 1024)
        small.kill("celery", "beat")  # what is started again meanwhile cannot be written down
        full_until = time.monotonic() + 15
        while time.monotonic() < full_until or load.statuses[503] < 50:
            assert time.monotonic() < full_until + 60, load.statuses
            small.resize(small.used() + 64 * 1024)  # again and again: what is on it grows and shrinks meanwhile
            time.sleep(0.2)
        assert httpx.get(f"{small.url}/health/live", timeout=30).status_code == 200

        assert small.resize(LARGE)
        before = len(load.answered)
        until(lambda: len(load.answered) > before + 200, seconds=90, what=lambda: f"taken again: {load.statuses}")

    assert set(load.statuses) <= {200, 503}, load.statuses
    assert load.without_retry_after == []
    assert load.slowest_refusal < 12
    reporting.check(load)
    assert small.process.poll() is None
    payloads = reporting.rows("SELECT payload FROM errors_event WHERE project_id = %(project)s")
    assert all(load_payload(payload)["exception"] for (payload,) in payloads)


def test_a_start_on_a_full_disk_is_refused_in_one_line_with_the_remedy(small: OnSmallDisk) -> None:
    small.stop()
    until(lambda: small.resize(small.used() + 4096), seconds=60, what="the disk is full")

    refused = subprocess.run(small.up, env=dict(small.environ), capture_output=True, text=True, timeout=60)

    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        f"sysops up: Cannot write to the data folder {small.data_dir}: No space left on device; "
        "make room there, or set SYSOPS_DATA_DIR to another folder"
    ]
    assert small.resize(LARGE)
    small.start()
