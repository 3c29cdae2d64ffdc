"""What tests of engines share: controls, a source that fails on demand, taking and damaging backups."""

import contextlib
import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil

from backups.engines.base import (
    Artifact,
    BackupJob,
    Check,
    Control,
    Engine,
    Link,
    Outcome,
    Progress,
    ProveJob,
    RestoreJob,
    SourceSpec,
    Tools,
)
from backups.rules import BackupType
from tests.services import SourceCluster


def control(
    *, seconds: int = 120, cancelled: Callable[[], bool] = lambda: False, heard: list[Progress] | None = None
) -> Control:
    return Control(
        progress=heard.append if heard is not None else lambda _: None,
        cancelled=cancelled,
        time_limit_seconds=seconds,
    )


def spec(cluster: SourceCluster, **changes: object) -> SourceSpec:
    """The cluster as a source, with the superuser's rights unless changed."""
    settings = {
        "host": cluster.host,
        "port": cluster.port,
        "user": cluster.user,
        "password": cluster.password,
        "dbname": "shop",
        "sslmode": "disable",
        **changes,
    }
    return SourceSpec("shop-db", settings)


def take(
    engine: Engine,
    source: SourceSpec,
    folder: Path,
    tools: Tools,
    *,
    backup_type: BackupType = BackupType.FULL,
    parent: Link | None = None,
    **control_changes: object,
) -> Link:
    """Take a backup and answer it as a link, its figures as they come back from JSON."""
    backup_id = str(uuid4())
    directory = folder / backup_id
    directory.mkdir(parents=True)
    job = BackupJob(
        source=source,
        backup_id=backup_id,
        backup_type=backup_type,
        directory=directory,
        parent=parent,
        tools=tools,
        control=control(**control_changes),  # type: ignore[arg-type]
    )
    artifact: Artifact = engine.back_up(job)
    return Link(backup_id, backup_type, directory, json.loads(json.dumps(artifact.figures)))


def prove(
    engine: Engine, source: SourceSpec, chain: Sequence[Link], tools: Tools, custom: Sequence[dict[str, str]] = ()
) -> list[Check]:
    return list(engine.prove(ProveJob(source, chain, custom, tools, control())))


@dataclass(frozen=True)
class Placed:
    """A restore that reached its target."""

    checks: Sequence[Check]
    connection: str | None


def restore_job(
    source: SourceSpec, chain: Sequence[Link], target: Path, tools: Tools, *, folder: Path | None = None, **more: object
) -> RestoreJob:
    """A restore of the whole to `target` by way of a folder beside it."""
    folder = folder or target.with_name(f"{target.name}.attempt-1-1")
    return RestoreJob(source, chain, folder, target, True, (), tools, control(**more))  # type: ignore[arg-type]


def restore(
    engine: Engine, source: SourceSpec, chain: Sequence[Link], target: Path, tools: Tools, *, start_server: bool = False
) -> Placed:
    """As the service does: restored beside the target, moved there, started there."""
    job = restore_job(source, chain, target, tools)
    checks = engine.restore(job).checks
    job.folder.rename(target)
    return Placed(checks, engine.start_server(job) if start_server else None)


def outcomes(checks: Sequence[Check]) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in checks}


def named(checks: Sequence[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def all_passed(checks: Sequence[Check]) -> bool:
    return bool(checks) and all(check.outcome is Outcome.PASSED for check in checks)


def copied(link: Link, folder: Path) -> Link:
    """The same backup in files of its own, to be damaged."""
    place = folder / f"copy-{uuid4().hex[:8]}"
    shutil.copytree(link.path, place)
    return Link(link.backup_id, link.backup_type, place, link.figures)


def largest_file(link: Link) -> Path:
    return max((p for p in link.path.iterdir() if p.is_file()), key=lambda p: p.stat().st_size)


def flip_byte(path: Path, offset: int | None = None) -> None:
    """Change one byte; in the middle unless told where."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 if offset is None else offset)
        old = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([old[0] ^ 0xFF]))


def tools_running(needle: str) -> list[int]:
    """Processes whose command line or environment names the needle."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and any(needle in word for word in process.cmdline()):
                found.append(process.pid)
    return found


class Faulty:
    """A TCP proxy before a source: each connection gets so many bytes, and then silence or the end."""

    def __init__(self, cluster: SourceCluster, *, after_bytes: int, hang: bool) -> None:
        self._cluster = cluster
        self._after = after_bytes
        self._hang = hang
        self._ended = threading.Event()
        self.reached = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._ended.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection((self._cluster.host, self._cluster.port))
            threading.Thread(target=self._pump, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, self._after), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, budget: int | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if budget is not None:
                    budget -= len(data)
                    if budget < 0:
                        self.reached.set()
                        if self._hang:
                            self._ended.wait(120)
                        break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def faulty(cluster: SourceCluster, *, after_bytes: int = 1_000_000, hang: bool = False) -> Iterator[Faulty]:
    proxy = Faulty(cluster, after_bytes=after_bytes, hang=hang)
    try:
        yield proxy
    finally:
        proxy.close()
