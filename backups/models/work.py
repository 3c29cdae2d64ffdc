"""What is done with stored backups: verifications and restores."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from backups.models.moves import Leased
from backups.models.records import Backup
from backups.rules import RESTORE_MOVES, VERIFICATION_MOVES, RestoreStatus, Rung, VerificationStatus

VERIFICATION_STATUSES = [(s.value, s.value) for s in VerificationStatus]
RESTORE_STATUSES = [(s.value, s.value) for s in RestoreStatus]


class Verification(Leased):
    """One look at one stored backup: its files, its files again, or a restore into scratch (SPEC B10)."""

    MOVES = VERIFICATION_MOVES
    RUNNING: ClassVar[VerificationStatus] = VerificationStatus.RUNNING
    STATES = VerificationStatus

    backup = models.ForeignKey(Backup, on_delete=models.CASCADE, related_name="verifications")
    rung = models.CharField(max_length=10, choices=[(r.value, r.value) for r in Rung])
    status = models.CharField(
        max_length=20,
        choices=VERIFICATION_STATUSES,
        default=VerificationStatus.PENDING.value,
    )
    requested_by = models.CharField(max_length=255)
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    detail = models.TextField(blank=True)
    checks = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["backup", "rung"],
                condition=Q(status__in=[VerificationStatus.PENDING.value, VerificationStatus.RUNNING.value]),
                name="backups_one_verification_per_rung",
            )
        ]
        indexes = [
            models.Index(
                fields=["status", "not_before"],
                name="backups_verification_active",
                condition=Q(status__in=[VerificationStatus.PENDING.value, VerificationStatus.RUNNING.value]),
            ),
        ]

    def __str__(self) -> str:
        return f"Verification {self.pk} ({self.rung}) of backup {self.backup_id}"


class Restore(Leased):
    """A backup brought back to a new place (SPEC B11)."""

    MOVES = RESTORE_MOVES
    RUNNING: ClassVar[RestoreStatus] = RestoreStatus.RUNNING
    STATES = RestoreStatus

    backup = models.ForeignKey(Backup, on_delete=models.PROTECT, related_name="restores")
    status = models.CharField(max_length=12, choices=RESTORE_STATUSES, default=RestoreStatus.QUEUED.value)
    target = models.TextField(help_text="The new folder")
    start_server = models.BooleanField(default=False, help_text="Leave the restored server running")
    paths = models.JSONField(default=list, blank=True)
    requested_by = models.CharField(max_length=255)
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    failure_reason = models.TextField(blank=True)
    checks = models.JSONField(default=list, blank=True)
    connection = models.TextField(blank=True, help_text="How to connect to the running server")
    stop_requested_by = models.CharField(max_length=255, blank=True)
    stop_requested_at = models.DateTimeField(null=True, blank=True)
    stop_failure = models.TextField(blank=True, help_text="Why the server could not be stopped so far")
    server_stopped_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["target"],
                condition=Q(status__in=[RestoreStatus.QUEUED.value, RestoreStatus.RUNNING.value]),
                name="backups_one_restore_per_target",
            )
        ]
        indexes = [
            models.Index(
                fields=["status", "not_before"],
                name="backups_restore_active",
                condition=Q(status__in=[RestoreStatus.QUEUED.value, RestoreStatus.RUNNING.value]),
            ),
        ]

    def __str__(self) -> str:
        return f"Restore {self.pk} of backup {self.backup_id}"

    @property
    def server_runs(self) -> bool:
        """Whether it left a server that is not known to have stopped."""
        return bool(self.connection) and self.server_stopped_at is None
