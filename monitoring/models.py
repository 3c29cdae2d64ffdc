"""What workers and web processes write about themselves so that others can see them."""

from django.db import models


class WorkerSighting(models.Model):
    """One Celery worker, as it last made itself known (about every ten seconds)."""

    name = models.CharField(max_length=255, unique=True)
    host = models.CharField(max_length=253)
    pid = models.PositiveIntegerField()
    queues = models.JSONField(default=list)
    active_count = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True, blank=True, help_text="When it said good-bye; empty while it runs.")

    class Meta:
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name


class RequestMinute(models.Model):
    """The API requests one web process answered in one minute. `buckets` can be added up over rows."""

    minute = models.DateTimeField()
    process = models.CharField(max_length=300)
    count = models.PositiveIntegerField()
    errors = models.PositiveIntegerField()
    buckets = models.JSONField(default=dict)

    class Meta:
        ordering = ["minute", "pk"]
        constraints = [models.UniqueConstraint(fields=["minute", "process"], name="monitoring_request_minute_once")]

    def __str__(self) -> str:
        return f"{self.count} requests at {self.minute:%H:%M}"


class ResourceSample(models.Model):
    """What one machine had in use in one minute; `disk` is the file system of the data folder."""

    host = models.CharField(max_length=253)
    minute = models.DateTimeField()
    cpu_percent = models.FloatField()
    memory_used_bytes = models.BigIntegerField()
    memory_total_bytes = models.BigIntegerField()
    disk_used_bytes = models.BigIntegerField()
    disk_total_bytes = models.BigIntegerField()

    class Meta:
        ordering = ["minute", "pk"]
        constraints = [models.UniqueConstraint(fields=["host", "minute"], name="monitoring_resource_sample_once")]

    def __str__(self) -> str:
        return f"{self.host} at {self.minute:%H:%M}"
