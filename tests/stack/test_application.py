"""The whole of Sysops under its supervisor, as `make up` starts it."""

import http.client
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from sysops.stack.programs import ROOT
from tests.services import Home
from tests.stack.conftest import MakeStack, Stack, lives, wait_until


def status(stack: Stack, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def test_it_becomes_ready_survives_the_loss_of_its_web_server_and_ends_in_time(make_stack: MakeStack) -> None:
    stack = make_stack(argv=("sysops.cli", "up"))
    stack.wait_for(f"Sysops is ready at http://127.0.0.1:{stack.port}/admin/", seconds=180)
    assert stack.output.count("Sign in as admin") == 1
    assert status(stack, "/api/system/health/ready") == 200
    names = {"postgres", "valkey", "worker-default", "worker-backups", "web", "flower", "beat"}
    wait_until(lambda: set(stack.pids()) == names)

    # The web server's worker process holds the port: it must go with its parent for the next one to listen.
    os.kill(stack.pids()["web"], signal.SIGKILL)
    stack.wait_for("web ended with signal SIGKILL; starting it again")
    wait_until(lambda: status(stack, "/api/system/health/live") == 200, seconds=90)

    before = stack.processes()
    assert stack.stop() == 0
    assert [process for process in before if lives(process)] == []


def test_a_well_worker_has_a_pulse(servers: Home, folder: Path) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "--config", "celeryconfig", "--quiet", "worker", "--pool", "solo",
         "--queues", "nobody", "--hostname", "pulse@test", "--include", "sysops.stack.pulse", "--without-mingle"],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(folder)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until((folder / "sysops-worker-pulse").exists, seconds=60)
        psutil.Process(worker.pid).suspend()
        touched = (folder / "sysops-worker-pulse").stat().st_mtime
        psutil.Process(worker.pid).resume()
        wait_until(lambda: (folder / "sysops-worker-pulse").stat().st_mtime > touched, seconds=30)
    finally:
        worker.kill()
        worker.wait(10)
