"""Celery's door into errors: call one service, set the limits. What waits is rows; so no task retries itself."""

from celery import shared_task

from errors.services import digesting, projects, retention, spooling, ticking
from sysops.events import wake
from sysops.kernel.clock import utc_now

DIGEST_FOR = 8.0  # seconds at a time: a worker that is told to stop has ten
DIGEST_LIMIT = 120  # a report that keeps its worker busy for longer counts as one that kills it


@shared_task(name="intake.digest", time_limit=DIGEST_LIMIT)
def digest(**_: object) -> None:
    """Digest reports for a while; wake the next one when that was not all."""
    done = digesting.digest(now=utc_now, seconds=DIGEST_FOR)
    # None done means that somebody else is at it, who looks again after the end: two would only wake each other.
    if done and digesting.reports_wait():
        spooling.wake_digest()


@shared_task(name="intake.sweep", time_limit=60)
def sweep(**_: object) -> None:
    """Wake a digest for reports whose wake-up call was lost."""
    if digesting.reports_wait():
        spooling.wake_digest()


@shared_task(name="errors.apply_retention", time_limit=1_800)
def apply_retention(**_: object) -> None:
    """Remove what is too old or too much."""
    retention.apply_retention(now=utc_now)


@shared_task(name="errors.tick", time_limit=120)
def tick(**_: object) -> None:
    """Tell what is due by now: deadlines, ignored issues whose time is over, and what was held for later."""
    ticking.tick(now=utc_now)


@shared_task(name="errors.remove_projects", time_limit=300)
def remove_projects(**_: object) -> None:
    """Remove what is left of deleted projects, for a while; wake the next one when that was not all."""
    if projects.remove_deleted(now=utc_now):
        wake("errors.remove_projects", expires=60.0)
