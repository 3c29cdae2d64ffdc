"""The one way Sysops runs a tool: argv only, streamed, time-limited, redacted, ended with all its children."""

import contextlib
import ctypes
import os
import pwd
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import psutil

from sysops.kernel.redaction import redact

TAIL_LINES = 40
LONGEST_LINE_BYTES = 8 * 1024
POLL_SECONDS = 0.5
GRACE_SECONDS = 5.0
LINGER_SECONDS = 2.0  # how long output may still come from children after the tool itself has ended
KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PR_SET_PDEATHSIG = 1

Stream = Literal["stdout", "stderr"]


@dataclass(frozen=True)
class Result:
    """How a tool ended. The tails are the last output, redacted; `returncode` is negative for a signal."""

    argv: tuple[str, ...]
    returncode: int
    seconds: float
    stdout: str
    stderr: str

    @property
    def tool(self) -> str:
        return Path(self.argv[0]).name

    @property
    def words(self) -> str:
        """The last thing the tool said, for an error message."""
        return (self.stderr.strip() or self.stdout.strip())[-2000:]


class ProcessError(Exception):
    """A tool did not do what it was started for."""


class ToolMissing(ProcessError):
    """The tool is not there, or may not be run by this user."""


class ProcessFailed(ProcessError):
    """The tool ended with something other than 0."""

    def __init__(self, result: Result) -> None:
        how = f"signal {-result.returncode}" if result.returncode < 0 else f"exit code {result.returncode}"
        super().__init__(f"{result.tool} ended with {how}: {result.words or 'it said nothing'}")
        self.result = result


class ProcessTimedOut(ProcessError):
    """The tool ran longer than it may and was ended."""


class ProcessCancelled(ProcessError):
    """Somebody cancelled; the tool was ended."""


