"""Issues: alike errors as one thing to deal with."""

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Value
from django.db.models.functions import Concat, Lower

from catalogue.models import Person, Service
from errors.models.policy import SeverityRule
from errors.models.projects import Project, choices
from errors.rules import Activity, Severity, SeveritySource, Status, may_move

STATUSES = choices(Status)
SEVERITIES = choices(Severity)


class WrongState(Exception):
    """The issue is not in a state this step starts from, or somebody moved it first; `current` is its status."""

    def __init__(self, message: str, *, current: str) -> None:
        super().__init__(message)
        self.current = current


class Issue(models.Model):
    """A group of alike events, and what people do about it. Its events hang on its groupings."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="issues")
    service = models.ForeignKey(
        Service, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", help_text="Of its project"
    )
    error_type = models.CharField(max_length=200)
    error_message = models.TextField(help_text="Of the latest event, at most 2,000 characters")
    culprit = models.CharField(max_length=300, blank=True, default="", help_text="Where it happens")
    level = models.CharField(max_length=16, default="error", help_text="Of the latest event, as the SDK says")
    platform = models.CharField(max_length=32, blank=True, default="")
    environment = models.CharField(max_length=64, blank=True, default="", help_text="Of the latest event")
    first_release = models.CharField(max_length=250, blank=True, default="")
    last_release = models.CharField(max_length=250, blank=True, default="")

    status = models.CharField(max_length=16, choices=STATUSES, default=Status.UNRESOLVED.value, editable=False)
    severity = models.CharField(max_length=16, choices=SEVERITIES, editable=False)
    severity_source = models.CharField(
        max_length=8, choices=choices(SeveritySource), default=SeveritySource.RULE.value, editable=False
    )
    severity_rule = models.ForeignKey(SeverityRule, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    severity_because = models.CharField(max_length=300, blank=True, default="")

    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField(help_text="Not indexed: it changes with each batch, which must stay cheap")
    event_count = models.PositiveBigIntegerField(default=0)
    affected_accounts = models.PositiveIntegerField(default=0)
    accounts_exact = models.BooleanField(default=True, help_text="Off: estimated, within about 2 %")
    latest_event_id = models.UUIDField(null=True)
    latest_received_at = models.DateTimeField(null=True)
    headline_behind = models.BooleanField(default=False, editable=False, help_text="Not that of the latest event yet")

    assignee = models.ForeignKey(Person, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    assigned_at = models.DateTimeField(null=True, blank=True)
    assigned_because = models.CharField(max_length=300, blank=True, default="", help_text="Who or which rule did it")

    clock_started_at = models.DateTimeField(help_text="First seen, regressed or reopened: the SLA counts from here")
    respond_by = models.DateTimeField(null=True, blank=True)
    responded_at = models.DateTimeField(null=True, blank=True)
    responded_by = models.CharField(max_length=255, blank=True, default="")
    near_at = models.DateTimeField(null=True, blank=True, help_text="When the deadline counts as near")
    near_told_at = models.DateTimeField(null=True, blank=True)
    breached_at = models.DateTimeField(null=True, blank=True)

    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.CharField(max_length=255, blank=True, default="")
    resolve_note = models.TextField(blank=True, default="", max_length=2_000)
    resolved_in_release = models.CharField(max_length=250, blank=True, default="")
    resolved_in_next_release = models.BooleanField(default=False, help_text="In the one after resolved_in_release")
    regressed_at = models.DateTimeField(null=True, blank=True)
    regressions = models.PositiveIntegerField(default=0)

    ignored_at = models.DateTimeField(null=True, blank=True)
    ignored_by = models.CharField(max_length=255, blank=True, default="")
    ignored_until = models.DateTimeField(null=True, blank=True)
    ignored_until_events = models.PositiveBigIntegerField(null=True, blank=True, help_text="Its count of events then")
    ignored_until_accounts = models.PositiveIntegerField(null=True, blank=True, help_text="Its count of accounts then")

    search = models.GeneratedField(
        expression=Lower(
            Concat("error_type", Value(" "), "error_message", Value(" "), "culprit", output_field=models.TextField())
        ),
        output_field=models.TextField(),
        db_persist=True,
    )

    class Meta:
        ordering = ["-last_seen", "-pk"]
        indexes = [
            models.Index(fields=["project", "status", "severity"], name="errors_issue_project"),
            models.Index(
                fields=["respond_by"],
                condition=models.Q(responded_at=None, breached_at=None),
                name="errors_issue_sla",
            ),
            models.Index(
                fields=["ignored_until"], condition=models.Q(status=Status.IGNORED.value), name="errors_issue_ignored"
            ),
            models.Index(
                fields=["headline_behind"], condition=models.Q(headline_behind=True), name="errors_issue_behind"
            ),
            models.Index(fields=["assignee"], name="errors_issue_assignee"),
            models.Index(fields=["service", "-first_seen"], name="errors_issue_service"),
            GinIndex(fields=["search"], opclasses=["gin_trgm_ops"], name="errors_issue_search"),
        ]

    def __str__(self) -> str:
        return f"{self.error_type}: {self.error_message[:100]}" if self.error_message else self.error_type

    def move(self, new: Status, **changes: object) -> None:
        """Compare-and-set: the UPDATE names the status that was read, so one of two people wins.

        Raises WrongState when the step is not allowed from there, or somebody was first.
        """
        old = Status(self.status)
        if old is new:
            raise WrongState(f"The issue is {old} already", current=old)
        if not may_move(old, new):
            raise WrongState(f"The issue is {old}; it cannot become {new}", current=old)
        changes["status"] = new.value
        if Issue.objects.filter(pk=self.pk, status=old.value).update(**changes) != 1:
            self.refresh_from_db(fields=["status"])
            raise WrongState(f"The issue was moved by somebody else and is {self.status}", current=self.status)
        for name, value in changes.items():
            setattr(self, name, value)


class Grouping(models.Model):
    """One fingerprint of events. An issue has one or, after a merge, several; each can be split off again."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="groupings")
    issue = models.ForeignKey(Issue, on_delete=models.CASCADE, related_name="groupings")
    version = models.PositiveSmallIntegerField(help_text="Of the algorithm that made the hash")
    hash = models.BinaryField(max_length=16)
    label = models.CharField(max_length=300, help_text="What it was made from, in words")
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    event_count = models.PositiveBigIntegerField(default=0)
    events_kept = models.PositiveBigIntegerField(default=0, help_text="Stored events, for retention by count")
    account_count = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["project", "hash"], name="errors_grouping_once"),
        ]

    def __str__(self) -> str:
        return self.label


