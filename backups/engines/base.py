"""What a backup engine is. Drivers see these dataclasses, never models; docs/extending.md shows one being written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Protocol

from backups.rules import BackupType
from sysops.kernel.registry import Registry


class EngineError(Exception):
    """A backup, verification or restore failed, in words for the person who reads it at night.

    `code` is a short stable word (connection_refused, authentication, no_space, timed_out, cancelled,
    wal_summaries_missing, source_stopped, tool_missing, unexpected …); `permanent` says that another
    attempt cannot help until somebody changes something.
    """

    def __init__(self, message: str, *, code: str = "unexpected", permanent: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.permanent = permanent


class ParentUnusable(EngineError):
    """Nothing can stand on the given parent (another system, no manifest …): take a full backup instead."""


class Cancelled(EngineError):
    """Somebody cancelled the work, or its lease was lost."""

    def __init__(self, message: str = "Cancelled") -> None:
        super().__init__(message, code="cancelled", permanent=True)


class Outcome(StrEnum):
    """The three answers a check has: it looked and it is right, it looked and it is wrong, it could not look."""

    PASSED = "passed"
    FAILED = "failed"
    COULD_NOT = "could_not_verify"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `figures` is JSON: what was measured, bounds included."""

    name: str
    outcome: Outcome
    detail: str
    figures: Mapping[str, object] = field(default_factory=dict)
    duration_seconds: float | None = None


@dataclass(frozen=True)
class Tools:
    """Where an engine finds what it runs, and where it may write."""

    pg_bin_dirs: Sequence[Path]  # tried first; the engine then looks where distributions put them
    os_user: str | None  # run servers as this OS user (they refuse root); None = as we are
    scratch_dir: Path  # writable for os_user; a private folder is made below it and removed again


@dataclass(frozen=True)
class SourceSpec:
    """What is backed up. `settings` fits the engine's schema, secrets resolved."""

    slug: str
    settings: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True)
class Progress:
    """How far a run is; unknown is None. `phase` is in words ("streaming", "restoring", "checking")."""

    phase: str
    done_bytes: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True)
class Control:
    """How an engine hears and is heard while it works. Both are cheap: call them every second or so."""

    progress: Callable[[Progress], None]
    cancelled: Callable[[], bool]
    time_limit_seconds: int


@dataclass(frozen=True)
class Link:
    """One stored backup of a chain, readable at `path` as the files the engine once wrote."""

    backup_id: str
    backup_type: BackupType
    path: Path
    figures: Mapping[str, object]  # what the engine noted in Artifact.figures


@dataclass(frozen=True)
class BackupJob:
    """One backup to take into `directory`, which is empty and ours alone."""

    source: SourceSpec
    backup_id: str
    backup_type: BackupType
    directory: Path
    parent: Link | None  # None for a full backup
    tools: Tools
    control: Control


@dataclass(frozen=True)
class Artifact:
    """What a backup run learned. `figures` is kept with the record and handed back to prove and restore."""

    logical_size_bytes: int | None
    engine_version: str
    figures: Mapping[str, object]


@dataclass(frozen=True)
class ProveJob:
    """Restore `chain` (full first, the backup itself last) into a scratch place, check it, remove it.

    `custom_checks` are the policy's: [{"name", "database"?, "sql"}]; each passes when the first cell of its
    answer is true (or a number other than 0).
    """

    source: SourceSpec
    chain: Sequence[Link]
    custom_checks: Sequence[Mapping[str, str]]
    tools: Tools
    control: Control


@dataclass(frozen=True)
class RestoreJob:
    """Restore `chain` into `folder`, an absolute path that does not exist or is empty, and is this attempt's alone.

    When `restore` has returned, the folder is moved to `target` on the same file system, so a path written into a
    restored file must begin with `target`. With `start_server` the engine's `start_server` is called after that.
    """

    source: SourceSpec
    chain: Sequence[Link]
    folder: Path
    target: Path
    start_server: bool
    paths: Sequence[str]  # empty = the whole
    tools: Tools
    control: Control


@dataclass(frozen=True)
class Restored:
    """A finished restore: what was looked at. One check that failed, and it does not reach its target."""

    checks: Sequence[Check]


class Engine(Protocol):
    """One kind of source. Stateless; one instance serves all.

    `settings_schema` is a JSON Schema (2020-12) of type object; a property with `"writeOnly": true` is a
    secret: stored encrypted, never shown. Methods raise EngineError for failures they understand.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    types: ClassVar[frozenset[BackupType]]
    settings_schema: ClassVar[Mapping[str, object]]

    def check_settings(self, source: SourceSpec, tools: Tools) -> Sequence[Check]:
        """Whether the source can be reached and backed up now; never raises for what it finds there."""
        ...

    def back_up(self, job: BackupJob) -> Artifact:
        """Fill `job.directory`. Raises ParentUnusable when the type cannot stand on the parent."""
        ...

    def verify_files(self, link: Link, tools: Tools, control: Control) -> Sequence[Check]:
        """What the engine's own tool says of the stored files of one backup, without restoring."""
        ...

    def prove(self, job: ProveJob) -> Sequence[Check]:
        """Restore into scratch, look, remove. Leaves no process and no file behind, whatever happens."""
        ...

    def restore(self, job: RestoreJob) -> Restored:
        """Fill `job.folder`, touch nothing else, leave nothing running. What it wrote is removed when it fails."""
        ...

    def start_server(self, job: RestoreJob) -> str:
        """Leave what `restore` made, now at `job.target`, running on a private socket; how to connect to it."""
        ...

    def stop_server(self, target: Path, tools: Tools) -> None:
        """No server runs on what was restored to `target` afterwards; none running is no error.

        Raises EngineError when it did not stop, or when that cannot be judged from here (another container).
        """
        ...

    def server_is_gone(self, target: Path, tools: Tools) -> bool:
        """Whether it is certain that no server runs on what was restored to `target`; changes nothing."""
        ...


engines: Registry[Engine] = Registry("backup engine", group="sysops.backup_engines")
