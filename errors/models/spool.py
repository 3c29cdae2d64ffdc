"""What was answered 200 and waits to be digested, and what could not be."""

from django.db import models

from errors.models.projects import Project, choices
from errors.rules import Kind


class Spool(models.Model):
    """One report as it came, committed before it was answered. Digested in the order of its ids, then gone.

    Without foreign keys: taking a report must not wait for anybody who works on its project.
    """

    project_id = models.BigIntegerField()
    key_id = models.BigIntegerField(null=True)
    received_at = models.DateTimeField()
    event_id = models.UUIDField(null=True, help_text="As answered; the digest keeps it")
    kind = models.CharField(max_length=16, choices=choices(Kind))
    encoding = models.CharField(max_length=8, help_text="How the body is packed: identity, gzip, deflate, br, zstd")
    remote = models.CharField(max_length=45, blank=True, default="", help_text="The sender's address")
    body = models.BinaryField()

    class Meta:
        ordering = ["pk"]
        verbose_name = "waiting report"

    def __str__(self) -> str:
        return f"{self.kind} of project {self.project_id}, {self.received_at:%Y-%m-%d %H:%M:%S}"


class DigestAttempt(models.Model):
    """The batch a digest works on, written before it begins: what a dead worker leaves behind.

    A report that kills its worker would be tried for ever; the count of attempts ends that.
    """

    lane = models.PositiveSmallIntegerField(primary_key=True)
    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    attempts = models.PositiveSmallIntegerField()
    started_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.first_id}–{self.last_id}, attempt {self.attempts}"


class Undigestible(models.Model):
    """A report that was taken and could not be made an event: kept as it came, with the reason.

    Of an envelope that is stored in part the rest is kept.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="undigestible")
    event_id = models.UUIDField(null=True)
    received_at = models.DateTimeField()
    failed_at = models.DateTimeField()
    kind = models.CharField(max_length=16, choices=choices(Kind))
    encoding = models.CharField(max_length=8)
    reason = models.TextField()
    body = models.BinaryField()

    class Meta:
        ordering = ["-pk"]
        verbose_name = "undigestible report"
        indexes = [models.Index(fields=["project", "-failed_at"], name="errors_undigestible_project")]

    def __str__(self) -> str:
        return self.reason[:100]
