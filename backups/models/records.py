"""What happened: backups, their attempts, the slots of cadences, removals."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from backups.models.config import Cadence, Source, Store
from backups.models.moves import Leased
from backups.rules import (
    BACKUP_MOVES,
    BackupType,
    SlotOutcome,
    Status,
    VerificationStatus,
)

TYPES = [(t.value, t.value) for t in BackupType]
STATUSES = [(s.value, s.value) for s in Status]
ACTIVE_VALUES = [Status.QUEUED.value, Status.RUNNING.value, Status.INTERRUPTED.value]


class Backup(Leased):
    """One backup of one source, from request to removal (SPEC B6)."""

    MOVES = BACKUP_MOVES
    RUNNING: ClassVar[Status] = Status.RUNNING
    STATES = Status

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="backups")
    store = models.ForeignKey(Store, on_delete=models.PROTECT, related_name="backups")
    status = models.CharField(max_length=12, choices=STATUSES, default=Status.QUEUED.value)
    requested_type = models.CharField(max_length=20, choices=TYPES)
    backup_type = models.CharField(max_length=20, choices=TYPES)
    type_reason = models.TextField(blank=True, help_text="Why the type differs from the one asked for")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children")
    requested_by = models.CharField(max_length=255)
    requested_at = models.DateTimeField()
    keep_days = models.PositiveIntegerField(null=True, blank=True)

    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    failure_code = models.CharField(max_length=40, blank=True)
    failure_reason = models.TextField(blank=True)

    key = models.CharField(
        max_length=200, blank=True, db_index=True, help_text="The name in the store, new for each attempt"
    )
    location = models.TextField(blank=True)
    size_bytes = models.BigIntegerField(null=True, blank=True)
    logical_size_bytes = models.BigIntegerField(null=True, blank=True)
    manifest = models.JSONField(default=list, blank=True)
    figures = models.JSONField(default=dict, blank=True)
    engine = models.CharField(max_length=60)
    engine_version = models.CharField(max_length=200, blank=True)

    verification_status = models.CharField(
        max_length=20,
        choices=[(s.value, s.value) for s in VerificationStatus],
        default=VerificationStatus.PENDING.value,
    )
    verified_at = models.DateTimeField(null=True, blank=True)
    verification_detail = models.TextField(blank=True)
    proven_at = models.DateTimeField(null=True, blank=True, help_text="Last restored and found right")

    delete_after = models.DateTimeField(null=True, blank=True)
    held_by = models.CharField(max_length=255, blank=True)
    held_reason = models.TextField(blank=True)
    removed_at = models.DateTimeField(null=True, blank=True, help_text="When its files were gone")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["source"], condition=Q(status=Status.RUNNING.value), name="backups_one_running_per_source"
            ),
        ]
        indexes = [
            models.Index(fields=["source", "-id"], name="backups_by_source"),
            models.Index(fields=["status", "-id"], name="backups_by_status"),
            models.Index(fields=["-requested_at", "-id"], name="backups_by_time"),
            models.Index(fields=["-size_bytes", "-id"], name="backups_by_size"),
            models.Index(
                fields=["source", "-completed_at"],
                name="backups_stored",
                condition=Q(status=Status.SUCCEEDED.value),
            ),
            models.Index(
                fields=["source", "-proven_at"],
                name="backups_proven",
                condition=Q(status=Status.SUCCEEDED.value, proven_at__isnull=False),
            ),
            models.Index(
                fields=["store"],
                include=["id", "size_bytes"],
                name="backups_room_taken",
                condition=Q(status=Status.SUCCEEDED.value),
            ),
            models.Index(
                fields=["-id"],
                name="backups_not_passed",
                condition=~Q(verification_status=VerificationStatus.PASSED.value),
            ),
            models.Index(
                fields=["-id"],
                name="backups_known_bad",
                condition=Q(status=Status.SUCCEEDED.value, verification_status=VerificationStatus.FAILED.value),
            ),
            models.Index(fields=["status", "not_before"], name="backups_active", condition=Q(status__in=ACTIVE_VALUES)),
            models.Index(
                fields=["delete_after"], name="backups_past_retention", condition=Q(status=Status.SUCCEEDED.value)
            ),
            models.Index(
                fields=["id"],
                name="backups_removal_unfinished",
                condition=Q(status=Status.EXPIRED.value, removed_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"Backup {self.pk}"

    @property
    def known_bad(self) -> bool:
        return self.verification_status == VerificationStatus.FAILED.value


class Attempt(models.Model):
    """One try at a backup and how it ended."""

    backup = models.ForeignKey(Backup, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveSmallIntegerField()
    host = models.CharField(max_length=255)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=12, blank=True)
    code = models.CharField(max_length=40, blank=True)
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["backup", "number"], name="backups_attempt_once")]

    def __str__(self) -> str:
        return f"Attempt {self.number} at backup {self.backup_id}"


class CadenceSlot(models.Model):
    """What became of one slot of a cadence for one source; the key makes a slot happen once."""

    cadence = models.ForeignKey(Cadence, on_delete=models.CASCADE, related_name="slots")
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="slots")
    slot_at = models.DateTimeField()
    outcome = models.CharField(max_length=12, choices=[(o.value, o.value) for o in SlotOutcome])
    reason = models.TextField(blank=True)
    backup = models.ForeignKey(Backup, null=True, blank=True, on_delete=models.SET_NULL, related_name="slots")

    class Meta:
        ordering = ["-slot_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["cadence", "source", "slot_at"], name="backups_slot_once")]
        indexes = [models.Index(fields=["slot_at"], name="backups_slot_age")]

    def __str__(self) -> str:
        return f"{self.cadence} at {self.slot_at:%Y-%m-%d %H:%M} UTC"


class Removal(models.Model):
    """A backup's files were removed: which, why, by whom."""

    backup = models.OneToOneField(Backup, on_delete=models.PROTECT, related_name="removal")
    reason = models.TextField()
    removed_by = models.CharField(max_length=255)
    removed_at = models.DateTimeField()
    freed_bytes = models.BigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"Removal of backup {self.backup_id}"
