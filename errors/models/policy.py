"""What people decide once: how bad what is, how fast somebody must respond, and who."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from catalogue.models import Person, Service, Team
from errors.models.projects import Project, choices
from errors.rules import Severity


class SeverityLevel(models.Model):
    """What a severity means and how fast somebody must respond to it (SPEC E5, E6)."""

    severity = models.CharField(max_length=16, primary_key=True, choices=choices(Severity))
    meaning = models.TextField(max_length=1_000)
    respond_within_seconds = models.PositiveIntegerField(help_text="0 is at once: it is due when it is seen.")
    near_percent = models.PositiveSmallIntegerField(
        default=80,
        validators=[MinValueValidator(1), MaxValueValidator(99)],
        help_text="After this share of the time its deadline counts as near.",
    )

    class Meta:
        ordering = ["respond_within_seconds", "severity"]

    def __str__(self) -> str:
        return self.severity


class SeverityRule(models.Model):
    """When an issue is of which severity. The worst one that holds counts; of equal ones the first by position."""

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    position = models.PositiveSmallIntegerField(default=100)
    severity = models.CharField(max_length=16, choices=choices(Severity))
    enabled = models.BooleanField(default=True)
    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, null=True, blank=True, related_name="severity_rules", help_text="Blank: all"
    )
    conditions = models.JSONField(
        default=dict,
        blank=True,
        help_text='All must hold: {"level": ["fatal"], "error_type": "Timeout*", "message": "*disk full*", '
        '"service": ["shop"], "tag": {"area": "payment"}, "accounts_at_least": 2, '
        '"events_at_least": 100, "within_minutes": 60}',
    )

    class Meta:
        ordering = ["position", "slug"]

    def __str__(self) -> str:
        return self.name


class AssignmentRule(models.Model):
    """Who gets a new issue. The first that fits by position; else the on-call person of the owner team (SPEC E8)."""

    name = models.CharField(max_length=200)
    position = models.PositiveSmallIntegerField(default=100)
    enabled = models.BooleanField(default=True)
    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, null=True, blank=True, related_name="assignment_rules"
    )
    service = models.ForeignKey(Service, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    path = models.CharField(
        max_length=300, blank=True, default="", help_text="A pattern for files of the stack trace: shop/payment/*"
    )
    tag_key = models.CharField(max_length=64, blank=True, default="")
    tag_value = models.CharField(max_length=200, blank=True, default="", help_text="A pattern: eu-*")
    person = models.ForeignKey(Person, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    team = models.ForeignKey(
        Team, on_delete=models.CASCADE, null=True, blank=True, related_name="+", help_text="Its on-call person"
    )

    class Meta:
        ordering = ["position", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(person__isnull=False) ^ models.Q(team__isnull=False),
                name="errors_assignment_to_one",
                violation_error_message="Name either a person or a team.",
            ),
        ]

    def __str__(self) -> str:
        return self.name
