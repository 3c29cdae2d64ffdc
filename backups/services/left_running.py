"""Servers that restores left running: their records say so only while it is true."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from django.db.models import QuerySet

from backups.engines.base import EngineError
from backups.models import Restore
from backups.services import restores
from backups.workshop import NOT_SET_UP, Workshop

logger = logging.getLogger(__name__)

GONE = "Its server is gone: it was not stopped from here"
LOOK_AGAIN = timedelta(minutes=1)


def wake_look(*, wake: Callable[..., bool], at: datetime) -> None:
    """Have a worker that sees the servers look whether they still run, once a minute at most."""
    asked_for = {"stop_requested_at__gt": at - restores.STOP_TRIED_FOR}  # `wake_stops` sees to these
    due = _said_to_run().exclude(woken_at__gt=at - LOOK_AGAIN).exclude(**asked_for)
    pks = list(due.values_list("pk", flat=True))
    if pks and wake("backups.pick_up", expires=LOOK_AGAIN.total_seconds()):
        Restore.objects.filter(pk__in=pks).update(woken_at=at)


def settle(*, workshop: Workshop) -> int:
    """Record the end of every server that ran here and is gone; how many. One out of sight stays as it is."""
    here = _said_to_run().filter(host=workshop.host).select_related("backup")
    found = here.defer("backup__manifest", "backup__figures").order_by("pk")
    return sum(_settle(restore, workshop) for restore in found)


def _said_to_run() -> QuerySet[Restore]:
    return Restore.objects.filter(server_stopped_at=None).exclude(connection="")


def _settle(restore: Restore, workshop: Workshop) -> bool:
    target = Path(restore.target)
    if not target.parent.is_dir():
        return False  # the disk of the restores is not there: no word about what is on it
    try:
        if not workshop.engine(restore.backup.engine).server_is_gone(target, workshop.tools):
            return False
    except (EngineError, *NOT_SET_UP) as exc:
        logger.warning("%s: it cannot be told whether its server runs: %s", restore, exc)
        return False
    reason = "" if restore.stop_requested_at else GONE
    return restores.record_stopped(restore, at=workshop.now(), reason=reason)
