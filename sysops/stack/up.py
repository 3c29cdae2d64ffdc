"""`sysops up`: everything Sysops needs, running in the foreground until somebody stops it."""

import asyncio
import contextlib
import errno
import http.client
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from sysops import env as environment
from sysops.env import Environment
from sysops.kernel import osuser
from sysops.stack import datadir, leftovers, servers
from sysops.stack.errors import StackError
from sysops.stack.output import Output
from sysops.stack.programs import ROOT, Program, application
from sysops.stack.supervisor import Say, Supervisor

MIGRATION_LOCK = 0x5359534F5053  # "SYSOPS": one migration at a time, also of supervisors on other machines
RECORD_SECONDS = 2.0
# No room, a disk that went read-only or bad, no more memory, processes or open files.
OF_THE_MACHINE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO),
    *(errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE),
}
ONE_SHOTS = (("sysops_prepare",),)

MakePrograms = Callable[[Environment, Path, Mapping[str, str]], list[Program]]


class Stopped(Exception):
    """Somebody asked us to stop before everything was up."""


@dataclass(frozen=True)
class Plan:
    """What one start needs to know."""

    env: Environment
    servers: servers.Servers
    programs: Sequence[Program]
    environ: Mapping[str, str]


def main(
    *,
    make_programs: MakePrograms | None = None,
    one_shots: Sequence[Sequence[str]] = ONE_SHOTS,
) -> int:
    """Run the stack until SIGTERM or Ctrl-C; the exit status. Raises sysops.env.BadEnvironment."""
    data_dir = environment.load().data_dir
    output = Output()
    try:
        datadir.prepare(data_dir)
        with datadir.locked(data_dir):
            return _run(data_dir, say=output.say, make_programs=make_programs or _application, one_shots=one_shots)
    except (StackError, osuser.NoOsUser) as exc:
        refusal = str(exc)
    except OSError as exc:
        if exc.errno not in OF_THE_MACHINE:
            raise
        refusal = f"the machine refuses what is needed: {exc}"
    finally:
        output.close()
    sys.stderr.write(f"sysops up: {refusal}\n")
    return 1


def _run(data_dir: Path, *, say: Say, make_programs: MakePrograms, one_shots: Sequence[Sequence[str]]) -> int:
    run_dir = data_dir / "run"
    mark = datadir.instance_id(data_dir)
    if left := leftovers.find(run_dir, mark=mark):
        say("sysops", f"Ending {len(left)} processes of an earlier start that was killed")
        leftovers.end(left)
    # What a killed supervisor wrote would look like servers named by the operator.
    (run_dir / environment.STACK_FILE).unlink(missing_ok=True)
    env = environment.load()
    datadir.free_port(env.host, env.port)
    user = osuser.server_user(env.pg_os_user)
    places = datadir.places(env.data_dir, user)
    try:
        embedded = servers.prepare(env, user=user, places=places, mark={leftovers.MARK: mark})
        plan = _plan(env, embedded, sockets=places.sockets, mark=mark, make_programs=make_programs)
        return asyncio.run(_supervise(plan, one_shots=one_shots, say=say))
    finally:
        for file in (environment.STACK_FILE, leftovers.RECORD):
            with contextlib.suppress(OSError):  # a disk that went read-only: the next start sees through what they say
                (run_dir / file).unlink()
        shutil.rmtree(places.sockets, ignore_errors=True)


def _plan(
    env: Environment, embedded: servers.Servers, *, sockets: Path, mark: str, make_programs: MakePrograms
) -> Plan:
    flower = sockets / "flower.sock"
    _write_stack_file(
        env.run_dir,
        {
            **embedded.settings,
            "flower_url": f"unix:{flower}",
            "expected_workers": f"default@{env.host_name},backups@{env.host_name}",
        },
    )
    environ = {
        **os.environ,
        leftovers.MARK: mark,
        "SYSOPS_DATA_DIR": str(env.data_dir),
        "DJANGO_SETTINGS_MODULE": "sysops.settings",
        "PYTHONUNBUFFERED": "1",
        "MALLOC_ARENA_MAX": "2",  # glibc gives each thread an arena; idle servers keep tens of MB in them
    }
    programs = [*embedded.programs, *make_programs(env, flower, environ)]
    return Plan(env, embedded, programs, environ)


def _application(env: Environment, flower_socket: Path, environ: Mapping[str, str]) -> list[Program]:
    return application(env, flower_socket=flower_socket, environ=environ)


def _write_stack_file(run_dir: Path, settings: Mapping[str, str]) -> None:
    """Settings for every process that works on this data folder, in another shell too; they hold a password."""
    path = run_dir / environment.STACK_FILE
    fresh = path.with_name(f".{path.name}")
    fresh.touch(mode=0o600)
    fresh.chmod(0o600)
    fresh.write_text(json.dumps(settings, indent=1))
    fresh.rename(path)


