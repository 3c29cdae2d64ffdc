"""Every tool is run through one wrapper: these tests run real processes."""

import contextlib
import gc
import getpass
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sysops.kernel import process

PYTHON = sys.executable


def gone(pid: int, *, within: float = 30.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def written(path: Path) -> bool:
    return path.exists() and path.read_text().endswith("\n")


def pid_from(path: Path, *, within: float = 30.0) -> int:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if written(path):
            return int(path.read_text())
        time.sleep(0.02)
    raise AssertionError(f"{path} was not written")


def child_of(pid: int, *, doing: str, within: float = 30.0) -> int:
    """The child with this in its command line, as soon as there is one."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        for child in psutil.Process(pid).children():
            with contextlib.suppress(psutil.Error):
                if doing in " ".join(child.cmdline()):
                    return child.pid
        time.sleep(0.02)
    raise AssertionError(f"no child of {pid} is {doing}")


def test_it_gives_back_what_the_tool_printed_and_its_exit_code() -> None:
    result = process.run(["sh", "-c", "echo out; echo err >&2; exit 3"], time_limit=60, check=False)

    assert (result.returncode, result.stdout, result.stderr) == (3, "out", "err")


def test_a_tool_that_fails_raises_with_its_last_words() -> None:
    with pytest.raises(process.ProcessFailed, match="sh ended with exit code 3: disk is full") as caught:
        process.run(["sh", "-c", "echo disk is full >&2; exit 3"], time_limit=60)

    assert caught.value.result.returncode == 3


def test_a_missing_tool_is_named() -> None:
    with pytest.raises(process.ToolMissing, match="no-such-tool"):
        process.run(["no-such-tool"], time_limit=60)


def test_an_argument_is_never_seen_by_a_shell(tmp_path: Path) -> None:
    result = process.run(["echo", f"$(touch {tmp_path}/made); `id`"], time_limit=60)

    assert result.stdout == f"$(touch {tmp_path}/made); `id`"
    assert not (tmp_path / "made").exists()


def test_lines_arrive_while_the_tool_runs(tmp_path: Path) -> None:
    seen: list[str] = []

    def heard(stream: str, line: str) -> None:
        seen.append(f"{stream} {line}")
        (tmp_path / "heard").touch()  # the tool waits for it

    wait = f"until [ -e {tmp_path}/heard ]; do sleep 0.05; done"
    process.run(["sh", "-c", f"echo one; {wait}; printf 'two\\rthree\\n' >&2"], time_limit=60, on_line=heard)

    assert seen == ["stdout one", "stderr two", "stderr three"]


def test_secrets_are_in_no_line_no_tail_and_no_error() -> None:
    lines: list[str] = []
    script = "echo using hunter2; echo postgresql://me:s3same@host/db >&2; exit 1"
    with pytest.raises(process.ProcessFailed) as caught:
        process.run(
            ["sh", "-c", script], time_limit=60, secrets=["hunter2"], on_line=lambda _, line: lines.append(line)
        )

    said = "\n".join([*lines, str(caught.value), caught.value.result.stdout, caught.value.result.stderr])
    assert "hunter2" not in said
    assert "s3same" not in said


def test_a_secret_in_an_endless_line_is_not_cut_in_two() -> None:
    padding = process.LONGEST_LINE_BYTES - 4
    script = f"import sys; sys.stdout.write('x' * {padding} + 'hunter2hunter2' + 'y' * 200_000)"
    result = process.run([PYTHON, "-c", script], time_limit=60, secrets=["hunter2hunter2"])

    assert "hunt" not in result.stdout


def test_the_environment_holds_only_what_is_allowed_and_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSOPS_SECRET_KEY", "do not pass on")
    monkeypatch.setenv("PGPASSWORD", "neither this")
    names = set()
    process.run(
        ["env"], time_limit=60, env={"PGAPPNAME": "sysops"}, on_line=lambda _, line: names.add(line.partition("=")[0])
    )

    assert names <= {*process.KEPT_VARIABLES, "LC_ALL", "LANG", "PGAPPNAME", "PWD"}
    assert {"LC_ALL", "PGAPPNAME"} <= names


def test_input_comes_from_a_file_and_output_goes_to_one(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"\x00binary\xff" * 1000)

    result = process.run(["cat"], time_limit=60, stdin=tmp_path / "in", stdout=tmp_path / "out")

    assert (tmp_path / "out").read_bytes() == b"\x00binary\xff" * 1000
    assert result.stdout == ""


def test_memory_stays_flat_whatever_the_tool_prints() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = 0

    def count(_stream: str, _line: str) -> None:
        nonlocal lines
        lines += 1

    result = process.run(["sh", "-c", "yes 123456789012345 | head -c 8000000"], time_limit=60, on_line=count)

    assert lines == 500_000
    assert len(result.stdout) < 10_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


def test_a_tool_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(process.ProcessTimedOut, match="longer than 2 s"):
        process.run(["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/child; wait"], time_limit=2)

    assert time.monotonic() - started < 30
    assert gone(pid_from(tmp_path / "child"))


def test_a_tool_that_ignores_the_polite_signal_is_killed(tmp_path: Path) -> None:
    script = f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.1; done"
    child = process.start(["sh", "-c", script])
    pid = pid_from(tmp_path / "pid")

    process.end(child, grace=0.5)

    assert gone(pid)
    assert child.returncode == -signal.SIGKILL


def test_a_cancelled_tool_is_ended_within_seconds(tmp_path: Path) -> None:
    started = time.monotonic()

    with pytest.raises(process.ProcessCancelled):
        process.run(
            ["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60"],
            time_limit=60,
            cancelled=lambda: written(tmp_path / "pid"),
        )

    assert time.monotonic() - started < 30
    assert gone(pid_from(tmp_path / "pid"))


def test_a_callback_that_raises_ends_the_tool(tmp_path: Path) -> None:
    def lost_the_lease() -> None:
        if written(tmp_path / "pid"):
            raise RuntimeError("lease lost")

    with pytest.raises(RuntimeError, match="lease lost"):
        process.run(["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60"], time_limit=60, on_tick=lost_the_lease)

    assert gone(pid_from(tmp_path / "pid"))


def test_children_left_behind_by_a_tool_that_ended_well_are_ended_too(tmp_path: Path) -> None:
    started = time.monotonic()
    result = process.run(["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/child"], time_limit=30)

    assert result.returncode == 0
    assert time.monotonic() - started < process.LINGER_SECONDS + 20
    assert gone(pid_from(tmp_path / "child"))


@pytest.mark.parametrize("user", [None, "nobody"])
def test_a_worker_killed_with_sigkill_leaves_no_tool_behind(user: str | None) -> None:
    if user and os.geteuid() != 0:
        user = getpass.getuser()
    code = f"from sysops.kernel import process\nprocess.run(['sleep', '60'], time_limit=60, run_as={user!r})"
    worker = subprocess.Popen([PYTHON, "-c", code])
    tool = child_of(worker.pid, doing="sleep 60")

    worker.kill()
    worker.wait()

    assert gone(tool)


def test_a_worker_killed_with_sigkill_leaves_no_child_of_a_tool_behind(tmp_path: Path) -> None:
    """pg_basebackup has such a child; the kernel's death signal reaches the tool alone."""
    tool = f"sleep 60 & echo $! > {tmp_path}/child; wait"
    code = f"from sysops.kernel import process\nprocess.run(['sh', '-c', {tool!r}], time_limit=60)"
    worker = subprocess.Popen([PYTHON, "-c", code])
    child = pid_from(tmp_path / "child")
    child_of(worker.pid, doing=process._Guard._SCRIPT)

    worker.kill()
    worker.wait()

    assert gone(child)


def test_nothing_stays_open_after_many_tools() -> None:
    process.run(["true"], time_limit=60)
    gc.collect()  # what other tests have left to it
    files, children = len(os.listdir("/proc/self/fd")), len(psutil.Process().children())

    for _ in range(20):
        process.run(["true"], time_limit=60)

    assert len(os.listdir("/proc/self/fd")) == files
    assert len(psutil.Process().children()) == children


def test_a_tool_can_run_as_another_user() -> None:
    user = "nobody" if os.geteuid() == 0 else getpass.getuser()

    result = process.run(["sh", "-c", "id -un; id -Gn; echo $HOME"], time_limit=60, run_as=user)

    name, groups, home = result.stdout.splitlines()
    assert name == user
    assert "root" not in groups.split() or os.geteuid() != 0
    assert home != os.environ.get("HOME") or os.geteuid() != 0


def test_an_unknown_user_is_named() -> None:
    with pytest.raises(process.ToolMissing, match="no OS user 'no-such-user'"):
        process.run(["true"], time_limit=60, run_as="no-such-user")


def test_a_tool_can_be_made_to_stand_back() -> None:
    result = process.run(["nice"], time_limit=60, niceness=7)

    assert int(result.stdout) == min(19, os.nice(0) + 7)
