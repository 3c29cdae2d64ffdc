"""Celery's door into the outbox."""

from celery import shared_task
from django.utils import timezone

from sysops.events import services
from sysops.events.rules import TIME_LIMIT


@shared_task(name="events.relay", time_limit=int(TIME_LIMIT.total_seconds()))
def relay(**_: object) -> None:
    """Also called by beat every few seconds: a lost wake-up costs a delay, never an event."""
    services.relay(now=timezone.now)


@shared_task(name="events.clean_up", time_limit=600)
def clean_up(**_: object) -> None:
    services.clean_up(now=timezone.now)
