"""A real Valkey starts whatever happened to its files; what it can load is never touched."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from sysops.stack import queue_files, valkey
from tests.stack.conftest import SLEEPER, MakeStack, lives, wait_until

MESSAGES = 400
SLEEP = {"name": "sleeper", "code": SLEEPER, "order": 30}
NOTHING_LOST = "Nothing is lost: all work is in the database"


class Bench:
    """A queue, the server that runs on it, and what that said."""

    def __init__(self, folder: Path) -> None:
        (folder / "valkey").mkdir()
        self.queue = valkey.Queue(valkey.find(), data_dir=folder / "valkey", socket=folder / "v.sock")
        self.log = folder / "log"
        self.running: subprocess.Popen[bytes] | None = None

    def start(self, argv: list[str] | None = None) -> None:
        with self.log.open("wb") as log:
            self.running = subprocess.Popen(argv or self.queue.healing_argv(), stdout=log, stderr=log)
        wait_until(self.queue.answers, why=lambda: f"an answer:\n{self.said}")

    def kill(self) -> None:
        if self.running:
            self.running.kill()
            self.running.wait()
            self.running = None

    def fill(self) -> None:
        """A rewritten base and commands after it, on the disk."""
        self.start()
        with self.client() as client:
            fill(client, MESSAGES // 2)
            client.bgrewriteaof()
            wait_until(lambda: ".2.base" in self.manifest.read_text())
            fill(client, MESSAGES // 2)
        self.kill()

    def argv_with(self, program: Path, script: str) -> list[str]:
        """The command line, with a script in the place of the server."""
        program.write_text(script)
        program.chmod(0o755)
        return [str(program) if part == str(self.queue.program) else part for part in self.queue.healing_argv()]

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.queue.socket))

    def waiting(self) -> int:
        with self.client() as client:
            return int(client.llen("default"))

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def files(self) -> Path:
        return self.queue.data_dir / queue_files.FILES

    @property
    def manifest(self) -> Path:
        return self.files / "appendonly.aof.manifest"

    @property
    def commands(self) -> Path:
        return max(self.files.glob("*.incr.aof"))

    @property
    def base(self) -> Path:
        return max(self.files.glob("*.base.rdb"))

    def kept(self) -> list[Path]:
        return sorted(self.queue.data_dir.glob(f"{queue_files.FILES}.damaged-*"))

    def contents(self, folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def fill(client: redis.Redis, many: int) -> None:
    for number in range(many):
        client.lpush("default", f"{number:04}" + "x" * 100)


def make_hole(path: Path) -> None:
    """Nothing but zeros in the middle, as after a power cut."""
    held = path.read_bytes()
    begin, end = len(held) // 3, 2 * len(held) // 3
    path.write_bytes(held[:begin] + bytes(end - begin) + held[end:])


@pytest.fixture
def bench(folder: Path) -> Iterator[Bench]:
    made = Bench(folder)
    yield made
    made.kill()


@pytest.fixture
def filled(bench: Bench) -> Bench:
    bench.fill()
    return bench


DAMAGES: dict[str, Callable[[Bench], object]] = {
    "a hole in the commands": lambda bench: make_hole(bench.commands),
    "zeros at the end": lambda bench: bench.commands.write_bytes(bench.commands.read_bytes() + bytes(4096)),
    "a command there is not": lambda bench: bench.commands.write_bytes(
        bench.commands.read_bytes().replace(b"LPUSH", bytes(5)).replace(b"lpush", bytes(5))
    ),
    "a hole in the base": lambda bench: make_hole(bench.base),
    "a base that is cut off": lambda bench: bench.base.write_bytes(bench.base.read_bytes()[:-40]),
    "a base that is gone": lambda bench: bench.base.unlink(),
    "an empty manifest": lambda bench: bench.manifest.write_bytes(b""),
    "a manifest of zeros": lambda bench: bench.manifest.write_bytes(bytes(88)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_moved_aside_and_an_empty_queue_starts(filled: Bench, damage: str) -> None:
    DAMAGES[damage](filled)
    before = filled.contents(filled.files)

    filled.start()

    assert filled.waiting() == 0
    [kept] = filled.kept()
    assert filled.contents(kept) == before
    [told] = [line for line in filled.said.splitlines() if NOTHING_LOST in line]
    assert str(kept) in told
    assert len(filled.said.splitlines()) > 1, "and what Valkey said of them"


def test_a_cut_end_is_left_to_valkey_which_loads_what_is_before_it(filled: Bench) -> None:
    filled.commands.write_bytes(filled.commands.read_bytes()[:-30])

    filled.start()

    assert filled.waiting() == MESSAGES - 1
    assert filled.kept() == []
    assert NOTHING_LOST not in filled.said


def test_commands_emptied_to_the_last_byte_are_loaded_too(filled: Bench) -> None:
    filled.commands.write_bytes(b"")

    filled.start()

    assert filled.waiting() == MESSAGES // 2, "the base is whole"
    assert filled.kept() == []


def test_healthy_files_are_not_touched_by_the_look_into_them(filled: Bench) -> None:
    before = filled.contents(filled.files)
    numbers = {path.name: path.stat().st_ino for path in filled.files.iterdir()}

    filled.start()

    assert filled.waiting() == MESSAGES
    assert filled.contents(filled.files) == before
    assert {path.name: path.stat().st_ino for path in filled.files.iterdir()} == numbers
    assert [path.name for path in filled.queue.data_dir.iterdir()] == [queue_files.FILES]
    assert filled.running
    assert psutil.Process(filled.running.pid).exe() == str(filled.queue.program.resolve()), "it became the server"


def test_a_first_start_has_nothing_to_look_into(bench: Bench) -> None:
    bench.start()
    assert bench.waiting() == 0
    assert "damaged" not in bench.said


def test_only_the_last_two_damaged_ones_are_kept(filled: Bench) -> None:
    for day in ("20260101", "20260102"):
        shutil.copytree(filled.files, filled.queue.data_dir / f"{queue_files.FILES}.damaged-{day}T000000.000000Z")
    make_hole(filled.commands)

    filled.start()

    assert [path.name.partition("damaged-")[2][:8] == "20260102" for path in filled.kept()] == [True, False]


@pytest.mark.parametrize(
    ("server", "status"),
    [
        ("echo 'No space left on device'; exit 1", 1),
        ("""case "$*" in *"/trial "*) exec {} "$@";; esac; kill -9 $$""", -signal.SIGKILL),
    ],
    ids=["it refuses to start anywhere", "it is killed while it loads, as by a machine without memory"],
)
def test_files_that_are_not_to_blame_are_left_where_they_are(
    filled: Bench, folder: Path, server: str, status: int
) -> None:
    before = filled.contents(filled.files)
    argv = filled.argv_with(folder / "server", f"#!/bin/sh\n{server.format(filled.queue.program)}\n")

    ended = subprocess.run(argv, capture_output=True, timeout=90, check=False)

    assert ended.returncode == status
    assert filled.contents(filled.files) == before
    assert filled.kept() == []


def test_a_look_that_is_ended_leaves_no_server_behind(filled: Bench, folder: Path) -> None:
    program = folder / "deaf"
    argv = filled.argv_with(program, f"#!{sys.executable}\nimport time\ntime.sleep(600)\n")
    with subprocess.Popen(argv) as looking:
        wait_until(lambda: bool(psutil.Process(looking.pid).children()))
        wait_until(lambda: str(program) in psutil.Process(looking.pid).children()[0].cmdline()[1:2])
        [trial] = psutil.Process(looking.pid).children()

        looking.terminate()

    wait_until(lambda: not lives(trial), seconds=30)


def test_sysops_up_starts_on_damaged_files_and_a_supervised_restart_does_too(make_stack: MakeStack) -> None:
    stack = make_stack(SLEEP)
    stack.wait_for("sleeper         | here")
    files = stack.data_dir / "valkey" / queue_files.FILES
    wait_until(lambda: "valkey" in stack.pids())
    client = redis.Redis(unix_socket_path=stack.settings()["broker_url"].partition("://")[2])
    with client:
        fill(client, MESSAGES)

    killed = stack.pids()["valkey"]
    os.kill(killed, signal.SIGSTOP)
    make_hole(next(files.glob("*.incr.aof")))
    os.kill(killed, signal.SIGKILL)

    stack.wait_for("valkey          | The queue's files are damaged and cannot be loaded")
    wait_until(lambda: stack.pids()["valkey"] != killed)
    with client:
        wait_until(lambda: answers(client))
        assert client.llen("default") == 0
        fill(client, MESSAGES)
    assert stack.stop() == 0
    make_hole(next(files.glob("*.incr.aof")))

    again = make_stack(SLEEP)

    again.wait_for("sleeper         | here")
    assert NOTHING_LOST in again.output
    assert len(list(files.parent.glob("*.damaged-*"))) == 2


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
