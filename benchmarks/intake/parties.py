"""The two that are measured, each started as its own documentation says, on loopback, with data in a private folder."""

import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
import venv
from abc import ABC, abstractmethod
from pathlib import Path

import httpx
import psutil
import psycopg

from tests.running import Sysops, until
from tests.services import free_port

BUGSINK = "bugsink"
EVENTS = "SELECT digested_event_count FROM projects_project WHERE id = 1"


class Party(ABC):
    """One server that takes errors: `url` and `key` for the load, and what the measurement asks of it."""

    name: str
    url: str
    key: str

    @abstractmethod
    def digested(self) -> int:
        """Events that were worked off since the start."""

    @abstractmethod
    def disk_bytes(self) -> int:
        """What is stored takes on disk, after the server wrote down what it still held back."""

    @abstractmethod
    def roots(self) -> list[int]:
        """Process ids whose families are the server."""

    @abstractmethod
    def stop(self) -> None:
        """End every process."""

    def cpu_seconds(self) -> float:
        """CPU time of all processes of the server until now, those that ended among them."""
        total = 0.0
        for root in self.roots():
            family = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
            for process in family:
                try:
                    total += sum(process.cpu_times()[:4])  # its own, and that of children it has waited for
                except psutil.NoSuchProcess:
                    continue
        return total


class Bugsink(Party):
    """Bugsink from PyPI in an environment of its own: SQLite, gunicorn gthread 2 × 4, snappea; quotas raised."""

    name = BUGSINK

    def __init__(self, folder: Path, *, environment: Path | None) -> None:
        self._folder = folder
        folder.mkdir(parents=True)
        self._bin = (environment or self._install()) / "bin"
        self._port = free_port()
        self._environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "bugsink_conf", "PYTHONPATH": str(folder)}
        self._configure()
        self.key = secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{self._port}/api/1/envelope/"
        self._start()

    def _install(self) -> Path:
        target = self._folder / "venv"
        venv.create(target, with_pip=True)
        subprocess.run([target / "bin" / "pip", "install", "--quiet", "bugsink"], check=True)
        return target

    def _configure(self) -> None:
        conf = self._folder / "bugsink_conf.py"
        self._run(
            *("bugsink-create-conf", "--template=singleserver", "--host=127.0.0.1", f"--base-dir={self._folder}"),
            f"--output-file={conf}",
        )
        many = 10**9
        raised = {
            "BASE_URL": f"http://127.0.0.1:{self._port}",
            "PHONEHOME": False,
            **{f"MAX_EVENTS_PER_PROJECT_PER_{span}": many for span in ("5_MINUTES", "HOUR", "MONTH")},
            **{f"MAX_EVENTS_PER_{span}": many for span in ("5_MINUTES", "HOUR", "MONTH")},
        }
        with conf.open("a") as more:
            more.write(f"\nBUGSINK.update({raised!r})\nALLOWED_HOSTS = ['*']\nSECURE_PROXY_SSL_HEADER = None\n")

    def _start(self) -> None:
        for words in (("migrate",), ("migrate", "snappea", "--database=snappea")):
            self._run("bugsink-manage", *words)
        made = (
            "import uuid; from projects.models import Project; "
            f"Project.objects.create(id=1, name='shop', sentry_key=uuid.UUID('{self.key}'), "
            "retention_max_event_count=10**9)"
        )
        self._run("bugsink-manage", "shell", "-c", made)
        bind = f"--bind=127.0.0.1:{self._port}"
        self._web = self._spawn("gunicorn", "-k", "gthread", "-w", "2", "--threads=4", bind, "bugsink.wsgi")
        self._snappea = self._spawn("bugsink-runsnappea")
        until(self._answers, seconds=60, what="Bugsink answers")

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self._port}/health/ready", timeout=2).status_code < 500
        except httpx.HTTPError:
            return False

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self._bin / program, *words], cwd=self._folder, env=self._environ, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{program} {words[0]}: {done.stdout[-500:]} {done.stderr[-1500:]}")

    def _spawn(self, program: str, *words: str) -> "subprocess.Popen[bytes]":
        log = (self._folder / f"{program}.log").open("ab")
        return subprocess.Popen(
            [self._bin / program, *words],
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def digested(self) -> int:
        with sqlite3.connect(f"file:{self._folder / 'db.sqlite3'}?mode=ro", uri=True, timeout=10) as asked:
            return int(asked.execute(EVENTS).fetchone()[0])

    def disk_bytes(self) -> int:
        database = self._folder / "db.sqlite3"
        with sqlite3.connect(database, timeout=30) as asked:
            asked.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return database.stat().st_size

    def roots(self) -> list[int]:
        return [self._web.pid, self._snappea.pid]

    def stop(self) -> None:
        for process in (self._web, self._snappea):
            process.send_signal(signal.SIGTERM)
        for process in (self._web, self._snappea):
            process.wait(30)


class Ours(Party):
    """`sysops up` as a new user has it: embedded PostgreSQL and Valkey, every process that belongs to it."""

    name = "sysops"

    def __init__(self, folder: Path) -> None:
        self._sysops = Sysops.below(folder, port=free_port())
        self._sysops.start()
        self._sysops.sign_in()
        made = self._sysops.http.post(f"{self._sysops.url}/error-projects", json={"slug": "shop", "name": "Shop"})
        made.raise_for_status()
        project = made.json()
        self.key = project["keys"][0]["public"]
        self.project = int(project["id"])
        self.url = f"http://127.0.0.1:{self._sysops.port}/api/{self.project}/envelope/"
        self._database = psycopg.connect(self._database_url(), autocommit=True)

    def _database_url(self) -> str:
        stack = json.loads((self._sysops.data_dir / "run" / "stack.json").read_text())
        return str(stack["database_url"])

    def ask(self, question: str) -> int:
        row = self._database.execute(question.encode()).fetchone()
        assert row is not None
        return int(row[0])

    def digested(self) -> int:
        return self.ask("SELECT coalesce(sum(event_count), 0) FROM errors_issue")

    def disk_bytes(self) -> int:
        return self.ask(
            "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c "
            "WHERE c.relkind = 'r' AND c.relname LIKE 'errors\\_%' AND c.relname <> 'errors_spool'"
        )

    def waiting(self) -> int:
        return self.ask("SELECT count(*) FROM errors_spool")

    def fill(self, rows: int) -> None:
        """Copies of the stored events under new ids, until there are `rows` more of them; over the past four weeks."""
        self._database.execute(
            "INSERT INTO errors_event SELECT gen_random_uuid(), e.project_id, e.grouping_id, e.received_at, "
            "e.occurred_at, e.level, e.release, e.environment, e.payload "
            "FROM (SELECT * FROM errors_event LIMIT 1000) e, generate_series(1, %s) n",
            [rows // 1000],
        )
        self._database.execute("ANALYZE errors_event")
        self._database.execute("CHECKPOINT")

    def roots(self) -> list[int]:
        return [self._sysops.process.pid]

    def stop(self) -> None:
        self._database.close()
        self._sysops.stop()


def settle(party: Party, *, expected: int, seconds: float) -> float:
    """When `expected` events were worked off (time.time()). Raises when it takes longer than `seconds`."""
    deadline = time.time() + seconds
    while party.digested() < expected:
        if time.time() > deadline:
            raise RuntimeError(f"{party.name} worked off {party.digested()} of {expected} events in {seconds:g} s")
        time.sleep(0.05)
    return time.time()


def send(party: Party, *, count: int, issues: int) -> dict[str, object]:
    """What the load process measured."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.intake.load", party.url, party.key, str(count), str(issues)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found
