"""Proving backups: every rung is a row of its own, and its checks are kept with their figures (SPEC B10)."""

import logging
import random
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from backups import manifest, selectors
from backups.engines.base import Check, EngineError, Outcome, ProveJob
from backups.models import Backup, Verification, WrongState
from backups.rules import REREAD_TURN, Rung, Status, VerificationStatus, may_try_again, overall, retry_delay
from backups.services.leases import Held, persist
from backups.stores.base import NotStored, StoreError
from backups.workshop import NOT_SET_UP, Workshop, opened_chain, spec_of
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.events import publish

logger = logging.getLogger(__name__)

WORKER = Actor.task("backups.verify")
MAX_ATTEMPTS = 3


def request_verification(*, backup: Backup, rung: Rung, by: Actor, at: datetime) -> Verification:
    """Queue a verification; one that waits or runs already is given back. Raises WrongState when nothing is stored."""
    if backup.status != Status.SUCCEEDED.value:
        raise WrongState(
            f"Backup {backup.pk} is {backup.status}: only a stored backup can be verified", current=backup.status
        )
    with transaction.atomic():
        verification = queue_verification(backup, rung=rung, by=by, at=at)
        audit.record("backups.verification.requested", by=by, subject=backup, at=at, after={"rung": rung.value})
    return verification


def queue_verification(backup: Backup, *, rung: Rung, by: Actor, at: datetime) -> Verification:
    """The waiting row of this rung, made when there is none. The caller holds the transaction."""
    active = Verification.objects.filter(backup=backup, rung=rung.value, status__in=selectors.UNDER_WAY_VALUES)
    values = {"requested_by": by.name, "requested_at": at, "not_before": at, "woken_at": at}
    try:
        with transaction.atomic():
            verification = Verification.objects.create(backup=backup, rung=rung.value, **values)
    except IntegrityError:
        return active.get()
    summarise(backup)
    publish("backups.verification.queued", subject=verification.pk, at=at, data={"backup": backup.pk})
    return verification


def execute_verification(*, verification_id: int, workshop: Workshop) -> None:
    """Claim, look, record. Nothing to do when another worker has it or it is not its time."""
    verification = _claim(verification_id, workshop)
    if verification is None:
        return
    policy = verification.backup.source.policy
    with Held(verification, now=workshop.now, time_limit_seconds=policy.time_limit_seconds) as held:
        try:
            checks = _look(verification, workshop, held)
        except NotStored as exc:
            gone = [Check("stored files", Outcome.FAILED, str(exc))]
            write = partial(_record_checks, verification, gone, at=workshop.now())
        except NOT_SET_UP as exc:
            write = partial(record_obstacle, verification, str(exc), permanent=True, at=workshop.now())
        except (EngineError, StoreError) as exc:
            write = partial(record_obstacle, verification, str(exc), permanent=exc.permanent, at=workshop.now())
        except Exception:
            reason = "Unexpected error; see the worker's log"
            if not held.lost:
                persist(partial(record_obstacle, verification, reason, permanent=False, at=workshop.now()))
            raise
        else:
            write = partial(_record_checks, verification, checks, at=workshop.now())
        if held.lost:
            return
        try:
            persist(write)
        except WrongState as exc:
            logger.warning("%s: the outcome is not recorded: %s", verification, exc)


def work_on(verification_id: int, *, workshop: Workshop) -> None:
    """The one verification; when it is a re-read, then the next ones of that kind until the turn is over."""
    execute_verification(verification_id=verification_id, workshop=workshop)
    if Verification.objects.filter(pk=verification_id, rung=Rung.REREAD.value).exists():
        work_off_rereads(workshop=workshop, seconds=REREAD_TURN.total_seconds())


