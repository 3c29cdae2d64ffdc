"""Events and what is counted of them. Rows of all these are written in bulk by the digest."""

from django.db import models
from django.db.models.functions import Upper

from errors.models.issues import Grouping
from errors.models.projects import Project


class Event(models.Model):
    """One occurrence. The table is partitioned by the week of `received_at` (errors.partitions).

    `(project, event_id)` is unique within each partition; the digest looks through all of them before it stores.
    Always ask with the project or the grouping: two projects may use the same event id.
    """

    event_id = models.UUIDField(primary_key=True)
    project = models.ForeignKey(Project, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    grouping = models.ForeignKey(Grouping, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    received_at = models.DateTimeField()
    occurred_at = models.DateTimeField()
    level = models.CharField(max_length=16)
    release = models.CharField(max_length=250, blank=True, default="")
    environment = models.CharField(max_length=64, blank=True, default="")
    payload = models.BinaryField(help_text="The normalised, scrubbed event: JSON, compressed with zstd")

    class Meta:
        ordering = ["-received_at", "-event_id"]

    def __str__(self) -> str:
        return self.event_id.hex


class HourCount(models.Model):
    """Events of a grouping in an hour."""

    grouping = models.ForeignKey(Grouping, on_delete=models.CASCADE, related_name="hours")
    hour = models.DateTimeField()
    quantity = models.PositiveBigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["grouping", "hour"], name="errors_hour_once")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h: {self.quantity}"


class TagKey(models.Model):
    """A tag that a grouping's events carry, and how much of it is listed: floods of values are only counted."""

    grouping = models.ForeignKey(Grouping, on_delete=models.CASCADE, related_name="tag_keys")
    key = models.CharField(max_length=64)
    values_kept = models.PositiveIntegerField(default=0)
    other = models.PositiveBigIntegerField(default=0, help_text="Events whose value is not listed")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["grouping", "key"], name="errors_tagkey_once")]
        indexes = [models.Index(Upper("key"), name="errors_tagkey_alike")]

    def __str__(self) -> str:
        return self.key


class TagValue(models.Model):
    """How many events of a grouping carry a value of a tag."""

    grouping = models.ForeignKey(Grouping, on_delete=models.CASCADE, related_name="tags")
    key = models.CharField(max_length=64)
    value = models.CharField(max_length=250)
    quantity = models.PositiveBigIntegerField()
    last_seen = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["grouping", "key", "value"], name="errors_tagvalue_once")]
        indexes = [models.Index(fields=["key", "value", "grouping"], name="errors_tagvalue_search")]

    def __str__(self) -> str:
        return f"{self.key}:{self.value}"
