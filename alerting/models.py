"""What is wrong now and was: one row per thing from the moment it is noticed until it is over."""

from django.db import models

from catalogue.models import Service
from notifications.rules import Level


class Alert(models.Model):
    """One thing that is wrong. Open (no `resolved_at`) there is one per key; noticed again, it counts up.

    Noticed while its service is in maintenance it is held back: recorded, not sent. What is still wrong when the
    maintenance ends is sent then; what was cured inside it never is.
    """

    key = models.CharField(max_length=200, help_text="What it is about, e.g. backups.source:12")
    level = models.CharField(max_length=10, choices=[(level.value, level.value.capitalize()) for level in Level])
    title = models.CharField(max_length=300)
    detail = models.TextField(blank=True, default="")
    path = models.CharField(max_length=300, blank=True, default="", help_text="Where to look, below this server")
    service = models.ForeignKey(Service, on_delete=models.SET_NULL, null=True, blank=True, related_name="alerts")
    count = models.PositiveIntegerField(default=1)
    raised_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    held_back_at = models.DateTimeField(null=True, blank=True)
    held_back_by = models.CharField(max_length=500, blank=True, default="", help_text="The maintenance, in words")
    told_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["key"], condition=models.Q(resolved_at=None), name="alerting_alert_one_open_per_key"
            ),
        ]
        indexes = [
            models.Index(fields=["service", "raised_at"], name="alerting_alert_service"),
            models.Index(fields=["held_back_at"], condition=models.Q(resolved_at=None), name="alerting_alert_held"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def waits(self) -> bool:
        """Whether it is held back and nobody was told: that it began, or that it became worse since."""
        return self.held_back_at is not None and (self.told_at is None or self.told_at < self.held_back_at)

    @property
    def link(self) -> str:
        """Where to look, when that is a page of ours."""
        return self.path if self.path.startswith("/") and not self.path.startswith(("//", "/\\")) else ""
