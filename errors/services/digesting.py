"""Working off the spool: in batches, each of which is stored whole or not at all, with odd reports set apart.

What a batch holds is written down before it is begun. When its worker dies over it, the reports of that batch are
tried one by one; one that kills its worker alone twice is kept as undigestible. A database that is away counts
against nobody: the batch stays in the spool.
"""

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
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
MEMORY = 64 * 1024 * 1024  # of what came out of reports that are stored together: a small body may unpack to 16 MiB
WORK = 2.0  # seconds of making events of reports that are stored together
DEATHS = 4  # of a report alone, then it is set apart; fewer, and kills that had nothing to do with it could add up
COMES_BACK = 6  # seconds that a database is waited for which went away in the middle of a batch
TRIES = 5  # of a transaction that another one got in the way of
_LOCK = 7_305_022  # advisory lock space: one digest per lane

# The database is away or full, or its tables are not ours yet.
_NOBODYS_FAULT = (OperationalError, InterfaceError, ProgrammingError)
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
        done = _left_behind(lane, stop=stop, now=now)
        after = 0
        while time.monotonic() < stop:
            batch = _take(lane, first=after + 1)
            if batch:
                # Ids behind this one are looked at again at the end: a slow writer may have committed one since.
                count = _work_off(batch, lane, attempt=1, stop=stop, now=now)
                after = batch[count - 1].id
                done += count
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
    except _NOBODYS_FAULT:
        connection.close_if_unusable_or_obsolete()  # a lost session has lost its lock with it
        if alone:
            _forget(lane)
        raise
    finally:
        if alone and connection.connection is not None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_LOCK, lane])


def _left_behind(lane: int, *, stop: float, now: Clock) -> int:
    """Try what a dead worker held one by one, while there is time; how many reports that were."""
    left = DigestAttempt.objects.filter(lane=lane).first()
    if left is None:
        return 0
    reports = _take(lane, first=left.first_id, last=left.last_id)
    was_alone = left.first_id == left.last_id
    if reports:
        logger.warning("A digest died over %d reports; they are tried one by one", len(reports))
    for done, report in enumerate(reports, start=1):
        if was_alone and left.attempts >= DEATHS:
            _set_apart(report, "Its worker died each time it was digested.", now=now)
        else:
            _work_off([report], lane, attempt=left.attempts + 1 if was_alone else 1, stop=stop, now=now)
        if time.monotonic() >= stop:
            return done
    return len(reports)


def _take(lane: int, *, first: int, last: int = 2**63 - 1) -> list[Waiting]:
    """The oldest reports of this range, as many as make a batch."""
    limits = {"first": first, "last": last, "lane": lane, "lanes": LANES, "limit": BATCH, "bytes": BATCH_BYTES}
    with raw.cursor() as cursor:
        cursor.execute(_TAKE, limits, binary=True)  # else bytes come as text, twice as long
        return [Waiting(*row) for row in cursor.fetchall()]


def _work_off(batch: Sequence[Waiting], lane: int, *, attempt: int, stop: float, now: Clock) -> int:
    """Digest and store the first reports of the batch, all of them if there is time; how many that were."""
    _begin(batch, lane, attempt=attempt, at=now())
    done = 0
    for reports in _portions(batch, _settings({waiting.project_id for waiting in batch})):
        if not _store_or_part(reports, lane, stop=stop, now=now) and batch[done + len(reports) :]:
            _begin(batch[done + len(reports) :], lane, attempt=1, at=now())
        done += len(reports)
        if time.monotonic() >= stop:
            break
    return done


def _portions(batch: Sequence[Waiting], settings: Mapping[int, Settings]) -> Iterator[list[Report]]:
    """The reports of the batch unpacked, no more of them at a time than there is memory for, nor for too long."""
    portion, size, until = list[Report](), 0, time.monotonic() + WORK
    for waiting in batch:
        # What belongs to no project any more is not looked at; storing throws it away.
        known = settings.get(waiting.project_id)
        report = unpacking.unpack(waiting, settings=known) if known else Report(waiting)
        portion.append(report)
        size += report.size
        if size >= MEMORY or time.monotonic() >= until:
            yield portion
            portion, size, until = [], 0, time.monotonic() + WORK
    if portion:
        yield portion


def _store_or_part(reports: Sequence[Report], lane: int, *, stop: float, now: Clock) -> bool:
    """Store the reports; False: it had to be one by one, and those that cannot be stored are set apart."""
    at = now()
    try:
        _store(reports, at=at)
    except Exception as exc:
        if isinstance(exc, _NOBODYS_FAULT) and not isinstance(exc.__cause__, psycopg.errors.ProgramLimitExceeded):
            raise
        logger.exception("A batch of %d reports could not be stored", len(reports))
        if len(reports) == 1:
            _set_apart(reports[0].waiting, _refusal(exc), now=now)
        else:
            for report in reports:
                _work_off([report.waiting], lane, attempt=1, stop=stop, now=now)
        return False
    return True


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
    for left in reversed(range(COMES_BACK)):  # a restart of PostgreSQL must not count as a death of the report
        try:
            DigestAttempt.objects.filter(lane=lane).delete()
            return
        except (OperationalError, InterfaceError):
            if left:
                time.sleep(1)
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
