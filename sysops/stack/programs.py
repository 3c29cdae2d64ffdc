"""What `sysops up` runs, in which order, and how each part is stopped."""

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sysops.env import Environment
from sysops.kernel.osuser import OsUser
from sysops.stack import launch

ROOT = Path(__file__).resolve().parents[2]  # sysops, celeryconfig and the apps are importable from here
# As root nine lines of warning at each start; only JSON is accepted, which is what the warning is about.
ROOT_IS_MEANT = "ignore:You're running the worker with superuser privileges"
QUEUES = ("default", "notifications", "checks", "intake")


@dataclass(frozen=True)
class Program:
    """One supervised process. Lower `order` starts first and stops last; equal ones go together.

    `ready` says whether it does its work; without it a started process counts as ready. `death` is the
    signal the kernel sends when the supervisor itself is killed.
    """

    name: str
    argv: Sequence[str]
    order: int
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    user: OsUser | None = None
    ready: Callable[[], bool] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 3.0
    death: signal.Signals = signal.SIGKILL
    own_group: bool = True  # its children stay in its process group, and go with it when it dies


def launched(
    argv: Sequence[str],
    *,
    user: OsUser | None = None,
    death: signal.Signals = signal.SIGKILL,
    delay: float = 0,
) -> list[str]:
    """`argv` started as `user` after `delay` seconds, ended by `death` when its parent dies (see launch.py)."""
    other = user if user and user.spawn_as() else None
    ids = [str(other.uid), str(other.gid)] if other else ["-", "-"]
    return [
        sys.executable,
        "-I",
        "-S",
        launch.__file__,
        f"{delay:g}",
        death.name,
        *ids,
        *argv,
    ]


def application(env: Environment, *, flower_socket: Path, environ: Mapping[str, str]) -> list[Program]:
    """The processes of Sysops itself; the database is migrated and the queue answers when they start.

    They stop in the other direction: beat first, so that nothing new is asked for, and the workers last.
    """
    celery = (sys.executable, "-m", "celery", "-A", "sysops", "--quiet")
    return [
        _worker(env, "default", queues=QUEUES, concurrency=2, environ=environ),  # a slow mail server holds up one
        _worker(env, "backups", queues=("backups", f"host.{env.host_name}"), concurrency=2, environ=environ),
        Program("web", web_argv(env.host, env.port), order=40, env=environ, death=signal.SIGTERM),
        # Only the web server reaches Flower's socket, and signs people in first.
        Program("flower", flower_argv(flower_socket), order=40, env={**environ, "FLOWER_UNAUTHENTICATED_API": "true"}),
        # No pid file: the lock on the data folder already means one beat, and a stale file would stop it.
        Program("beat", (*celery, "beat", "--pidfile=", "--loglevel=WARNING"), order=50, env=environ, stop_seconds=2.0),
    ]


def flower_argv(unix_socket: Path) -> list[str]:
    """Flower's command line. Not `-A sysops`: it reads celeryconfig alone and so needs no Django in memory."""
    return [
        *(sys.executable, "-m", "celery", "--config", "celeryconfig", "flower", f"--unix_socket={unix_socket}"),
        *("--url_prefix=flower", "--max_tasks=2000", "--logging=error"),
    ]


def web_argv(host: str, port: int) -> list[str]:
    """The web server's command line."""
    return [
        *(sys.executable, "-m", "granian", "--interface", "asgi", "--host", host, "--port", str(port)),
        # One process: it counts quotas and writes reports of all senders in common commits. Threads: sysops.asgi.
        *("--workers", "1", "--workers-kill-timeout", "2s", "--no-ws"),
        *("--log-level", "warning", "sysops.asgi:application"),
    ]


def _worker(
    env: Environment,
    name: str,
    *,
    queues: Sequence[str],
    concurrency: int,
    environ: Mapping[str, str],
) -> Program:
    argv = [
        *(sys.executable, "-m", "celery", "-A", "sysops", "--quiet", "worker", "--hostname", f"{name}@{env.host_name}"),
        *("--queues", ",".join(queues), "--concurrency", str(concurrency)),
        *("--without-mingle", "--without-gossip", "--loglevel", "WARNING"),
    ]
    # SIGTERM alone would wait for running tasks without limit (celeryconfig bounds the soft shutdown).
    bounded = {**environ, "REMAP_SIGTERM": "SIGQUIT", "PYTHONWARNINGS": ROOT_IS_MEANT}
    return Program(f"worker-{name}", argv, order=30, env=bounded, stop_seconds=14.0, death=signal.SIGTERM)
