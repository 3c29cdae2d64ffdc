"""Windows, what they affect, what is told of them, and the constraints that no race can pass."""

import uuid
from collections.abc import Iterable

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.utils import timezone

from catalogue.models import Service
from maintenance.rules import GateState, NoticeKind, NoticeState, Status, Type, may_move


def _choices(values: Iterable[str]) -> list[tuple[str, str]]:
    return [(str(value), str(value).replace("_", " ").capitalize()) for value in values]


STATUSES = _choices(Status)
TYPES = _choices(Type)


class WrongState(Exception):
    """The window is not in the state this step starts from, or somebody else moved it first; `current` is its state."""

    def __init__(self, message: str, *, current: str) -> None:
        super().__init__(message)
        self.current = current


class Series(models.Model):
    """A rule by which windows are made ahead. Its times are wall-clock times of its zone."""

    slug = models.CharField(max_length=64, unique=True)
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="", max_length=10_000)
    rule = models.CharField(max_length=500, help_text="RFC 5545 RRULE, e.g. FREQ=WEEKLY;BYDAY=TU")
    time_zone = models.CharField(max_length=64, default="UTC")
    first_start = models.DateTimeField(help_text="The first occurrence; its wall-clock time is that of all others")
    duration_seconds = models.PositiveIntegerField(help_text="By the wall clock: 03:00–05:00 stays 03:00–05:00")
    services = models.ManyToManyField(Service, through="SeriesService", related_name="maintenance_series")
    starts_itself = models.BooleanField(default=True)
    completes_itself = models.BooleanField(default=True)
    maintenance_mode = models.BooleanField(default=True)
    gates = models.JSONField(default=list, blank=True, help_text='[{"gate": …, "settings": {…}, "prepare": true}]')
    made_until = models.DateTimeField(null=True, blank=True, editable=False, help_text="Occurrences exist up to here")
    ended_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.CharField(max_length=255, editable=False)

    class Meta:
        ordering = ["-created_at", "-pk"]
        verbose_name_plural = "series"

    def __str__(self) -> str:
        return self.title


class SeriesService(models.Model):
    """One service that a series works on. It cannot be deleted: the next windows would work on less, or on nothing."""

    series = models.ForeignKey(Series, on_delete=models.CASCADE)
    service = models.ForeignKey(Service, on_delete=models.PROTECT)

    class Meta:
        db_table = "maintenance_series_services"
        ordering = ["pk"]
        verbose_name = "maintenance series"
        constraints = [
            models.UniqueConstraint(fields=["series", "service"], name="maintenance_series_service_once"),
        ]

    def __str__(self) -> str:
        return str(self.series)


class SeriesNote(models.Model):
    """An occurrence not made, or not as the rule says: skipped, in conflict, or at a time that does not exist."""

    series = models.ForeignKey(Series, on_delete=models.CASCADE, related_name="notes")
    occurrence = models.DateTimeField(help_text="The start the rule names")
    skipped = models.BooleanField(default=False)
    reason = models.CharField(max_length=500)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-occurrence", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["series", "occurrence"], name="maintenance_series_note_once"),
        ]

    def __str__(self) -> str:
        return f"{self.series} {self.occurrence:%Y-%m-%d %H:%M}: {self.reason}"