async def _supervise(plan: Plan, *, one_shots: Sequence[Sequence[str]], say: Say) -> int:
    """Start, stay, stop. The stop is asked for by a signal at any moment, also while starting."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    supervisor = Supervisor(plan.programs, say=say)
    record = Record(plan.env.run_dir, say=say)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, asked.set)
    begun = time.monotonic()
    try:
        await _unless(asked, _start(plan, supervisor, record=record, one_shots=one_shots, say=say))
        await supervisor.keep()
        await _unless(asked, _stay(plan, supervisor, record=record, say=say, begun=begun))
    except Stopped:
        pass
    finally:
        say("sysops", "Stopping")
        await supervisor.stop()
        say("sysops", "Stopped")
    return 0


async def _unless(asked: asyncio.Event, work: Coroutine[object, object, None]) -> None:
    """Do the work; raise Stopped, with the work cancelled, as soon as somebody asks."""
    doing = asyncio.ensure_future(work)
    asking = asyncio.ensure_future(asked.wait())
    done, pending = await asyncio.wait({doing, asking}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    if doing not in done:
        raise Stopped
    doing.result()


class Record:
    """The process ids in the data folder. A disk that is full must not end what still runs: said once, tried again."""

    def __init__(self, run_dir: Path, *, say: Say) -> None:
        self._run_dir, self._say = run_dir, say
        self._known: Mapping[str, int] = {}
        self._refused = False

    def keep(self, pids: Mapping[str, int]) -> None:
        """Make it true, when it is not."""
        if pids == self._known:
            return
        try:
            leftovers.record(self._run_dir, pids)
        except OSError as exc:
            if not self._refused:
                self._say("sysops", f"The list of processes was not written, and is tried again: {exc.strerror}")
            self._refused = True
        else:
            self._known, self._refused = pids, False


async def _start(
    plan: Plan, supervisor: Supervisor, *, record: Record, one_shots: Sequence[Sequence[str]], say: Say
) -> None:
    await supervisor.start(upto=20)
    record.keep(supervisor.pids())
    if plan.servers.cluster:
        await asyncio.to_thread(plan.servers.cluster.ensure_database)
    if one_shots:
        await _one_shots(plan, one_shots, say=say)
    await supervisor.start()
    record.keep(supervisor.pids())


async def _one_shots(plan: Plan, one_shots: Sequence[Sequence[str]], *, say: Say) -> None:
    """Migrate and do what only the first start does, one supervisor at a time."""
    url = environment.load().database_url
    if url is None:
        raise StackError("No database to migrate: neither an embedded one nor SYSOPS_DATABASE_URL")
    async with _migration_lock(url.get_secret_value()):
        for arguments in one_shots:
            await _management(arguments, environ=plan.environ, say=say)


@contextlib.asynccontextmanager
async def _migration_lock(url: str) -> AsyncIterator[None]:
    try:
        connection = await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as exc:
        said = " ".join(str(exc).split())
        raise StackError(f"The database does not answer: {said}; check SYSOPS_DATABASE_URL") from None
    async with connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        yield


async def _management(arguments: Sequence[str], *, environ: Mapping[str, str], say: Say) -> None:
    """Run one management command to its end. Raises StackError when it fails."""
    command = [sys.executable, "-m", "django", *arguments]
    child = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=dict(environ), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        if child.stdout is not None:
            async for line in child.stdout:
                say(arguments[0], line.decode(errors="replace").rstrip())
        status = await child.wait()
    except asyncio.CancelledError:
        child.terminate()
        await child.wait()
        raise
    if status != 0:
        raise StackError(f"{arguments[0]} failed with exit status {status}; its last lines above say why")


async def _stay(plan: Plan, supervisor: Supervisor, *, record: Record, say: Say, begun: float) -> None:
    """Say once when Sysops is ready; keep the record of process ids true."""
    ready = False
    while True:
        if not ready and any(program.name == "web" for program in plan.programs):
            ready = await asyncio.to_thread(is_ready, plan.env)
            if ready:
                say("sysops", f"Sysops is ready at {base_url(plan.env)}/admin/ ({time.monotonic() - begun:.1f} s)")
        record.keep(supervisor.pids())
        await asyncio.sleep(RECORD_SECONDS if ready else 0.5)


def local_host(env: Environment) -> str:
    """The address at which this machine reaches its own web server."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(env.host, env.host)  # noqa: S104 (read, not bound)


def base_url(env: Environment) -> str:
    """Where somebody on this machine finds Sysops."""
    host = local_host(env)
    return f"http://{f'[{host}]' if ':' in host else host}:{env.port}"


def is_ready(env: Environment) -> bool:
    """Whether the web server says that everything it needs is there."""
    named = [host for host in env.allowed_hosts if not host.startswith(("*", "."))]
    headers = {"Host": named[0]} if named else {}
    connection = http.client.HTTPConnection(local_host(env), env.port, timeout=5)
    try:
        connection.request("GET", "/api/system/health/ready", headers=headers)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