def run(
    argv: Sequence[str | Path],
    *,
    time_limit: float,
    env: Mapping[str, str] | None = None,
    run_as: str | None = None,
    cwd: Path | None = None,
    stdin: Path | None = None,
    stdout: Path | None = None,
    on_line: Callable[[Stream, str], None] | None = None,
    on_tick: Callable[[], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    secrets: Iterable[str] = (),
    niceness: int = 0,
    check: bool = True,
) -> Result:
    """Run the tool to its end and return how it ended; no child of it is left whatever happens.

    `stdin` and `stdout` name files that we open, so the tool needs no right to their folders. `on_line`
    hears every line, redacted; `on_tick` is called about twice a second. An exception raised by a callback
    ends the tool and goes on. Raises ToolMissing, ProcessFailed (with `check`), ProcessTimedOut,
    ProcessCancelled.
    """
    words = tuple(str(part) for part in argv)
    known_secrets = tuple(secrets)
    started = time.monotonic()
    with contextlib.ExitStack() as files:
        process = start(
            words, env=env, run_as=run_as, cwd=cwd, niceness=niceness,
            stdin=files.enter_context(stdin.open("rb")) if stdin else subprocess.DEVNULL,
            stdout=files.enter_context(stdout.open("wb")) if stdout else subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        reader = _Reader(process, on_line, known_secrets)
        try:
            _follow(process, reader, started + time_limit, time_limit, on_tick, cancelled)
        finally:
            end(process)
            reader.close()
    result = Result(
        argv=words,
        returncode=process.returncode,
        seconds=time.monotonic() - started,
        stdout=reader.tail("stdout"),
        stderr=reader.tail("stderr"),
    )
    if check and result.returncode != 0:
        raise ProcessFailed(result)
    return result


def start(
    argv: Sequence[str],
    *,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    run_as: str | None = None,
    cwd: Path | None = None,
    niceness: int = 0,
    death_signal: signal.Signals = signal.SIGKILL,
) -> "subprocess.Popen[bytes]":
    """Start a process in a session of its own that dies (by `death_signal`) when the calling thread does.

    So do its children, when we die. The caller ends it with `end`. Raises ToolMissing.
    """
    identity = _identity(run_as)
    try:
        process = _Child(
            argv, stdin=stdin, stdout=stdout, stderr=stderr, bufsize=0, close_fds=True, start_new_session=True,
            env=environment(env, run_as=run_as), cwd=cwd or "/",
            preexec_fn=_before_exec(niceness, death_signal),
            user=identity.pw_uid if identity else None,
            group=identity.pw_gid if identity else None,
            extra_groups=[] if identity else None,
        )  # fmt: skip
    except FileNotFoundError as exc:
        raise ToolMissing(f"{argv[0]} is not there (or the folder {cwd or '/'} is not)") from exc
    except PermissionError as exc:
        who = f"the OS user {run_as}" if identity else "this user"
        raise ToolMissing(f"{argv[0]} may not be run by {who}; is a folder above it closed?") from exc
    try:
        process.guard = _Guard(process.pid)
    except BaseException:
        end(process)  # no tool runs unguarded
        raise
    return process


def environment(extra: Mapping[str, str] | None = None, *, run_as: str | None = None) -> dict[str, str]:
    """What a tool gets to see: a few harmless variables, messages in English, and what the caller adds."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    kept.setdefault("PATH", os.defpath)
    identity = _identity(run_as)
    if identity:
        kept["HOME"] = identity.pw_dir
    return {**kept, "LC_ALL": "C", "LANG": "C", **(extra or {})}


def end(process: "subprocess.Popen[bytes]", *, grace: float = GRACE_SECONDS, first: int = signal.SIGTERM) -> None:
    """The process and all its children are gone afterwards: asked first, killed after `grace` seconds."""
    children = _children(process.pid)
    if not _has_ended(process):
        _signal_group(process.pid, first)
        deadline = time.monotonic() + grace
        while not _has_ended(process) and time.monotonic() < deadline:
            time.sleep(0.02)
    # Not reaped yet, so the group number is still ours: nobody else's process can be hit.
    _signal_group(process.pid, signal.SIGKILL)
    if isinstance(process, _Child) and process.guard:
        process.guard.dismiss()
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.kill()
    process.wait()


class _Child(subprocess.Popen[bytes]):
    """A started tool with its guard."""

    guard: "_Guard | None" = None


class _Guard:
    """Kills a tool's process group when we die, however we die.

    The kernel's death signal reaches the tool alone; pg_basebackup has a child that receives WAL and would go
    on for ever. The guard waits on a pipe whose other end only we hold: that end closes with us.
    """

    _SCRIPT = 'read -r _; kill -s KILL -- "-$1"'

    def __init__(self, group: int) -> None:
        reader, self._writer = os.pipe()
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", self._SCRIPT, "sh", str(group)],
                stdin=reader,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env={"LC_ALL": "C"},
            )
        finally:
            os.close(reader)

    def dismiss(self) -> None:
        """Before the tool is reaped: afterwards its number may be somebody else's."""
        self._process.kill()
        self._process.wait()
        os.close(self._writer)


def _follow(
    process: "subprocess.Popen[bytes]",
    reader: "_Reader",
    deadline: float,
    time_limit: float,
    on_tick: Callable[[], None] | None,
    cancelled: Callable[[], bool] | None,
) -> None:
    """Read until the process has ended and its output too, or until it must not go on."""
    tool = _tool_name(process)
    next_tick, linger_until = time.monotonic() + POLL_SECONDS, None
    while True:
        now = time.monotonic()
        if now >= next_tick:
            next_tick = now + POLL_SECONDS
            if cancelled and cancelled():
                raise ProcessCancelled(f"{tool} was cancelled")
            if on_tick:
                on_tick()
        if now >= deadline:
            raise ProcessTimedOut(f"{tool} was ended: it ran longer than {time_limit:.0f} s")
        if _has_ended(process):
            if reader.finished:
                return
            linger_until = linger_until or now + LINGER_SECONDS
            if now >= linger_until:
                return
        reader.read(timeout=min(POLL_SECONDS, max(0.0, deadline - now), 0.05 if linger_until else POLL_SECONDS))


class _Reader:
    """Redacted lines and bounded tails from the pipes of a process: constant memory whatever it prints."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        on_line: Callable[[Stream, str], None] | None,
        secrets: tuple[str, ...],
    ) -> None:
        self._on_line = on_line
        self._secrets = secrets
        self._process = process
        self._selector = selectors.DefaultSelector()
        self._rest: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}
        self._tails: dict[Stream, deque[str]] = {"stdout": deque(), "stderr": deque()}
        self._skipping: set[Stream] = set()  # streams in the middle of a line that was cut already
        pipes: list[tuple[IO[bytes] | None, Stream]] = [(process.stdout, "stdout"), (process.stderr, "stderr")]
        for pipe, name in pipes:
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._selector.register(pipe, selectors.EVENT_READ, name)

    @property
    def finished(self) -> bool:
        return not self._selector.get_map()

    def read(self, *, timeout: float) -> None:
        """Take what has come, waiting up to `timeout` for something."""
        if self.finished:
            time.sleep(min(timeout, 0.02))
            return
        for key, _ in self._selector.select(timeout):
            name: Stream = key.data
            try:
                data = os.read(key.fd, 65536)
            except BlockingIOError:
                continue
            if data:
                self._take(name, data)
            else:
                self._selector.unregister(key.fileobj)
                self._emit(name, self._rest[name])
                self._rest[name] = b""

    def tail(self, name: Stream) -> str:
        return "\n".join(self._tails[name])

    def close(self) -> None:
        self._selector.close()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _take(self, name: Stream, data: bytes) -> None:
        *lines, rest = (self._rest[name] + data).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._emit(name, line)
            self._skipping.discard(name)
        # A line is cut only when more of it is here than is kept, so that no secret is cut in two unredacted.
        if len(rest) > 2 * LONGEST_LINE_BYTES:
            self._emit(name, rest)
            self._skipping.add(name)
        self._rest[name] = b"" if name in self._skipping else rest

    def _emit(self, name: Stream, line: bytes) -> None:
        if not line or name in self._skipping:
            return
        text = redact(line.decode("utf-8", "replace"), self._secrets)[:LONGEST_LINE_BYTES]
        tail = self._tails[name]
        tail.append(text)
        while len(tail) > TAIL_LINES:
            tail.popleft()
        if self._on_line:
            self._on_line(name, text)


def _tool_name(process: "subprocess.Popen[bytes]") -> str:
    argv = process.args
    return Path(str(argv[0])).name if isinstance(argv, Sequence) else str(argv)


def _identity(run_as: str | None) -> pwd.struct_passwd | None:
    """Whom to become, or None when we are that user already."""
    if run_as is None:
        return None
    try:
        found = pwd.getpwnam(run_as)
    except KeyError:
        raise ToolMissing(f"There is no OS user {run_as!r} to run tools as") from None
    if found.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise ToolMissing(f"Only root can run tools as the OS user {run_as!r}; unset it or start as root")
    return found


def _before_exec(niceness: int, death_signal: signal.Signals) -> Callable[[], None]:
    """What the child does between fork and exec, after it became the other user (which clears the death signal)."""
    parent = os.getpid()
    prctl = ctypes.PyDLL(None).prctl if sys.platform == "linux" else None

    def prepare() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != parent:  # the parent died before we could ask to be told
                os._exit(1)
        if niceness:
            os.nice(niceness)

    return prepare


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    """Whether it has ended, without reaping it."""
    if process.returncode is not None:
        return True
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
