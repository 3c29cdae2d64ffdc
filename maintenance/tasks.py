"""Celery's door into maintenance: parse the message, call one service, set the limits."""

from celery import shared_task

from maintenance.services import series, ticking
from sysops.access.actors import Actor
from sysops.kernel.clock import utc_now


@shared_task(name="maintenance.tick", time_limit=300)
def tick(**_: object) -> None:
    """Start, complete and tell what is due by now; any number of these at once do it once."""
    ticking.tick(now=utc_now)


@shared_task(name="maintenance.make_ahead", time_limit=300)
def make_ahead(**_: object) -> None:
    """Make the windows of series for the next 60 days; those that are there already are left alone."""
    series.make_ahead(now=utc_now, by=Actor.task("maintenance.make_ahead"))
