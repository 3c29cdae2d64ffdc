"""Celery's door into the catalogue."""

from celery import shared_task

from catalogue.services import subscriptions
from sysops.kernel.clock import utc_now


@shared_task(name="catalogue.clean_up", time_limit=600)
def clean_up(**_: object) -> None:
    """Forget addresses that never confirmed, and those that were signed off."""
    subscriptions.clean_up(now=utc_now())