class Account(models.Model):
    """An account that met a grouping, as a hash; up to a bound, then AccountSketch takes over."""

    grouping = models.ForeignKey(Grouping, on_delete=models.CASCADE, related_name="accounts")
    hash = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["grouping", "hash"], name="errors_account_once")]

    def __str__(self) -> str:
        return f"{self.hash & (2**64 - 1):016x}"


class AccountSketch(models.Model):
    """A HyperLogLog of the accounts of a grouping that has too many to list."""

    grouping = models.OneToOneField(Grouping, on_delete=models.CASCADE, primary_key=True, related_name="sketch")
    registers = models.BinaryField()

    def __str__(self) -> str:
        return f"Accounts of {self.grouping}"


class ActivityEntry(models.Model):
    """One line of an issue's history: who did what when, or what somebody wrote."""

    issue = models.ForeignKey(Issue, on_delete=models.CASCADE, related_name="activity")
    kind = models.CharField(max_length=16, choices=choices(Activity))
    at = models.DateTimeField()
    by = models.CharField(max_length=255)
    text = models.TextField(blank=True, default="", max_length=10_000)
    data = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-at", "-pk"]
        verbose_name_plural = "activity"
        indexes = [models.Index(fields=["issue", "-at"], name="errors_activity_issue")]

    def __str__(self) -> str:
        return f"{self.kind} by {self.by}"


class Announcement(models.Model):
    """How far people were told of an issue, or of the new issues of a project, and when they hear more.

    Its key is "issue:12" or "project:3". The row is the promise: what is pending at `next_at` is told by the tick.
    """

    key = models.CharField(max_length=100, unique=True)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="announcements")
    issue = models.ForeignKey(Issue, on_delete=models.CASCADE, null=True, related_name="announcements")
    episode_at = models.DateTimeField(help_text="When this run of trouble began; quiet long enough, a new one starts")
    told_at = models.DateTimeField(null=True, blank=True)
    times_told = models.PositiveIntegerField(default=0)
    told_count = models.PositiveBigIntegerField(default=0, help_text="Events (issues) there were when last told")
    pending = models.PositiveBigIntegerField(default=0, help_text="Events (issues) since then")
    last_at = models.DateTimeField(help_text="When the latest of them came")
    next_at = models.DateTimeField(null=True, blank=True, help_text="When what is pending is told; none: nothing is")
    data = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["pk"]
        indexes = [
            models.Index(fields=["next_at"], condition=models.Q(next_at__isnull=False), name="errors_announce_due"),
        ]

    def __str__(self) -> str:
        return self.key
