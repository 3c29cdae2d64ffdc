"""Makers and fakes for tests of the backups app: a fake engine one can read, a real store, a clock one can turn."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from backups.engines.base import (
    Artifact,
    BackupJob,
    Cancelled,
    Check,
    Control,
    Link,
    Outcome,
    Progress,
    ProveJob,
    Restored,
    RestoreJob,
    SourceSpec,
    Tools,
)
from backups.models import Backup, Policy, Source, Store
from backups.rules import BackupType
from backups.services import requests, runs, verifications
from backups.stores.local import LocalStore
from backups.workshop import Workshop
from sysops.access.actors import Actor

TESTER = Actor.user("tester")
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
_numbers = itertools.count(1)


class FakeEngine:
    """Writes one small file; fails, waits or finds fault when told to; remembers what it was asked."""

    name: ClassVar[str] = "fake"
    label: ClassVar[str] = "Fake"
    types: ClassVar[frozenset[BackupType]] = frozenset(BackupType)
    settings_schema: ClassVar[Mapping[str, object]] = {
        "type": "object",
        "properties": {
            "host": {"type": "string"},
            "note": {"type": "string"},
            "password": {"type": "string", "writeOnly": True},
        },
        "additionalProperties": False,
    }

    def __init__(self) -> None:
        self.jobs: list[BackupJob] = []
        self.proofs: list[ProveJob] = []
        self.restores: list[RestoreJob] = []
        self.started: list[Path] = []
        self.stopped: list[Path] = []
        self.gone: list[Path] = []  # targets whose servers ended by themselves
        self.starting: Callable[[RestoreJob], None] = lambda job: None
        self.stopping: Callable[[Path], None] = lambda target: None
        self.failures: list[Exception] = []  # raised by the next calls, one each
        self.checks: Sequence[Check] = (Check("server starts", Outcome.PASSED, "it did"),)
        self.during: Callable[[Control], None] = lambda control: None
        self.content = b"data"

    def check_settings(self, source: SourceSpec, tools: Tools) -> Sequence[Check]:
        return ()

    def back_up(self, job: BackupJob) -> Artifact:
        self.jobs.append(job)
        (job.directory / "data").write_bytes(self.content)
        job.control.progress(Progress("streaming", 2, 4))
        self.during(job.control)
        self._maybe_fail()
        if job.control.cancelled():
            raise Cancelled
        return Artifact(logical_size_bytes=4, engine_version="fake 1", figures={"rows": 3})

    def verify_files(self, link: Link, tools: Tools, control: Control) -> Sequence[Check]:
        self._maybe_fail()
        return (Check("tool", Outcome.PASSED, "fine"),)

    def prove(self, job: ProveJob) -> Sequence[Check]:
        self.proofs.append(job)
        self.during(job.control)
        self._maybe_fail()
        return self.checks

    def restore(self, job: RestoreJob) -> Restored:
        self.restores.append(job)
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / "data").write_bytes(self.content)
        self.during(job.control)
        self._maybe_fail()
        return Restored(checks=self.checks)

    def start_server(self, job: RestoreJob) -> str:
        self.started.append(job.target)
        self.starting(job)
        return "host=here"

    def stop_server(self, target: Path, tools: Tools) -> None:
        self.stopped.append(target)
        self.stopping(target)

    def server_is_gone(self, target: Path, tools: Tools) -> bool:
        return target in self.gone

    def _maybe_fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


@dataclass
class Hands:
    """A worker's means for tests: the fake engine, a real local store, a clock that is turned by hand."""

    folder: Path
    engine: FakeEngine = field(default_factory=FakeEngine)
    at: datetime = START

    def now(self) -> datetime:
        return self.at

    def later(self, **span: float) -> datetime:
        self.at += timedelta(**span)
        return self.at

    @property
    def store(self) -> LocalStore:
        return LocalStore({"path": str(self.folder / "store")})

    @property
    def workshop(self) -> Workshop:
        tools = Tools(pg_bin_dirs=(), os_user=None, scratch_dir=self.folder / "scratch")
        return Workshop(
            engine=lambda name: self.engine,
            store=lambda row: self.store,
            tools=tools,
            now=self.now,
            host="test-host",
        )

    def take(self, backup: Backup) -> Backup:
        """Run the backup as a worker does, and read what became of it."""
        runs.execute_backup(backup_id=backup.pk, workshop=self.workshop)
        backup.refresh_from_db()
        return backup

    def taken(self, source: Source, backup_type: BackupType = BackupType.FULL) -> Backup:
        """A backup of the source that succeeded."""
        asked = requests.request_backup(source=source, backup_type=backup_type, by=TESTER, at=self.at)
        return self.take(asked)

    def verified(self, backup: Backup) -> Backup:
        """The backup, every waiting verification of it worked off."""
        for verification in backup.verifications.filter(status="pending").order_by("pk"):
            verifications.execute_verification(verification_id=verification.pk, workshop=self.workshop)
        backup.refresh_from_db()
        return backup


def make_store() -> Store:
    return Store.objects.get_or_create(slug="tests", defaults={"name": "Tests", "driver": "local"})[0]


def make_policy(**fields: object) -> Policy:
    number = next(_numbers)
    values: dict[str, object] = {
        "slug": f"policy-{number}",
        "name": f"Policy {number}",
        "store": make_store(),
        **fields,
    }
    return Policy.objects.create(**values)


def make_source(slug: str | None = None, **fields: object) -> Source:
    number = next(_numbers)
    slug = slug or f"source-{number}"
    values: dict[str, object] = {"name": slug, "engine": "fake", "created_at": START, **fields}
    values.setdefault("policy", make_policy() if "policy" not in fields else None)
    return Source.objects.create(slug=slug, **values)
