"""Whether a report that comes through the API is taken: by the same limits as those that come by DSN."""

import threading
from datetime import datetime

from django.conf import settings
from django.db import connection

from errors.intake import room
from errors.intake.keys import Sender
from errors.intake.quotas import Quotas
from errors.models import Project
from errors.rules import Outcome
from errors.services import outcomes

ERROR = "error"  # the category of events
_quotas = Quotas()
_counting = threading.Lock()


class NotNow(Exception):
    """The report is not taken now; the message says why. Worth another try after `seconds`."""

    def __init__(self, message: str, *, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class TooMany(NotNow):
    """There are more reports than are taken."""


def admit(project: Project, *, at: datetime) -> None:
    """Count one report of the project. Raises NotNow, TooMany; then it is counted among the refused ones.

    The project's quota counts here by itself, in this process, beside what its keys send.
    """
    if room.no_room(settings.ENV.data_dir):
        raise NotNow("The disk is nearly full; reports are not taken.", seconds=room.RETRY_SECONDS)
    if _waiting() > room.MOST_WAITING:
        _refused(project, "backlog", at=at)
        raise TooMany("Too many reports wait to be digested.", seconds=room.RETRY_SECONDS)
    sender = Sender(0, project.pk, "", None, project.quota_per_minute, frozenset())
    with _counting:
        over = _quotas.take(sender, now=at.timestamp())
    if over is not None:
        _refused(project, "quota", at=at)
        raise TooMany("The project's quota of reports per minute is used up.", seconds=over.seconds)


def _refused(project: Project, reason: str, *, at: datetime) -> None:
    outcomes.count({(project.pk, at, ERROR, Outcome.RATE_LIMITED, reason): 1})


def _waiting() -> int:
    with connection.cursor() as cursor:
        cursor.execute(room.WAITING)
        (waiting,) = cursor.fetchone() or (0,)
    return int(waiting)
