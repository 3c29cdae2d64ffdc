"""Keeps programs running: started in order, restarted when they die, stopped in order (circus does the work).

Circus runs inside our event loop. It has no control socket here (its endpoints are `inproc`), and we call its
`manage_watchers` ourselves, one step at a time: its own timer collides with commands and then logs tracebacks.
It takes the exit status of every child, so no other child is started while `_manage` runs.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from itertools import groupby

import psutil
from circus import get_arbiter

from sysops.stack import leftovers
from sysops.stack.errors import StackError
from sysops.stack.programs import ROOT, Program, launched

PR_SET_CHILD_SUBREAPER = 36
LOOK_SECONDS = 0.3
AFTER_FAILURE_SECONDS = 1.0
QUICK_DEATH_SECONDS = 20.0
LONGEST_DELAY_SECONDS = 30.0
LONGEST_LINE_BYTES = 16 * 1024
SAY_AFTER_SECONDS = 60.0
REFUSED_SECONDS = 5.0

Say = Callable[[str, str], None]


def pause_before(quick_deaths: int) -> float:
    """Seconds to wait before the next start of a program that died young this many times in a row."""
    return min(LONGEST_DELAY_SECONDS, 0.5 * 2 ** (quick_deaths - 1)) if quick_deaths else 0.0


class Lines:
    """A circus stream that hands on whole lines with the program's name."""

    def __init__(self, name: str, say: Say) -> None:
        self._name, self._say, self._rest = name, say, b""

    def __call__(self, data: dict[str, bytes]) -> None:
        *lines, self._rest = (self._rest + data["data"]).split(b"\n")
        if len(self._rest) > LONGEST_LINE_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._say(self._name, line.decode(errors="replace"))

    def close(self) -> None:
        """Hand on what was said without a newline at the end."""
        if self._rest:
            self._say(self._name, self._rest.decode(errors="replace"))
        self._rest = b""


class Words(logging.Handler):
    """What libraries log, a line each, and once when it is said again and again: a loop that writes to a standard error
    nobody reads would stop."""

    def __init__(self, say: Say) -> None:
        super().__init__(logging.ERROR)
        self._say, self._last = say, ""

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage().partition("\n")[0]
        if words != self._last:
            why = record.exc_info[1] if record.exc_info else None
            self._say("sysops", f"{words}: {why!r}" if why else words)
        self._last = words


class Life:
    """What is known about one program's starts and ends; gives circus its hooks."""

    def __init__(self, program: Program, say: Say) -> None:
        self.program, self._say = program, say
        self.started = 0.0
        self.quick_deaths = 0
        self.refused_at: float | None = None  # when the machine last refused it a process
        self.last_exit: int | None = None

    def before_spawn(self, **known: object) -> bool:
        """Write the pause into the launcher's arguments: a sleeping child can be stopped, our loop goes on."""
        again = self.started and self.refused_at is None
        if again:
            lived = time.monotonic() - self.started
            self.quick_deaths = self.quick_deaths + 1 if lived < QUICK_DEATH_SECONDS else 0
        pause = pause_before(self.quick_deaths)
        if again:
            how = "ended" if self.last_exit is None else f"ended with {_exit_words(self.last_exit)}"
            self._say(
                "sysops",
                f"{self.program.name} {how}; starting it again" + (f" in {pause:g} s" if pause else ""),
            )
        self.started = time.monotonic() + pause
        self.last_exit = None
        watcher = known["watcher"]
        _let_go_of_the_dead(watcher)
        watcher.args = self.arguments(pause)  # type: ignore[attr-defined]
        return True

    def after_reap(self, **known: object) -> bool:
        """Remember how it ended, and end children it left behind before another one takes its place."""
        self.last_exit = known["exit_code"] if isinstance(known.get("exit_code"), int) else None  # type: ignore[assignment]
        pid = known["process_pid"]
        if self.program.own_group and isinstance(pid, int):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        return True

    def refused(self) -> bool:
        """Note that the machine let no process be started; whether it is time to ask it again."""
        now = time.monotonic()
        if self.refused_at is None:
            self._say(
                "sysops",
                f"{self.program.name} cannot be started: the machine refuses a process (memory, or a limit on "
                f"processes or open files); tried again every {REFUSED_SECONDS:g} s",
            )
        elif now - self.refused_at < REFUSED_SECONDS:
            return False
        self.refused_at = now
        return True

    def allowed(self) -> None:
        """Note that it has a process."""
        if self.refused_at is not None:
            self._say("sysops", f"{self.program.name} is started again")
        self.refused_at = None

    def arguments(self, pause: float = 0) -> list[str]:
        program = self.program
        return launched(program.argv, user=program.user, death=program.death, delay=pause)[1:]


def _let_go_of_the_dead(watcher: object) -> None:
    """Stop listening to processes that circus dropped without reaping them.

    It does so with one that dies between its look for the dead and its look for missing ones. Their pipes are closed
    by the collector, the next process gets the same numbers, and "fd added twice" ends all supervision.
    """
    redirector = watcher.stream_redirector  # type: ignore[attr-defined]
    for fd, (_, process, _) in list(redirector.pipes.items()):
        if process.pid not in watcher.processes:  # type: ignore[attr-defined]
            redirector.remove_fd(fd)
            process.stop()


