"""What happened, and who has been told."""

from typing import ClassVar

from django.db import models

from sysops.events.rules import State


class Event(models.Model):
    """Something that happened, stored in the transaction that made it so."""

    name = models.CharField(max_length=100)
    subject = models.CharField(max_length=200)
    at = models.DateTimeField()
    data = models.JSONField(default=dict)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["name", "-id"], name="events_event_name"),
            models.Index(fields=["at"], name="events_event_at"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.subject}"


class Delivery(models.Model):
    """One event for one subscriber. `attempt` is also the fence: a worker may only write for its own attempt."""

    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="deliveries")
    subscriber = models.CharField(max_length=100)
    state = models.CharField(
        max_length=10, choices=[(state.value, state.value.title()) for state in State], default=State.PENDING.value
    )
    attempt = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    leased_until = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        verbose_name_plural = "deliveries"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["event", "subscriber"], name="events_delivery_once_per_subscriber"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["subscriber", "id"],
                condition=models.Q(state=State.PENDING.value),
                name="events_delivery_pending",
            ),
            models.Index(
                fields=["due_at"],
                condition=models.Q(state=State.PENDING.value),
                name="events_delivery_due",
            ),
            models.Index(fields=["state", "finished_at"], name="events_delivery_finished"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.subscriber}"
