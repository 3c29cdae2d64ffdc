"""API tokens, the audit log, and the anchor of the rights' permissions."""

from datetime import datetime, timedelta
from typing import ClassVar

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models

from sysops.access.actors import Actor
from sysops.access.roles import Role


class Right(models.Model):
    """No table: every declared right is a Permission of this content type, so that the admin shows it."""

    class Meta:
        managed = False
        default_permissions = ()


class ApiToken(models.Model):
    """A key for scripts and services. Only its SHA-256 is kept; the token itself was shown once."""

    name = models.CharField(max_length=100, help_text="What it is for; shown in the audit log.")
    prefix = models.CharField(max_length=20, editable=False)
    hash = models.CharField(max_length=64, unique=True, editable=False)
    role = models.CharField(max_length=20, choices=[(role.value, role.value.title()) for role in Role])
    owner = models.ForeignKey[User | None, User | None](
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="api_tokens",
        help_text="The token can do no more than this person, and ends with them.",
    )
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=200)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        verbose_name = "API token"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(role__in=[role.value for role in Role]), name="access_apitoken_role_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def usable(self, *, at: datetime) -> bool:
        """Neither revoked nor expired at that time."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)

    def used_recently(self, *, at: datetime, within: timedelta) -> bool:
        return self.last_used_at is not None and at - self.last_used_at < within


class AuditEntry(models.Model):
    """One change or sensitive access: who, what, before and after, from where. Chained to the one before by hash.

    Not managed: `flush` and the migration framework must not be able to empty or alter it. The migration that
    makes the table also makes the triggers that refuse every UPDATE, DELETE and TRUNCATE.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    action = models.CharField(max_length=100)
    actor = models.CharField(max_length=200)
    actor_kind = models.CharField(max_length=10)
    address = models.CharField(max_length=100)
    subject = models.CharField(max_length=200)
    label = models.CharField(max_length=200)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        managed = False
        db_table = "access_auditentry"
        ordering: ClassVar = ["-id"]
        verbose_name_plural = "audit log"

    def __str__(self) -> str:
        return f"{self.action} {self.subject} by {self.by}"

    @property
    def by(self) -> Actor:
        return Actor(self.actor, self.actor_kind, self.address or None)  # type: ignore[arg-type]
