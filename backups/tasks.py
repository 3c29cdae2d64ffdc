"""Celery's door into backups: parse the message, call one service, set the limits.

Whether to try again is decided by rows (backups.rules) and waited for in rows; so no task retries itself.
"""

import random
from datetime import timedelta

from celery import shared_task

from backups import alerts
from backups.services import cadence, recovery, restores, retention, runs, verifications
from backups.workshop import here
from celeryconfig import LONGEST_TASK_SECONDS
from sysops.events import wake
from sysops.kernel.clock import utc_now

SLOT_RECORDS_KEPT = timedelta(days=90)
REREAD_RECORDS_KEPT = timedelta(days=30)


@shared_task(name="backups.take", time_limit=LONGEST_TASK_SECONDS)
def take(*, subject: str, **_: object) -> None:
    """Take the queued backup `subject`."""
    runs.execute_backup(backup_id=int(subject), workshop=here())


@shared_task(name="backups.verify", time_limit=LONGEST_TASK_SECONDS)
def verify(*, subject: str, **_: object) -> None:
    """Work on the pending verification `subject`; after a re-read, on the next ones for a while."""
    verifications.work_on(int(subject), workshop=here())


@shared_task(name="backups.restore", time_limit=LONGEST_TASK_SECONDS)
def restore(*, subject: str, **_: object) -> None:
    """Work on the queued restore `subject`."""
    restores.execute_restore(restore_id=int(subject), workshop=here())


@shared_task(name="backups.stop_server", time_limit=300)
def stop_server(*, subject: str, **_: object) -> None:
    """Stop the server that the restore `subject` left running."""
    restores.execute_stop(restore_id=int(subject), workshop=here())


@shared_task(name="backups.request_due", time_limit=120)
def request_due(**_: object) -> None:
    """Queue what is due by now; any number of these at once do the work once."""
    cadence.request_due(at=utc_now())


@shared_task(name="backups.sweep", time_limit=120)
def sweep(**_: object) -> None:
    """Take back what dead workers held; publish again for what waits."""
    recovery.sweep(workshop=here(), wake=wake)


@shared_task(name="backups.pick_up", time_limit=3600)
def pick_up(**_: object) -> None:
    """Clear up behind workers that died, and bring their backups on their way again."""
    recovery.pick_up(workshop=here())


@shared_task(name="backups.watch_rpo", time_limit=120)
def watch_rpo(**_: object) -> None:
    """Raise and end the alerts of sources past their RPO."""
    alerts.settle_rpo(now=utc_now())


@shared_task(name="backups.queue_rereads", time_limit=300)
def queue_rereads(**_: object) -> None:
    """Queue the daily re-read of every stored backup."""
    verifications.queue_rereads(at=utc_now())


@shared_task(name="backups.queue_restore_tests", time_limit=300)
def queue_restore_tests(**_: object) -> None:
    """Queue the day's random restore tests."""
    verifications.queue_restore_tests(at=utc_now(), chance=random.SystemRandom())


@shared_task(name="backups.apply_retention", time_limit=3600)
def apply_retention(**_: object) -> None:
    """Remove what is past its retention."""
    retention.apply(workshop=here())


@shared_task(name="backups.clean_up", time_limit=3600)
def clean_up(**_: object) -> None:
    """Remove files nobody stands behind and records past their time."""
    recovery.sweep_files(workshop=here())
    now = utc_now()
    cadence.slots_before(now - SLOT_RECORDS_KEPT)
    recovery.finished_before(now - REREAD_RECORDS_KEPT)