def work_off_rereads(*, workshop: Workshop, seconds: float) -> int:
    """Re-read stored backups one after the other for so long; how many. One task at a time is enough of that."""
    stop, done = time.monotonic() + seconds, 0
    while time.monotonic() < stop:
        due = Verification.objects.filter(
            rung=Rung.REREAD.value, status=VerificationStatus.PENDING.value, not_before__lte=workshop.now()
        )
        pk = due.order_by("not_before", "pk").values_list("pk", flat=True).first()
        if pk is None:
            break
        execute_verification(verification_id=pk, workshop=workshop)
        done += 1
    return done


def _claim(verification_id: int, workshop: Workshop) -> Verification | None:
    at = workshop.now()
    verification = Verification.objects.select_related("backup__source__policy", "backup__store").get(
        pk=verification_id
    )
    if verification.status != VerificationStatus.PENDING.value or verification.not_before > at:
        return None
    if verification.backup.status != Status.SUCCEEDED.value:
        with transaction.atomic():
            detail = f"Backup {verification.backup_id} is {verification.backup.status}: there is nothing to look at"
            verification.move(VerificationStatus.COULD_NOT, completed_at=at, detail=detail)
        return None
    try:
        with transaction.atomic():
            verification.claim(at=at, host=workshop.host, started_at=at, detail="")
            summarise(verification.backup)
    except WrongState:
        return None
    return verification


def _look(verification: Verification, workshop: Workshop, held: Held) -> Sequence[Check]:
    backup = verification.backup
    store = workshop.store(backup.store)
    if Rung(verification.rung) is Rung.RESTORE:
        return _prove(backup, workshop, held)
    records = [manifest.FileRecord.from_json(entry) for entry in backup.manifest]
    checks = [manifest.verify(store, backup.key, records, watch=held.watch("reading"))]
    if Rung(verification.rung) is Rung.FILES and checks[0].outcome is Outcome.PASSED:
        engine = workshop.engine(backup.engine)
        with opened_chain([backup], workshop) as links:
            checks.extend(engine.verify_files(links[0], workshop.tools, held.control))
    return checks


def _prove(backup: Backup, workshop: Workshop, held: Held) -> Sequence[Check]:
    links = selectors.chain(backup)
    bad = selectors.broken_link(links)
    if bad and bad.pk != backup.pk:
        return [Check("chain", Outcome.FAILED, f"It stands on backup {bad.pk}, which is {_what_is_wrong(bad)}")]
    source = backup.source
    with opened_chain(links, workshop) as chain:
        job = ProveJob(
            source=spec_of(source),
            chain=chain,
            custom_checks=source.policy.custom_checks,
            tools=workshop.tools,
            control=held.control,
        )
        return workshop.engine(backup.engine).prove(job)


def _what_is_wrong(backup: Backup) -> str:
    return "known bad" if backup.known_bad else backup.status


def _verdict(checks: Sequence[Check]) -> tuple[VerificationStatus, str]:
    """A failed check fails the rung; one that could not look leaves it unverified, never verified."""
    failed = [c for c in checks if c.outcome is Outcome.FAILED]
    unseen = [c for c in checks if c.outcome is Outcome.COULD_NOT]
    if failed:
        return VerificationStatus.FAILED, "; ".join(f"{c.name}: {c.detail}" for c in failed)
    if unseen or not checks:
        words = "; ".join(f"{c.name}: {c.detail}" for c in unseen) or "no check looked at anything"
        return VerificationStatus.COULD_NOT, f"Could not verify: {words}"
    return VerificationStatus.PASSED, f"{len(checks)} checks passed"


def _record_checks(verification: Verification, checks: Sequence[Check], *, at: datetime) -> None:
    status, detail = _verdict(checks)
    backup = verification.backup
    verification.hold_again()
    news = verification.rung != Rung.REREAD.value or status.value != backup.verification_status
    with transaction.atomic():
        verification.move(
            status,
            completed_at=at,
            detail=detail,
            checks=[asdict(check) for check in checks],
            lease_until=None,
            phase="",
        )
        changes: dict[str, object] = {}
        if status is VerificationStatus.PASSED and verification.rung == Rung.RESTORE.value:
            changes["proven_at"] = at
        summarise(backup, verified_at=at, **changes)
        if not news:
            return  # a re-read that found what was known: the row says so, and a hundred thousand a day are no news
        publish(
            f"backups.verification.{status.value}",
            subject=verification.pk,
            at=at,
            data={"backup": backup.pk, "source": backup.source.slug, "rung": verification.rung, "detail": detail},
        )
        audit.record(
            f"backups.verification.{status.value}",
            by=WORKER,
            subject=backup,
            at=at,
            after={"rung": verification.rung, "detail": detail},
        )


