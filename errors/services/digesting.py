"""Working off the spool: in batches, each of which is stored whole or not at all, with odd reports set apart.

What a batch holds is written down before it is begun. When its worker dies over it, the reports of that batch are
tried one by one; one that kills its worker alone twice is kept as undigestible. A database that is away counts
against nobody: the batch stays in the spool.
"""

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import psycopg.errors
from django.db import DatabaseError, InterfaceError, OperationalError, ProgrammingError, connection, transaction
from django.utils.crypto import salted_hmac

from errors.digest.terms import Settings
from errors.models import DigestAttempt, Project, Spool
from errors.rules import Outcome
from errors.services import raw, storing, unpacking
from errors.services.unpacking import Report, Waiting
from sysops.kernel.clock import Clock

logger = logging.getLogger(__name__)

LANES = 1  # how many may digest at the same time, each the reports of its own projects
BATCH = 500
BATCH_BYTES = 32 * 1024 * 1024  # of packed bodies; the first report of a batch may have more
DEATHS = 2  # of a report alone; then it is set apart
TRIES = 5  # of a transaction that another one got in the way of
_LOCK = 7_305_022  # advisory lock space: one digest per lane

_IN_THE_WAY = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)

_TAKE = """
SELECT id, project_id, received_at, event_id, kind, encoding, remote, body FROM (
    SELECT *, sum(octet_length(body)) OVER (ORDER BY id) - octet_length(body) AS before FROM (
        SELECT * FROM errors_spool
        WHERE id BETWEEN %(first)s AND %(last)s AND project_id %% %(lanes)s = %(lane)s
        ORDER BY id LIMIT %(limit)s
    ) AS oldest
) AS sized WHERE before < %(bytes)s ORDER BY id
"""


def digest(*, now: Clock, seconds: float = 20.0, lane: int = 0) -> int:
    """Work off the spool until it is empty or the time is up; how many reports that were.

    0 also when somebody else does it already. Raises what PostgreSQL raises when it is away; nothing is lost then.
    """
    stop = time.monotonic() + seconds
    with _alone(lane) as alone:
        if not alone:
            return 0
        done = _left_behind(lane, now=now)
        after = 0
        while time.monotonic() < stop:
            batch = _take(lane, first=after + 1)
            if batch:
                # Ids behind this one are looked at again at the end: a slow writer may have committed one since.
                after = batch[-1].id
                _work_off(batch, lane, attempt=1, now=now)
                done += len(batch)
            elif after:
                after = 0
            else:
                break
        DigestAttempt.objects.filter(lane=lane).delete()
    return done


def reports_wait() -> bool:
    """Whether there is anything in the spool."""
    return Spool.objects.order_by("pk").values_list("pk", flat=True).first() is not None


@contextmanager
def _alone(lane: int) -> Iterator[bool]:
    """Whether this is the only digest of its lane, for as long as the block lasts."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [_LOCK, lane])
        (alone,) = cursor.fetchone() or (False,)
    try:
        yield alone
    except (OperationalError, InterfaceError, ProgrammingError):
        connection.close_if_unusable_or_obsolete()  # a lost session has lost its lock with it
        if alone:
            _forget(lane)
        raise
    finally:
        if alone and connection.connection is not None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_LOCK, lane])


def _left_behind(lane: int, *, now: Clock) -> int:
    """Try what a dead worker held one by one; how many reports that were."""
    left = DigestAttempt.objects.filter(lane=lane).first()
    if left is None:
        return 0
    reports = _take(lane, first=left.first_id, last=left.last_id)
    was_alone = left.first_id == left.last_id
    if reports:
        logger.warning("A digest died over %d reports; they are tried one by one", len(reports))
    for report in reports:
        if was_alone and left.attempts >= DEATHS:
            _set_apart(report, "Its worker died each time it was digested.", now=now)
        else:
            _work_off([report], lane, attempt=left.attempts + 1 if was_alone else 1, now=now)
    return len(reports)


def _take(lane: int, *, first: int, last: int = 2**63 - 1) -> list[Waiting]:
    """The oldest reports of this range, as many as make a batch."""
    limits = {"first": first, "last": last, "lane": lane, "lanes": LANES, "limit": BATCH, "bytes": BATCH_BYTES}
    with raw.cursor() as cursor:
        cursor.execute(_TAKE, limits, binary=True)  # else bytes come as text, twice as long
        return [Waiting(*row) for row in cursor.fetchall()]


def _work_off(batch: Sequence[Waiting], lane: int, *, attempt: int, now: Clock) -> None:
    at = now()
    _begin(batch, lane, attempt=attempt, at=at)
    settings = _settings({waiting.project_id for waiting in batch})
    reports = [
        # What belongs to no project any more is not looked at; storing throws it away.
        unpacking.unpack(waiting, settings=settings[waiting.project_id])
        if waiting.project_id in settings
        else Report(waiting)
        for waiting in batch
    ]
    try:
        _store(reports, at=at)
    except (OperationalError, InterfaceError, ProgrammingError):
        raise  # the database is away or full, or its tables are not ours yet: no report's fault
    except Exception as exc:
        logger.exception("A batch of %d reports could not be stored", len(batch))
        if len(batch) == 1:
            _set_apart(batch[0], _refusal(exc), now=now)
            return
        for waiting in batch:
            _work_off([waiting], lane, attempt=1, now=now)


def _store(reports: Sequence[Report], *, at: datetime) -> None:
    for left in reversed(range(TRIES)):
        try:
            storing.store(reports, at=at)
            return
        except OperationalError as exc:
            if not left or not isinstance(exc.__cause__, _IN_THE_WAY):
                raise


def _set_apart(waiting: Waiting, reason: str, *, now: Clock) -> None:
    report = Report(waiting, problem=reason)
    report.outcomes[unpacking.ERROR, Outcome.UNDIGESTIBLE, ""] += 1
    _store([report], at=now())


def _refusal(exc: Exception) -> str:
    if isinstance(exc, DatabaseError):
        return f"PostgreSQL refused it: {str(exc).splitlines()[0]}"
    return unpacking.unexpected(exc)


def _begin(batch: Sequence[Waiting], lane: int, *, attempt: int, at: datetime) -> None:
    """Write down what is begun, for whoever finds it when this process died. It need not survive PostgreSQL itself."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(
            "INSERT INTO errors_digestattempt (lane, first_id, last_id, attempts, started_at) "
            "VALUES (%s, %s, %s, %s, %s) ON CONFLICT (lane) DO UPDATE SET first_id = excluded.first_id, "
            "last_id = excluded.last_id, attempts = excluded.attempts, started_at = excluded.started_at",
            [lane, batch[0].id, batch[-1].id, attempt, at],
        )


def _forget(lane: int) -> None:
    """Whoever wrote down what it began is alive: nothing it held is suspect."""
    try:
        DigestAttempt.objects.filter(lane=lane).delete()
    except (OperationalError, InterfaceError):
        logger.warning("The database is away; what was being digested is tried one by one when it is back")


def _settings(projects: Collection[int]) -> dict[int, Settings]:
    found = Project.objects.filter(pk__in=projects, deleted_at=None)
    return {
        pk: Settings(
            project_id=pk,
            scrub_fields=frozenset(str(name) for name in fields if isinstance(name, str)),
            scrub_personal_data=personal,
            account_salt=salted_hmac("errors.accounts", str(pk), algorithm="sha256").digest(),
        )
        for pk, fields, personal in found.values_list("pk", "scrub_fields", "scrub_personal_data")
    }
