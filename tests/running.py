"""The whole of Sysops, started as people start it, reached over HTTP and command line. For tests and benchmarks."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.services import SourceCluster

ROOT = Path(__file__).parents[1]


class TooLong(AssertionError):
    """What was waited for did not come about."""


def until(found: Callable[[], object], *, seconds: float, what: str | Callable[[], str]) -> None:
    """Wait until `found` is true; fail with `what` otherwise."""
    deadline = time.monotonic() + seconds
    while not found():
        if time.monotonic() > deadline:
            raise TooLong(f"After {seconds:g} s still not: {what if isinstance(what, str) else what()}")
        time.sleep(0.2)


@dataclass
class Sysops:
    """A running `sysops up`, reached over HTTP and its command line, whose processes can be killed by name."""

    data_dir: Path
    environ: Mapping[str, str]
    port: int

    @classmethod
    def below(cls, folder: Path, *, port: int) -> "Sysops":
        """An instance with its data below the folder; not started."""
        data_dir = folder / "var"
        data_dir.mkdir(parents=True)
        environ = {key: value for key, value in os.environ.items() if not key.startswith("SYSOPS_")}
        environ |= {"SYSOPS_DATA_DIR": str(data_dir), "SYSOPS_PORT": str(port), "SYSOPS_HOST_NAME": f"host{port}"}
        if "SYSOPS_PG_OS_USER" in os.environ:
            environ["SYSOPS_PG_OS_USER"] = os.environ["SYSOPS_PG_OS_USER"]
        return cls(data_dir, environ, port)

    @property
    def up(self) -> list[str]:
        """The command that runs it."""
        return [sys.executable, "-m", "sysops.cli", "up"]

    def start(self) -> None:
        """Run it until it is ready; what never gets there is stopped again."""
        log = self.data_dir.parent / "up.log"
        with log.open("a") as lines:
            self.process = subprocess.Popen(
                self.up, cwd=ROOT, env=dict(self.environ), stdin=subprocess.DEVNULL, stdout=lines, stderr=lines
            )
        try:
            until(self._ready, seconds=180, what=lambda: f"ready:\n{log.read_text()[-3000:]}")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/system"

    def cli(self, *words: str, timeout: float = 120) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "sysops.cli", *words],
            cwd=ROOT,
            env=dict(self.environ),
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def sign_in(self) -> None:
        token = self.cli("token", "create", "faults", "--role", "admin").stdout.strip()
        self.http = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=30)

    def get(self, path: str) -> dict[str, object]:
        """The answer to a GET, tried again while a part of Sysops is down on purpose."""
        answers: list[dict[str, object]] = []

        def answered() -> bool:
            try:
                answer = self.http.get(f"{self.url}/{path}")
            except httpx.HTTPError:
                return False
            if answer.status_code == 200:
                answers.append(answer.json())
            return bool(answers)

        until(answered, seconds=90, what=f"GET {path} answers")
        return answers[0]

    def add_source(self, slug: str, cluster: SourceCluster, **settings: object) -> None:
        answer = self.http.post(
            f"{self.url}/backup-sources",
            json={
                "slug": slug,
                "name": slug,
                "engine": "postgres",
                "settings": {
                    "host": cluster.host,
                    "port": cluster.port,
                    "user": cluster.user,
                    "password": cluster.password,
                    "dbname": "postgres",
                    **settings,
                },
            },
        )
        assert answer.status_code == 201, answer.text

    def ask(self, slug: str, backup_type: str = "full") -> str:
        answer = self.http.post(f"{self.url}/backup", json={"source": slug, "backup_type": backup_type})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def backup(self, pk: str) -> dict[str, object]:
        return self.get(f"backups/{pk}")

    def wait_status(self, pk: str, *wanted: str, seconds: float = 150) -> dict[str, object]:
        until(lambda: self.backup(pk)["status"] in wanted, seconds=seconds, what=f"backup {pk} is {wanted}")
        return self.backup(pk)

    def wait_copying(self, pk: str) -> None:
        """Until bytes have been copied, so that what is broken next is broken in the middle."""

        def copying() -> bool:
            shown = self.backup(pk)
            assert shown["status"] in ("queued", "running"), shown
            progress = shown["progress"]
            assert isinstance(progress, dict)
            return shown["status"] == "running" and (progress["done_bytes"] or 0) > 0

        until(copying, seconds=120, what=f"backup {pk} copies")

    def processes(self, *words: str) -> list[psutil.Process]:
        """Our processes whose command line has all the words; the first is the parent of the others."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                line = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if all(word in line for word in words):
                found.append(process)
        return sorted(found, key=lambda p: p.create_time())

    def kill(self, *words: str) -> None:
        """kill -9 of the oldest process with these words in its command line, as the memory killer would."""
        victim = self.processes(*words)[0]
        victim.kill()
        until(lambda: not victim.is_running() or victim.status() == "zombie", seconds=30, what=f"{words} is dead")

    def assert_clean(self) -> None:
        """No backup says running, nothing staged, no scratch folder, no tool left working."""

        def left() -> list[str]:
            running = self.get("backups?status=running")["results"]
            assert isinstance(running, list)
            tools = [str(p.cmdline()) for p in self.processes("pg_basebackup")]
            return [*(f"backup {b['id']} runs" for b in running), *tools, *self.leftovers()]

        try:
            until(lambda: not left(), seconds=120, what="nothing runs, nothing is left behind")
        except TooLong as exc:
            raise TooLong(f"{exc}: {left()}") from None

    def leftovers(self) -> list[str]:
        stack = json.loads((self.data_dir / "run" / "stack.json").read_text())
        scratch = Path(stack.get("scratch_dir") or self.data_dir / "scratch")
        staged = self.data_dir / "backups" / ".staging"
        found = [*scratch.glob("*"), *(p for p in staged.rglob("*") if p.is_file())]
        return [str(path) for path in found if path.exists()]