def record_obstacle(verification: Verification, reason: str, *, at: datetime, permanent: bool = False) -> None:
    """Something kept us from looking: that says nothing of the backup. Try again, then say it could not be verified."""
    if may_try_again(attempt=verification.attempt, max_attempts=MAX_ATTEMPTS, permanent=permanent):
        delay = retry_delay(attempt=verification.attempt, chance=random.SystemRandom())
        verification.hold_again()
        with transaction.atomic():
            verification.move(
                VerificationStatus.PENDING,
                not_before=at + delay,
                woken_at=None,
                lease_until=None,
                phase="",
                detail=f"Will be tried again: {reason}",
            )
            summarise(verification.backup)
        return
    _record_checks(verification, [Check(verification.rung, Outcome.COULD_NOT, reason)], at=at)


def summarise(backup: Backup, **changes: object) -> None:
    """Write the one-word answer on the backup from the verification of each rung that counts."""
    # Two rungs of one backup may end at the same moment: the second reads what the first wrote.
    Backup.objects.select_for_update().filter(pk=backup.pk).values("pk").get()
    telling = selectors.telling_rungs(backup)
    status = overall({rung: VerificationStatus(v.status) for rung, v in telling.items()})
    same = [v for v in telling.values() if v.status == status.value] or list(telling.values())
    detail = "; ".join(f"{v.rung}: {v.detail}" for v in same if v.detail)
    Backup.objects.filter(pk=backup.pk).update(verification_status=status.value, verification_detail=detail, **changes)
    backup.verification_status, backup.verification_detail = status.value, detail


def queue_rereads(*, at: datetime) -> int:
    """Queue a re-read of the files of every stored backup (bit rot); how many."""
    return _queue_many(Backup.objects.filter(status=Status.SUCCEEDED.value).order_by("pk"), rung=Rung.REREAD, at=at)


def queue_restore_tests(*, at: datetime, chance: random.Random) -> int:
    """Per source, pick stored backups at random (as many as its policy says) to be proven by a restore; how many."""
    stored = Backup.objects.filter(status=Status.SUCCEEDED.value).exclude(
        verification_status=VerificationStatus.FAILED.value
    )
    by_source: dict[int, list[int]] = {}
    wanted: dict[int, int] = {}
    for pk, source_id, tests in stored.values_list("pk", "source_id", "source__policy__daily_restore_tests"):
        by_source.setdefault(source_id, []).append(pk)
        wanted[source_id] = tests
    picked = [pk for source_id, pks in by_source.items() for pk in chance.sample(pks, min(wanted[source_id], len(pks)))]
    return _queue_many(Backup.objects.filter(pk__in=picked).order_by("pk"), rung=Rung.RESTORE, at=at)


def _queue_many(backups: QuerySet[Backup], *, rung: Rung, at: datetime) -> int:
    """Rows only: the sweeper wakes workers for them, so that thousands do not become thousands of messages at once."""
    pks = list(backups.values_list("pk", flat=True))
    busy = set(
        Verification.objects.filter(rung=rung.value, status__in=selectors.UNDER_WAY_VALUES).values_list(
            "backup_id", flat=True
        )
    )
    rows = [
        Verification(backup_id=pk, rung=rung.value, requested_by=WORKER.name, requested_at=at, not_before=at)
        for pk in pks
        if pk not in busy
    ]
    Verification.objects.bulk_create(rows, batch_size=1000, ignore_conflicts=True)
    return len(rows)
