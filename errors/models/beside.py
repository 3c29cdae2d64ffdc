"""What arrives beside events: check-ins, sessions, attachments, what users wrote."""

from django.db import models

from errors.models.projects import Project


class CheckIn(models.Model):
    """A job that reported itself: begun, done or failed. Heartbeats will be made from these."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="check_ins")
    check_in_id = models.UUIDField()
    monitor = models.CharField(max_length=100, help_text="The job's slug")
    status = models.CharField(max_length=16, help_text="in_progress, ok, error")
    environment = models.CharField(max_length=64, blank=True, default="")
    duration_seconds = models.FloatField(null=True, blank=True)
    monitor_config = models.JSONField(null=True, blank=True, help_text="The schedule the job says it keeps")
    received_at = models.DateTimeField()

    class Meta:
        ordering = ["-received_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["project", "check_in_id", "status"], name="errors_checkin_once"),
        ]
        indexes = [models.Index(fields=["project", "monitor", "-received_at"], name="errors_checkin_monitor")]

    def __str__(self) -> str:
        return f"{self.monitor}: {self.status}"


class SessionCount(models.Model):
    """Sessions of a release in an hour, by how they ended."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="sessions")
    hour = models.DateTimeField()
    release = models.CharField(max_length=250, blank=True, default="")
    environment = models.CharField(max_length=64, blank=True, default="")
    started = models.PositiveBigIntegerField(default=0)
    exited = models.PositiveBigIntegerField(default=0)
    errored = models.PositiveBigIntegerField(default=0)
    crashed = models.PositiveBigIntegerField(default=0)
    abnormal = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ["-hour", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["project", "hour", "release", "environment"], name="errors_sessions_once"),
        ]

    def __str__(self) -> str:
        return f"{self.release} {self.hour:%Y-%m-%d %H}h: {self.started}"


class Feedback(models.Model):
    """What somebody who met an error wrote about it."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="feedback")
    feedback_id = models.UUIDField()
    event_id = models.UUIDField(null=True, blank=True, help_text="The error it is about")
    name = models.CharField(max_length=200, blank=True, default="")
    email = models.CharField(max_length=254, blank=True, default="")
    message = models.TextField(max_length=10_000)
    url = models.CharField(max_length=1_000, blank=True, default="")
    received_at = models.DateTimeField()

    class Meta:
        ordering = ["-received_at", "-pk"]
        verbose_name_plural = "feedback"
        constraints = [models.UniqueConstraint(fields=["project", "feedback_id"], name="errors_feedback_once")]
        indexes = [models.Index(fields=["project", "event_id"], name="errors_feedback_event")]

    def __str__(self) -> str:
        return self.message[:100]


class Attachment(models.Model):
    """A file sent along with an event, at most 1 MiB; handed out as a download only."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="attachments")
    event_id = models.UUIDField()
    position = models.PositiveSmallIntegerField(help_text="Its place in the envelope")
    filename = models.CharField(max_length=255)
    content_type = models.CharField(max_length=100, blank=True, default="")
    size_bytes = models.PositiveIntegerField()
    body = models.BinaryField()
    received_at = models.DateTimeField()

    class Meta:
        ordering = ["-received_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["project", "event_id", "position"], name="errors_attachment_once"),
        ]

    def __str__(self) -> str:
        return self.filename
