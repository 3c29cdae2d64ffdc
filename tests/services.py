"""Real servers for tests: one PostgreSQL and one Valkey per session, and throw-away clusters to back up.

Everything lies in one private temporary folder with a short path, which the servers' OS user can pass
through, so that any number of sessions run side by side.
"""

import atexit
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
import pytest

from sysops.kernel import osuser
from sysops.stack import places, postgres, programs, valkey

PASSWORD = "only for tests"
# A killed server keeps what it committed; only a power failure would not be survived.
FAST = {"fsync": "off"}


class Home:
    """The session's private folder and what its servers are made of; nothing is started by looking at it."""

    def __init__(self) -> None:
        self.user = osuser.server_user(os.environ.get("SYSOPS_PG_OS_USER"))
        self.dir = places.passable_temp_dir("sysops-test-", self.user)
        sweep(self.dir.parent)
        (self.dir / "owner").write_text(f"{os.getpid()} {psutil.Process().create_time()}")
        self._servers: list[subprocess.Popen[bytes]] = []
        atexit.register(self.close)  # also when the session ends before its fixtures are torn down

    @cached_property
    def installation(self) -> postgres.Installation:
        return postgres.reachable(postgres.find(), self.user, copies=self.dir / "pginstall")

    @cached_property
    def database(self) -> postgres.Cluster:
        return self.cluster("pg", port=5432, first_settings={"max_connections": "200"})

    @cached_property
    def queue(self) -> valkey.Queue:
        folder = self.dir / "valkey"
        folder.mkdir()
        return valkey.Queue(valkey.find(), data_dir=folder, socket=folder / "s", durable=False)

    def environ(self) -> dict[str, str]:
        """The variables that make Sysops use this session's servers and folders."""
        socket_dir = self.dir / "pg-s"
        data = self.dir / "data"
        data.mkdir(exist_ok=True, mode=0o711)  # as `sysops up` makes it
        scratch = places.private_dir(self.dir / "scratch", self.user)
        return {
            "SYSOPS_PROFILE": "test",
            "SYSOPS_DATA_DIR": str(data),
            "SYSOPS_DATABASE_URL": f"postgresql://sysops:{quote(PASSWORD)}@/sysops?host={socket_dir}&port=5432",
            "SYSOPS_BROKER_URL": f"redis+socket://{self.dir}/valkey/s",
            "SYSOPS_SCRATCH_DIR": str(scratch),
            "SYSOPS_PG_BIN_DIRS": str(self.installation.bin_dir),
            "SYSOPS_HOST_NAME": "test-host",
            "SYSOPS_SECRET_KEY": "a secret key that is only used by tests",
            **({"SYSOPS_PG_OS_USER": self.user.name} if self.user.spawn_as() else {}),
        }

    def cluster(
        self,
        name: str,
        *,
        port: int,
        listen: str = "",
        first_settings: Mapping[str, str] | None = None,
    ) -> postgres.Cluster:
        """A new cluster in the session's folder, made but not started."""
        made = postgres.Cluster(
            installation=self.installation,
            data_dir=self.dir / name,
            socket_dir=places.private_dir(self.dir / f"{name}-s", self.user),
            os_user=self.user,
            password=PASSWORD,
            port=port,
            listen_addresses=listen,
            settings={**postgres.BACKUP_SETTINGS, **FAST},
        )
        made.create(first_settings=first_settings, safe=False)
        return made

    def run(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        user: osuser.OsUser | None = None,
        env: Mapping[str, str] | None = None,
    ) -> "subprocess.Popen[bytes]":
        """A server in a session of its own (Ctrl-C is ours to hand on), which dies when we are killed."""
        with log.open("ab") as out:
            server = subprocess.Popen(
                programs.launched(argv, user=user, death=signal.SIGINT),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd="/",
                env=dict(env) if env is not None else None,
            )  # fmt: skip
        self._servers.append(server)
        return server

    def start(self) -> None:
        """Start the session's database and queue."""
        wait_until(self.queue.answers, self.run(self.queue.argv(), log=self.dir / "valkey.log"))
        cluster = self.database
        server = self.run(
            cluster.argv(),
            user=self.user,
            log=self.dir / "pg.log",
            env=cluster.environ(),
        )
        wait_until(cluster.answers, server)

    def close(self) -> None:
        """Stop every server and remove the folder; a second call finds nothing to do."""
        while self._servers:
            end(self._servers.pop(), signal.SIGINT)
        shutil.rmtree(self.dir, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Remove folders of sessions that were killed; their servers died with them."""
    for owner in parent.glob("sysops-test-*/owner"):
        with contextlib.suppress(OSError, ValueError):
            pid, created = owner.read_text().split()
            try:
                alive = psutil.Process(int(pid)).create_time() == float(created)
            except psutil.NoSuchProcess:
                alive = False
            if not alive:
                shutil.rmtree(owner.parent, ignore_errors=True)


def end(server: "subprocess.Popen[bytes]", number: signal.Signals, *, seconds: float = 20) -> None:
    """Signal a server and wait for its end; a deaf one is killed."""
    with contextlib.suppress(ProcessLookupError):
        server.send_signal(number)
    try:
        server.wait(seconds)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(seconds)


def wait_until(
    answers: Callable[[], bool],
    server: "subprocess.Popen[bytes]",
    *,
    seconds: float = 110,
) -> None:
    """Return when a server answers; fail when it ended or takes too long."""
    give_up = time.monotonic() + seconds
    while not answers():
        if server.poll() is not None or time.monotonic() > give_up:
            raise RuntimeError(f"{server.args!r} is not ready (exit status {server.returncode})")
        time.sleep(0.02)


def free_port() -> int:
    """A TCP port of the loopback address that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class SourceCluster:
    """A PostgreSQL to back up: on a loopback port and a socket, with checksums, WAL summaries and a password."""

    home: Home
    cluster: postgres.Cluster
    _server: "subprocess.Popen[bytes] | None" = None
    user: str = "sysops"
    password: str = PASSWORD
    host: str = "127.0.0.1"

    @property
    def data_dir(self) -> Path:
        return self.cluster.data_dir

    @property
    def bin_dir(self) -> Path:
        return self.cluster.bin_dir

    @property
    def socket_dir(self) -> Path:
        return self.cluster.socket_dir

    @property
    def port(self) -> int:
        return self.cluster.port

    @property
    def pid(self) -> int | None:
        return self._server.pid if self._server else None

    def start(self) -> None:
        """Start it and wait until it answers; it must be stopped."""
        log = self.home.dir / f"{self.data_dir.name}.log"
        env = self.cluster.environ()
        self._server = self.home.run(self.cluster.argv(), user=self.cluster.os_user, log=log, env=env)
        wait_until(self.cluster.answers, self._server)

    def stop(self) -> None:
        """Fast shutdown, as an operator would; nothing happens when it does not run."""
        if self._server:
            end(self._server, signal.SIGINT)
            self._server = None

    def kill(self) -> None:
        """kill -9 of the server process, as the kernel's memory killer would."""
        if self._server:
            end(self._server, signal.SIGKILL)
            self._server = None

    def dsn(
        self,
        *,
        user: str | None = None,
        password: str | None = None,
        dbname: str = "postgres",
    ) -> str:
        """A URL over TCP; of the superuser unless another user is named."""
        name, secret = (
            user or self.user,
            quote(password or self.password, safe=""),
        )
        return f"postgresql://{name}:{secret}@{self.host}:{self.port}/{dbname}"

    def execute(self, sql: str, *, dbname: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement as superuser, outside a transaction; its rows, if it has any."""
        with psycopg.connect(self.dsn(dbname=dbname), autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []


MakeCluster = Callable[..., SourceCluster]


@pytest.fixture(scope="session")
def home() -> Home:
    """The session's private folder (servers' OS user, installation, helpers to start more)."""
    return the_home()


@pytest.fixture(scope="session")
def make_cluster_for_session(home: Home) -> Iterator[MakeCluster]:
    """`make_cluster` for fixtures of wider scope than a test; the clusters live until the session ends."""
    yield from _maker(home)


@pytest.fixture
def make_cluster(home: Home) -> Iterator[MakeCluster]:
    """Makes throw-away PostgreSQL clusters, started unless `start=False`; all end with the test.

    Other keyword arguments are written into its postgresql.conf: `make_cluster(max_connections="20")`.
    """
    yield from _maker(home)


def _maker(home: Home) -> Iterator[MakeCluster]:
    made: list[SourceCluster] = []

    def make(*, start: bool = True, **settings: str) -> SourceCluster:
        name = f"c{secrets.token_hex(3)}"
        cluster = home.cluster(name, port=free_port(), listen="127.0.0.1", first_settings=settings)
        made.append(SourceCluster(home, cluster))
        if start:
            made[-1].start()
        return made[-1]

    yield make
    for source in made:
        source.stop()
        shutil.rmtree(source.data_dir, ignore_errors=True)
        shutil.rmtree(source.socket_dir, ignore_errors=True)


_home: Home | None = None


def the_home() -> Home:
    """The one Home of this session, made on first use."""
    global _home
    if _home is None:
        _home = Home()
    return _home
