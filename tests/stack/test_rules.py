"""What the supervisor decides, and what tells our processes from others'."""

import logging
import os
import pwd
import resource
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysops.kernel import osuser
from sysops.stack import launch, leftovers, places, programs, valkey
from sysops.stack.errors import StackError
from sysops.stack.supervisor import LONGEST_DELAY_SECONDS, Lines, Words, pause_before
from tests.services import Home


@given(st.integers(min_value=0, max_value=1000))
def test_pauses_grow_to_a_bound_and_the_first_restart_waits_for_nothing(deaths: int) -> None:
    assert pause_before(0) == 0
    assert pause_before(deaths) <= pause_before(deaths + 1) <= LONGEST_DELAY_SECONDS


@given(st.lists(st.text(st.characters(exclude_characters="\n", codec="utf-8")), max_size=5), st.data())
def test_lines_come_whole_however_the_pipe_cuts_them(lines: list[str], data: st.DataObject) -> None:
    said: list[str] = []
    stream = Lines("web", lambda name, line: said.append(line))
    rest = "".join(f"{line}\n" for line in lines).encode()
    while rest:
        cut = data.draw(st.integers(min_value=1, max_value=len(rest)))
        stream({"data": rest[:cut]})
        rest = rest[cut:]
    assert said == lines


def test_what_libraries_log_is_said_in_a_line_and_once_in_a_row() -> None:
    said: list[str] = []
    log = logging.Logger("tornado.application")
    log.addHandler(Words(lambda name, line: said.append(f"{name}: {line}")))

    for pid in (1, 2):
        try:
            raise OSError(24, f"Too many open files: {pid}")
        except OSError:
            log.error("Multiple exceptions\nin yield list", exc_info=True)
    log.error("other")
    log.warning("less")

    assert said == ["sysops: Multiple exceptions: OSError(24, 'Too many open files: 1')", "sysops: other"]


def test_a_recorded_process_id_that_is_somebody_elses_by_now_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        leftovers.record(tmp_path, {"web": other.pid})
        assert other.pid in {process.pid for process in leftovers.find(tmp_path, mark="none")}
        record = tmp_path / leftovers.RECORD
        created = str(psutil.Process(other.pid).create_time())
        record.write_text(record.read_text().replace(created, str(float(created) - 100)))

        assert leftovers.find(tmp_path, mark="none") == []
        other.kill()


def test_a_marked_process_is_found_without_a_record_and_ended_even_when_deaf(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('x', flush=True); time.sleep(60)"
    env = {**os.environ, leftovers.MARK: "this-one"}
    with subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE) as deaf:
        assert deaf.stdout
        deaf.stdout.readline()
        found = leftovers.find(tmp_path, mark="this-one")
        assert [process.pid for process in found] == [deaf.pid]

        leftovers.end(found, seconds=0.3)

        assert not found[0].is_running()


def test_a_program_may_open_as_many_files_as_the_system_allows_whoever_starts_us() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    says = (sys.executable, "-c", "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])")
    few = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}))"
    become = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"
    started = subprocess.run(
        [sys.executable, "-c", f"{few}; {become}", *programs.launched(says)],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert int(started.stdout) == min(hard, launch.MOST_FILES)


def test_the_user_for_servers_is_never_root(monkeypatch: pytest.MonkeyPatch) -> None:
    assert osuser.server_user().uid != 0
    if os.geteuid() == 0:
        with pytest.raises(osuser.NoOsUser, match="PostgreSQL refuses root"):
            osuser.server_user("root")
        with pytest.raises(osuser.NoOsUser, match="no OS user 'nobody-has-this-name'"):
            osuser.server_user("nobody-has-this-name")


def test_without_a_tool_to_make_a_user_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: (_ for _ in ()).throw(KeyError(name)))
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(osuser.NoOsUser, match="create an OS user 'sysops'"):
        osuser.server_user()


def test_reach_is_tried_as_the_user_and_not_read_off_the_modes(home: Home, folder: Path) -> None:
    private = folder / "private"
    (private / "inside").mkdir(parents=True, mode=0o777)
    assert osuser.can_reach(private / "inside", home.user)
    private.chmod(0o700)
    if home.user.spawn_as():
        assert not osuser.can_reach(private / "inside", home.user)
        assert not places.reaches(private / "inside", home.user)


def test_a_folder_in_a_shared_place_that_somebody_else_made_first_is_refused(home: Home, folder: Path) -> None:
    if home.user.spawn_as():
        from sysops.stack import datadir

        os.chown(folder, home.user.uid, home.user.gid)
        with pytest.raises(StackError, match="belongs to somebody else"):
            datadir._ours(folder, mode=0o700)


def test_no_queue_server_at_all_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey, "_embedded", lambda: None)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(StackError, match="install one or set SYSOPS_BROKER_URL"):
        valkey.find()


def test_the_workers_of_sysops_up_listen_to_every_queue_that_tasks_are_sent_to() -> None:
    import celeryconfig
    from sysops import env

    made = programs.application(env.current(), flower_socket=Path("f"), environ={})
    heard = {q for p in made if "--queues" in p.argv for q in p.argv[list(p.argv).index("--queues") + 1].split(",")}
    routed = {str(route["queue"]) for route in celeryconfig.task_routes.values()}
    assert routed | {celeryconfig.task_default_queue, "host.test-host"} <= heard


def test_workers_have_a_bounded_shutdown_within_the_time_the_supervisor_gives() -> None:
    import celeryconfig
    from sysops import env

    made = programs.application(env.current(), flower_socket=Path("f"), environ={})
    workers = [program for program in made if program.name.startswith("worker-")]
    assert len(workers) == 2
    for worker in workers:
        assert worker.env["REMAP_SIGTERM"] == "SIGQUIT"
        assert worker.stop_seconds > celeryconfig.worker_soft_shutdown_timeout
    longest = {order: max(p.stop_seconds for p in made if p.order == order) for order in {p.order for p in made}}
    assert sum(longest.values()) + 6.0 + 4.0 <= 30  # and the database and the queue after them
