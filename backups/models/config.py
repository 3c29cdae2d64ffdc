"""What is backed up, how, when and to where."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django_celery_beat.models import PeriodicTask

from backups.rules import BackupType, WhenBusy

DAY = 86_400


class Store(models.Model):
    """A place where finished backups lie."""

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=200)
    driver = models.CharField(max_length=60)
    settings = models.JSONField(default=dict, blank=True)
    sealed_settings = models.TextField(blank=True, editable=False)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name


class Policy(models.Model):
    """How sources are backed up: where to, how often, how long kept, how proven."""

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=200)
    store = models.ForeignKey(Store, on_delete=models.PROTECT, related_name="policies")
    max_attempts = models.PositiveSmallIntegerField(
        default=5,
        validators=[MinValueValidator(1), MaxValueValidator(20)],
        help_text="Tries before a backup has failed",
    )
    time_limit_seconds = models.PositiveIntegerField(
        default=6 * 3600, validators=[MinValueValidator(60), MaxValueValidator(23 * 3600)], help_text="Per try"
    )
    when_busy = models.CharField(
        max_length=10,
        choices=[(w.value, w.value) for w in WhenBusy],
        default=WhenBusy.REFUSE.value,
        help_text="What a second request gets while a backup of the source is queued or running",
    )
    online_days = models.PositiveIntegerField(
        default=30, validators=[MinValueValidator(1)], help_text="Days a backup is kept"
    )
    rpo_seconds = models.PositiveIntegerField(
        default=3600, validators=[MinValueValidator(60)], help_text="Oldest the last good backup may be"
    )
    rto_seconds = models.PositiveIntegerField(
        default=4 * 3600, validators=[MinValueValidator(60)], help_text="Longest a restore may take"
    )
    daily_restore_tests = models.PositiveSmallIntegerField(
        default=1, help_text="Stored backups per source picked at random each day to be proven by a restore"
    )
    custom_checks = models.JSONField(
        default=list,
        blank=True,
        help_text=(
            "SQL run on the restored server, each to answer true: "
            '[{"name": "orders", "database": "shop", "sql": "SELECT count(*) > 0 FROM orders"}]'
        ),
    )

    class Meta:
        ordering = ["slug"]
        verbose_name_plural = "policies"

    def __str__(self) -> str:
        return self.name


class Cadence(models.Model):
    """One beat of a policy: a type of backup at the times of a django-celery-beat row.

    The row is the schedule; `next_due_at` is derived from it, and again within seconds of an edit.
    """

    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="cadences")
    label = models.CharField(max_length=80)
    backup_type = models.CharField(max_length=20, choices=[(t.value, t.value) for t in BackupType])
    keep_days = models.PositiveIntegerField(
        null=True, blank=True, help_text="Keep these backups longer than the policy's online days"
    )
    periodic_task = models.OneToOneField(PeriodicTask, on_delete=models.CASCADE, related_name="backup_cadence")
    seen_rule = models.CharField(max_length=600, blank=True, editable=False)
    next_due_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["policy", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["policy", "label"], name="backups_cadence_label_once_per_policy")
        ]
        indexes = [
            models.Index(
                fields=["next_due_at"], name="backups_cadence_due", condition=models.Q(next_due_at__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return f"{self.policy}: {self.label}"


class Source(models.Model):
    """Something that is backed up."""

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=200)
    engine = models.CharField(max_length=60)
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="sources")
    service = models.ForeignKey(
        "catalogue.Service", null=True, blank=True, on_delete=models.SET_NULL, related_name="backup_sources"
    )
    settings = models.JSONField(default=dict, blank=True)
    sealed_settings = models.TextField(blank=True, editable=False)
    enabled = models.BooleanField(default=True, help_text="Off: not backed up on schedule")
    created_at = models.DateTimeField()
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    failing_reason = models.TextField(blank=True, editable=False)
    failing_tries = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name