class Supervisor:
    """Runs programs. Use it inside one running event loop, `start` first and `stop` last."""

    def __init__(self, programs: Sequence[Program], *, say: Say) -> None:
        self.programs = sorted(programs, key=lambda program: program.order)
        self._say = say
        self._lives = {program.name: Life(program, say) for program in self.programs}
        logging.getLogger("circus").setLevel(logging.ERROR)
        logging.getLogger().addHandler(Words(say))  # without one, tornado sets up its own
        become_subreaper()
        self._arbiter = get_arbiter(
            [self._watcher(program, say) for program in self.programs],
            controller="inproc://control", pubsub_endpoint="inproc://events", multicast_endpoint="",
            check_delay=-1, loop=_tornado_loop(), proc_name="sysops-up",
        )  # fmt: skip
        self._managing: asyncio.Task[None] | None = None
        self._ending = False
        self._opened = False

    async def start(self, *, upto: int = sys.maxsize) -> None:
        """Start what is not running yet, up to this order, each group ready before the next one.

        Raises StackError when one ends before it is ready.
        """
        if not self._opened:
            await self._arbiter.start()
            self._opened = True
        for order, group in groupby(self.programs, key=lambda program: program.order):
            if order > upto:
                break
            together = list(group)
            for program in together:
                await self._arbiter.get_watcher(program.name).start()
            for program in together:
                await self._wait_until_ready(program)

    async def keep(self) -> None:
        """From now on restart what dies, until `stop`."""
        self._managing = asyncio.create_task(self._manage())

    async def stop(self) -> None:
        """Stop everything in reverse order, then whatever our programs left behind."""
        self._ending = True
        if self._managing:
            await self._managing
        if self._opened:
            for _, group in groupby(reversed(self.programs), key=lambda program: program.order):
                await asyncio.gather(*(self._arbiter.get_watcher(program.name)._stop(True) for program in group))
            await self._arbiter.stop()
            await asyncio.sleep(0.05)  # the arbiter closes its sockets in the next turn of the loop
        await asyncio.to_thread(end_descendants)

    def pids(self) -> dict[str, int]:
        """The process id of each running program."""
        running = {program.name: self._arbiter.get_watcher(program.name).processes for program in self.programs}
        return {name: next(iter(found)) for name, found in running.items() if found}

    def _watcher(self, program: Program, say: Say) -> dict[str, object]:
        life = self._lives[program.name]
        return {
            "name": program.name,
            "cmd": shlex.quote(sys.executable),
            "args": life.arguments(),
            "env": dict(program.env),
            "working_dir": str(ROOT) if not program.user else "/",
            "autostart": False,
            "stop_signal": program.stop_signal,
            "graceful_timeout": program.stop_seconds,
            "stdout_stream": {"stream": Lines(program.name, say)},
            "stderr_stream": {"stream": Lines(program.name, say)},
            "hooks": {
                "before_spawn": (life.before_spawn, False),
                "after_reap": (life.after_reap, True),
            },
        }

    async def _manage(self) -> None:
        said = ""
        while not self._ending:
            try:
                await self._arbiter.manage_watchers()
                await self._start_refused()
                said = ""
            except Exception as exc:  # noqa: BLE001 - said, and looked again: ending here, nothing would ever be restarted
                if repr(exc) != said:
                    said = repr(exc)
                    self._say("sysops", f"Looking after the programs failed, and is tried again: {said}")
                await asyncio.sleep(AFTER_FAILURE_SECONDS)
            await asyncio.sleep(LOOK_SECONDS)

    async def _start_refused(self) -> None:
        """Circus stops for good what the system refuses to start a few times in a row."""
        for program in self.programs:
            watcher, life = self._arbiter.get_watcher(program.name), self._lives[program.name]
            if watcher.is_stopped() and not self._ending and life.refused():
                await watcher.start()
            if watcher.processes:
                life.allowed()

    async def _wait_until_ready(self, program: Program) -> None:
        """However long it takes: a server that recovers from a crash would have to begin again if it was stopped."""
        if program.ready is None:
            return
        say_at = time.monotonic() + SAY_AFTER_SECONDS
        while not await asyncio.to_thread(program.ready):
            if not any(process.is_alive() for process in self._arbiter.get_watcher(program.name).processes.values()):
                raise StackError(f"{program.name} ended while it was starting; its last lines above say why")
            if time.monotonic() > say_at:
                self._say("sysops", f"Still waiting for {program.name}; its lines above say what it does")
                say_at += SAY_AFTER_SECONDS
            await asyncio.sleep(0.05)


def become_subreaper() -> None:
    """Orphans of our programs become our children instead of init's, so that `end_descendants` finds them (Linux)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants(*, seconds: float = 3.0) -> None:
    """End every process below this one but those that stay (leftovers.STAYS): asked first, killed when deaf."""
    me = psutil.Process()
    left = leftovers.to_end(me.children(recursive=True))
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, deaf = psutil.wait_procs(left, timeout=seconds)
    for process in {*deaf, *leftovers.to_end(me.children(recursive=True))}:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(list(deaf), timeout=seconds)


def _exit_words(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:  # most of the real-time ones have no name
        return f"signal {-status}"


def _tornado_loop() -> object:
    from tornado.ioloop import IOLoop

    return IOLoop.current()
