"""Processes of a supervisor that was killed: told apart from everybody else's, and ended before the next start."""

import contextlib
import json
import os
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

MARK = "_SYSOPS_STACK"  # in the environment of everything we start; not SYSOPS_…, those are settings
STAYS = "_SYSOPS_STAYS"  # in the environment of what is the operator's own: a server that a restore left running
RECORD = "processes.json"
FAST_SHUTDOWN = {"postgres": signal.SIGINT}  # PostgreSQL waits for its clients on SIGTERM


def record(run_dir: Path, pids: Mapping[str, int]) -> None:
    """Write down what runs, with the time each began: a process id alone may be somebody else's by tomorrow."""
    known = []
    for name, pid in pids.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            known.append({"name": name, "pid": pid, "created": psutil.Process(pid).create_time()})
    fresh = run_dir / f".{RECORD}"
    fresh.write_text(json.dumps(known))
    fresh.chmod(0o600)
    fresh.rename(run_dir / RECORD)


def find(run_dir: Path, *, mark: str) -> list[psutil.Process]:
    """Processes that an earlier supervisor of this data folder started and that still run."""
    found = {process.pid: process for process in [*_recorded(run_dir), *_marked(mark)]}
    for process in list(found.values()):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.update({child.pid: child for child in process.children(recursive=True)})
    found.pop(os.getpid(), None)
    return to_end(found.values())


def to_end(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that end with the stack: all but the ones that stay, with their children."""
    given = list(processes)
    staying: set[psutil.Process] = set()
    for process in given:
        with contextlib.suppress(psutil.Error, OSError):
            if STAYS in process.environ():
                staying.add(process)
                # Asked of the parent: PostgreSQL's children write their titles over their environment.
                staying.update(process.children(recursive=True))
    return [process for process in given if process not in staying]


def end(processes: list[psutil.Process], *, seconds: float = 10.0) -> None:
    """End them: asked first, killed when deaf, and gone when this returns."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(FAST_SHUTDOWN.get(process.name(), signal.SIGTERM))
    _, deaf = psutil.wait_procs(processes, timeout=seconds)
    for process in deaf:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(deaf, timeout=seconds)


def _recorded(run_dir: Path) -> list[psutil.Process]:
    try:
        known = json.loads((run_dir / RECORD).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return []
    found = []
    for entry in known:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(entry["pid"])
            if abs(process.create_time() - entry["created"]) < 0.01:
                found.append(process)
    return found


def _marked(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found
