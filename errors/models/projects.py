"""Who reports: projects, their keys, the releases they run, and what became of all they sent."""

from collections.abc import Iterable

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from catalogue.models import Environment, Service
from errors.rules import Outcome
from sysops.access.models import ApiToken


def choices(values: Iterable[str]) -> list[tuple[str, str]]:
    """Choices of a field, labelled by the values themselves."""
    return [(str(value), str(value).replace("_", " ").capitalize()) for value in values]


class Project(models.Model):
    """One application that reports errors. Its number is part of the DSN.

    Nothing of this app has a name on what lies outside it (`related_name="+"`): Django's lists can be filtered by any
    such name, and people of the catalogue by the number of an issue are who has an issue that one may not see.
    """

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    service = models.ForeignKey(
        Service,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="What it runs for: its owner team is told, and its maintenance holds alerts back.",
    )
    environment = models.ForeignKey(Environment, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    enabled = models.BooleanField(default=True, help_text="When off, nothing it sends is taken.")
    quota_per_minute = models.PositiveIntegerField(
        null=True, blank=True, help_text="Reports taken per minute over all its keys; blank is no limit."
    )
    retention_days = models.PositiveSmallIntegerField(
        default=90, validators=[MinValueValidator(1), MaxValueValidator(730)], help_text="Older events go."
    )
    events_per_issue = models.PositiveIntegerField(
        default=10_000, validators=[MinValueValidator(10)], help_text="Of an issue with more the oldest events go."
    )
    allowed_origins = models.JSONField(
        default=list, blank=True, help_text='Web pages that may report: ["https://shop.example"]. Empty: any page.'
    )
    scrub_fields = models.JSONField(
        default=list, blank=True, help_text="Names of fields to mask, besides those that are always masked."
    )
    scrub_personal_data = models.BooleanField(
        default=True, help_text="Mask e-mail addresses and drop IP addresses of accounts and visitors."
    )
    restricted = models.BooleanField(
        default=False, help_text="Only the readers named here, and admins, see its issues and events."
    )
    readers = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="+")
    reader_tokens = models.ManyToManyField(ApiToken, blank=True, related_name="+")
    deleted_at = models.DateTimeField(
        null=True, editable=False, help_text="Asked to be deleted: hidden at once, and removed bit by bit."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.CharField(max_length=255, editable=False)

    class Meta:
        ordering = ["slug"]
        verbose_name = "error project"

    def __str__(self) -> str:
        return self.name


class Key(models.Model):
    """What an SDK signs in with. It is public by nature: it stands in web pages, and allows reporting only."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="keys")
    public = models.CharField(max_length=32, unique=True, editable=False)
    label = models.CharField(max_length=100, blank=True, default="")
    enabled = models.BooleanField(default=True)
    quota_per_minute = models.PositiveIntegerField(
        null=True, blank=True, help_text="Reports taken per minute; blank is no limit."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.CharField(max_length=255, editable=False)

    class Meta:
        ordering = ["pk"]
        verbose_name = "DSN key"

    def __str__(self) -> str:
        return f"{self.project} {self.label or self.public[:8]}"


class Release(models.Model):
    """A version of a project's application that was seen."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="releases")
    version = models.CharField(max_length=250)
    first_seen = models.DateTimeField()

    class Meta:
        ordering = ["-first_seen", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["project", "version"], name="errors_release_once"),
        ]

    def __str__(self) -> str:
        return self.version


class OutcomeCount(models.Model):
    """How much of what a project sent in an hour became of it what."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="outcomes")
    hour = models.DateTimeField()
    category = models.CharField(max_length=40, help_text="error, transaction, session, attachment …")
    outcome = models.CharField(max_length=16, choices=choices(Outcome))
    reason = models.CharField(max_length=100, blank=True, default="")
    quantity = models.PositiveBigIntegerField()

    class Meta:
        ordering = ["-hour", "category", "outcome", "reason", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "hour", "category", "outcome", "reason"], name="errors_outcome_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.category} {self.outcome}"