class Window(models.Model):
    """A span of time in which services are worked on."""

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False, help_text="Its id in calendars")
    sequence = models.PositiveIntegerField(default=0, editable=False, help_text="Grows with each change in calendars")
    maintenance_type = models.CharField(max_length=16, choices=TYPES, default=Type.PLANNED.value)
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="", max_length=10_000)
    status = models.CharField(max_length=16, choices=STATUSES, default=Status.SCHEDULED.value, editable=False)
    time_zone = models.CharField(max_length=64, default="UTC", help_text="Outsiders read its times in this zone")
    scheduled_start = models.DateTimeField()
    estimated_duration_seconds = models.PositiveIntegerField()
    scheduled_end = models.DateTimeField(help_text="Start and estimated duration together")
    planned_start = models.DateTimeField(help_text="As first scheduled, for the report")
    planned_duration_seconds = models.PositiveIntegerField(help_text="As first scheduled, for the report")
    actual_start = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    cancel_reason = models.CharField(max_length=500, blank=True, default="")
    overrunning_since = models.DateTimeField(null=True, blank=True)
    starts_itself = models.BooleanField(default=False, help_text="At its start, without anybody")
    completes_itself = models.BooleanField(default=False, help_text="At its estimated end, without anybody")
    maintenance_mode = models.BooleanField(
        default=True, help_text="While it runs, proxies of the services worked on are told to turn users away"
    )
    start_asked_at = models.DateTimeField(
        null=True, blank=True, help_text="A start was asked for and waits for a gate that prepares"
    )
    start_asked_by = models.CharField(max_length=255, blank=True, default="")
    start_refused_because = models.CharField(max_length=1000, blank=True, default="")
    series = models.ForeignKey(Series, on_delete=models.PROTECT, null=True, blank=True, related_name="windows")
    occurrence = models.DateTimeField(null=True, blank=True, help_text="The start the series' rule names")
    behind_series = models.BooleanField(
        default=False, editable=False, help_text="Its series has changed or ended, and the window has yet to follow"
    )
    note = models.CharField(max_length=500, blank=True, default="", help_text="E.g. that its local time does not exist")
    report = models.JSONField(null=True, blank=True, editable=False, help_text="Frozen at completion")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.CharField(max_length=255, editable=False)
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-scheduled_start", "-pk"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=[status.value for status in Status]),
                name="maintenance_window_status_known",
            ),
            models.CheckConstraint(
                condition=models.Q(scheduled_end__gt=models.F("scheduled_start")),
                name="maintenance_window_ends_after_start",
            ),
            models.UniqueConstraint(
                fields=["series", "occurrence"],
                condition=models.Q(series__isnull=False),
                name="maintenance_window_occurrence_once",
            ),
        ]
        indexes = [
            models.Index(fields=["scheduled_start", "id"], name="maintenance_window_start"),
            models.Index(fields=["scheduled_end"], name="maintenance_window_end"),
            models.Index(fields=["status", "scheduled_start", "id"], name="maintenance_window_status"),
            models.Index(fields=["-created_at", "-id"], name="maintenance_window_created"),
            models.Index(fields=["series"], condition=models.Q(behind_series=True), name="maintenance_window_behind"),
            models.Index(
                fields=["scheduled_start"],
                condition=models.Q(start_asked_at__isnull=False),
                name="maintenance_window_asked",
            ),
            models.Index(
                fields=["id"],
                condition=models.Q(status=Status.COMPLETED.value, report__isnull=True),
                name="maintenance_window_unreported",
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def overrunning(self) -> bool:
        return self.status == Status.IN_PROGRESS and self.overrunning_since is not None

    def move(self, new: Status, **changes: object) -> None:
        """Compare-and-set: the UPDATE names the state we read, so one of two wins. Raises WrongState."""
        old = Status(self.status)
        if not may_move(old, new):
            raise WrongState(
                f"Window {self.pk} is {old.value.replace('_', ' ')}; it cannot become {new.value.replace('_', ' ')}.",
                current=old,
            )
        changes["status"] = new.value
        if Window.objects.filter(pk=self.pk, status=old.value).update(**changes) != 1:
            current = Window.objects.values_list("status", flat=True).get(pk=self.pk)
            raise WrongState(f"Window {self.pk} was moved by somebody else; it is {current} now.", current=current)
        for name, value in changes.items():
            setattr(self, name, value)


class WindowService(models.Model):
    """One service of a window: worked on itself (`direct`), or affected because it stands on one that is.

    While `holds`, the database lets nobody else work on the service, nor on what it stands on, in `period`. Two
    windows that merely reach the same service from two sides are no conflict. Emergency windows never hold.
    """

    window = models.ForeignKey(Window, on_delete=models.CASCADE, related_name="affected")
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="windows")
    direct = models.BooleanField()
    holds = models.BooleanField()
    period = DateTimeRangeField()
    state_before = models.CharField(max_length=16, blank=True, default="", help_text="How it was when the window began")

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["window", "service"], name="maintenance_window_service_once"),
            ExclusionConstraint(
                name="maintenance_one_window_works_on_a_service",
                expressions=[("service", RangeOperators.EQUAL), ("period", RangeOperators.OVERLAPS)],
                condition=models.Q(holds=True, direct=True),
            ),
            ExclusionConstraint(
                name="maintenance_no_window_below_another",
                expressions=[
                    ("service", RangeOperators.EQUAL),
                    ("period", RangeOperators.OVERLAPS),
                    ("direct", RangeOperators.NOT_EQUAL),
                ],
                condition=models.Q(holds=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.service} in {self.window}"


class Update(models.Model):
    """Something that was said while a window ran, or before."""

    window = models.ForeignKey(Window, on_delete=models.CASCADE, related_name="updates")
    message = models.TextField(max_length=5_000)
    author = models.CharField(max_length=255)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.message[:80]


class Notice(models.Model):
    """Something people are to be told of a window, at a time. `mark` tells two of one kind apart (an update's id)."""

    window = models.ForeignKey(Window, on_delete=models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=20, choices=_choices(NoticeKind))
    mark = models.CharField(max_length=40, blank=True, default="")
    due_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=_choices(NoticeState), default=NoticeState.WAITING.value)
    reason = models.CharField(max_length=300, blank=True, default="", help_text="Why it was dropped")
    settled_at = models.DateTimeField(null=True, blank=True)
    facts = models.JSONField(default=dict, help_text="What was so when it was made, e.g. the times before a reschedule")

    class Meta:
        ordering = ["due_at", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["window", "kind", "mark"], name="maintenance_notice_once"),
        ]
        indexes = [
            models.Index(
                fields=["due_at", "id"],
                condition=models.Q(state=NoticeState.WAITING.value),
                name="maintenance_notice_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.window}"


class WindowGate(models.Model):
    """A gate of a window: asked before its start, by the name it is registered under."""

    window = models.ForeignKey(Window, on_delete=models.CASCADE, related_name="gates")
    gate = models.CharField(max_length=60)
    settings = models.JSONField(default=dict, blank=True)
    prepare = models.BooleanField(default=False, help_text="It may do what opens it, such as take a backup first")
    state = models.CharField(max_length=12, choices=_choices(GateState), default=GateState.UNASKED.value)
    reason = models.CharField(max_length=1000, blank=True, default="")
    facts = models.JSONField(default=dict)
    asked_at = models.DateTimeField(null=True, blank=True)
    preparing_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["window", "gate"], name="maintenance_gate_once")]

    def __str__(self) -> str:
        return f"{self.gate} of {self.window}"
