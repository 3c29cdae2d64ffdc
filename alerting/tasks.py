"""Celery's door into alerting."""

from celery import shared_task

from alerting import services
from sysops.kernel.clock import utc_now


@shared_task(name="alerting.release_held", time_limit=120)
def release_held(**_: object) -> None:
    """Tell of what was held back by maintenance that is over and is still wrong."""
    services.release_held(now=utc_now)


@shared_task(name="alerting.clean_up", time_limit=3600)
def remove_old(**_: object) -> None:
    """Remove what has been over for two years."""
    services.clean_up(now=utc_now())
