"""What may happen to backups, verifications and restores. Pure: no Django, no clock, no I/O."""

from enum import StrEnum


class BackupType(StrEnum):
    """SPEC B3: differential stands on the last full, incremental on the last backup of any type."""

    FULL = "full"
    DIFFERENTIAL = "differential"
    INCREMENTAL = "incremental"
