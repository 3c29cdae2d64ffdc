"""The engine `postgres`: physical backups with PostgreSQL's own tools."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from backups.engines.base import (
    Artifact,
    BackupJob,
    Check,
    Control,
    Link,
    ProveJob,
    Restored,
    RestoreJob,
    SourceSpec,
    Tools,
)
from backups.engines.postgres import basebackup, probe, prove, restore, verify
from backups.engines.postgres.connect import CONNECTION_PROPERTIES
from backups.rules import BackupType


class PostgresEngine:
    """Whole clusters of PostgreSQL 17 or newer: pg_basebackup, full, differential and incremental."""

    name: ClassVar[str] = "postgres"
    label: ClassVar[str] = "PostgreSQL (physical)"
    types: ClassVar[frozenset[BackupType]] = frozenset(BackupType)
    settings_schema: ClassVar[Mapping[str, object]] = {
        "type": "object",
        "properties": {
            **CONNECTION_PROPERTIES,
            "compression": {"enum": list(basebackup.COMPRESSIONS), "default": "gzip", "title": "Compression"},
            "max_rate_kilobytes_per_second": {
                "type": "integer",
                "minimum": 32,
                "maximum": 1_048_576,
                "title": "Highest rate",
                "description": "Kilobytes per second read from the source, so that a backup does not hurt it.",
            },
        },
        "required": ["host", "user"],
        "additionalProperties": False,
    }

    def check_settings(self, source: SourceSpec, tools: Tools) -> Sequence[Check]:
        return probe.check_physical(source, tools)

    def back_up(self, job: BackupJob) -> Artifact:
        return basebackup.back_up(job)

    def verify_files(self, link: Link, tools: Tools, control: Control) -> Sequence[Check]:
        return verify.verify_files(link, tools, control)

    def prove(self, job: ProveJob) -> Sequence[Check]:
        return prove.prove(job)

    def restore(self, job: RestoreJob) -> Restored:
        return restore.restore(job)

    def start_server(self, job: RestoreJob) -> str:
        return restore.start_server(job)

    def stop_server(self, target: Path, tools: Tools) -> None:
        restore.stop_server(target, tools)

    def server_is_gone(self, target: Path, tools: Tools) -> bool:
        return restore.server_is_gone(target)
