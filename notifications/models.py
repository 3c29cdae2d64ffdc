"""Channels and routes (what may be configured), messages and deliveries (what was said to whom)."""

import uuid
from collections.abc import Iterable

from django.db import models
from django.utils import timezone

from catalogue.models import Person, Team
from notifications.rules import DeliveryState, Level


def _choices(values: Iterable[str]) -> list[tuple[str, str]]:
    return [(str(value), str(value).capitalize()) for value in values]


class Channel(models.Model):
    """A configured way to reach people or a place: a mail server, a chat room, a webhook.

    A driver either needs an address per person (e-mail, SMS) or leads to one place named in its settings.
    """

    slug = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    driver = models.CharField(max_length=60)
    settings = models.JSONField(default=dict, blank=True)
    sealed_settings = models.TextField(blank=True, default="", editable=False)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # Its health. A channel that fails as a whole rests; its deliveries wait and burn no attempts.
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False, help_text="As a whole, one after the other")
    resting_until = models.DateTimeField(null=True, blank=True, editable=False)
    told_broken_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.TextField(blank=True, default="", editable=False)
    last_sent_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name

    @property
    def refuses(self) -> bool:
        """Whether it answers and takes nothing: what is sent is given up. Otherwise a failing one is not reached."""
        return self.failing_since is not None and self.failures == 0


class Route(models.Model):
    """Messages of a level go through a channel. A team with routes of its own for a level does not use the default."""

    level = models.CharField(max_length=10, choices=_choices(Level))
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, blank=True, related_name="routes")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="routes")

    class Meta:
        ordering = ["level", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["level", "team", "channel"], nulls_distinct=False, name="notifications_route_once"
            ),
            models.CheckConstraint(
                condition=models.Q(level__in=[level.value for level in Level]), name="notifications_route_level_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.level} of {self.team or 'every team'} through {self.channel}"


class MessageTemplate(models.Model):
    """The words of one kind of message, changed by this installation; without a row the shipped words are used."""

    kind = models.CharField(max_length=100, unique=True)
    subject = models.CharField(max_length=300)
    text = models.TextField()
    html = models.TextField()
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["kind"]

    def __str__(self) -> str:
        return self.kind


class Message(models.Model):
    """One thing to tell, posted in the transaction that made it true. `key` is what it can be told of only once."""

    key = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=100, help_text="Which template")
    thread = models.CharField(max_length=100, blank=True, default="", help_text="What it is about, e.g. window:12")
    level = models.CharField(max_length=10, choices=_choices(Level))
    urgent = models.BooleanField(default=False, help_text="Quiet hours do not hold it back")
    context = models.JSONField(default=dict, help_text="What the template says; times as RFC 3339")
    audience = models.JSONField(default=dict)
    posted_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Not true any more after this")
    expired_because = models.CharField(max_length=300, blank=True, default="")
    fanned_out_at = models.DateTimeField(null=True, blank=True)
    recipients = models.PositiveIntegerField(null=True, blank=True, help_text="Deliveries made at the fan-out")

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["id"], condition=models.Q(fanned_out_at=None), name="notifications_message_waiting"),
            models.Index(fields=["thread", "-id"], name="notifications_message_thread"),
            models.Index(fields=["posted_at"], name="notifications_message_posted"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class Delivery(models.Model):
    """One message for one address through one channel. `attempt` is also the fence of who sends it."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, help_text="Message-ID or webhook-id; never changes")
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="deliveries")
    person = models.ForeignKey(Person, on_delete=models.SET_NULL, null=True, blank=True, related_name="deliveries")
    outside = models.BooleanField(default=False, help_text="A subscriber from outside, who can unsubscribe by link")
    name = models.CharField(max_length=200, blank=True, default="")
    address = models.CharField(max_length=254, blank=True, default="", help_text="Blank: the channel's own place")
    zone = models.CharField(max_length=64, default="UTC")
    fallback_of = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="fallbacks")
    state = models.CharField(max_length=10, choices=_choices(DeliveryState), default=DeliveryState.PENDING.value)
    attempt = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    first_tried_at = models.DateTimeField(null=True, blank=True, help_text="Begins the day it may wait for its channel")
    lease_until = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    provider_id = models.CharField(max_length=200, blank=True, default="", help_text="What the other side called it")
    error = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["message", "channel", "address"], name="notifications_delivery_once_per_address"
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=[state.value for state in DeliveryState]),
                name="notifications_delivery_state_known",
            ),
        ]
        indexes = [
            models.Index(
                fields=["channel", "due_at", "id"],
                condition=models.Q(state=DeliveryState.PENDING.value),
                name="notifications_delivery_due",
            ),
            models.Index(
                fields=["lease_until"],
                condition=models.Q(state=DeliveryState.SENDING.value),
                name="notifications_delivery_leased",
            ),
            models.Index(fields=["state", "-id"], name="notifications_delivery_state"),
        ]

    def __str__(self) -> str:
        return f"{self.message} to {self.name or self.address or self.channel}"
