"""Reading backups: chains, candidates, readiness. Fixed numbers of queries."""

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.postgres.expressions import ArraySubquery
from django.db import connection
from django.db.models import BooleanField, Case, OuterRef, Q, QuerySet, Subquery, Value, When

from backups.models import Backup, Restore, Source, Verification
from backups.rules import (
    ACTIVE,
    PROOF_AGE,
    RPO_GRACE,
    BackupType,
    Candidate,
    RestoreStatus,
    Rung,
    Status,
    VerificationStatus,
)
from catalogue.models import Service
from catalogue.selectors import requirements_of

STORED = Status.SUCCEEDED.value
PROOFS_TO_TRY = 5  # of one source, the newest first, until one stands on nothing bad
UNDER_WAY_VALUES = [VerificationStatus.PENDING.value, VerificationStatus.RUNNING.value]
UNDER_WAY = Case(When(status__in=UNDER_WAY_VALUES, then=Value(True)), default=Value(False), output_field=BooleanField())


def chain(backup: Backup) -> list[Backup]:
    """The backup and all it stands on, full first. One query a link."""
    links = [backup]
    while links[-1].parent_id is not None:
        links.append(Backup.objects.select_related("store", "source").get(pk=links[-1].parent_id))
    return links[::-1]


def broken_link(links: Iterable[Backup]) -> Backup | None:
    """The first backup of a chain that is not stored any more or known bad."""
    return next((b for b in links if b.status != STORED or b.known_bad), None)


def candidates(backup: Backup) -> list[Candidate]:
    """What the queued backup could stand on, in its own store: the newest full and the newest of any type."""
    stored = Backup.objects.filter(
        source=backup.source_id, status=STORED, engine=backup.source.engine, store=backup.store_id
    )
    newest_first = stored.order_by("-completed_at", "-pk")
    found = {
        b.pk: b for b in [newest_first.first(), newest_first.filter(backup_type=BackupType.FULL.value).first()] if b
    }
    return [
        Candidate(
            backup_id=b.pk,
            backup_type=BackupType(b.backup_type),
            completed_at=b.completed_at,
            usable=broken_link(links) is None,
            links=len(links),
        )
        for b, links in ((b, chain(b)) for b in found.values())
        if b.completed_at is not None
    ]


def active_backup(source: Source) -> Backup | None:
    """The backup of the source that is queued, running or being picked up again; the running one first."""
    active = Backup.objects.filter(source=source, status__in=[s.value for s in ACTIVE])
    return active.order_by("-status", "pk").first()


def sources_behind(services: Collection[str]) -> list[Source]:
    """The sources that keep the data of these services (slugs) and of all they stand on, by slug. Three queries."""
    named = list(Service.objects.filter(slug__in=services).only("pk"))
    below = requirements_of(named).values_list("pk", flat=True)
    keys = {service.pk for service in named} | set(below)
    return list(Source.objects.select_related("policy", "service").filter(service__in=keys).order_by("slug"))


def for_lists() -> QuerySet[Backup]:
    """Backups as lists and the API show them, in one query."""
    return Backup.objects.select_related("source__policy", "store").defer("manifest", "figures")


def telling_rungs(backup: Backup) -> dict[Rung, Verification]:
    """Per rung, the verification that counts: the newest finished one, else the one under way.

    A known bad backup stays known bad while it is looked at again, and a proven one stays proven.
    """
    rows = Verification.objects.filter(backup=backup).annotate(under_way=UNDER_WAY)
    return {Rung(v.rung): v for v in rows.order_by("rung", "under_way", "-pk").distinct("rung")}


def in_use_ids() -> set[int]:
    """Backups that a verification, a restore or a backup under way reads, with all they stand on."""
    return _ids(_STOOD_ON, _read_now())


def is_in_use(backup: Backup) -> bool:
    """Whether something under way reads the backup or one that stands on it."""
    return bool(_read_now(_ids(_STANDING, [backup.pk])))


def _read_now(among: Collection[int] | None = None) -> set[int]:
    """Backups that something under way reads, without what they stand on."""
    looking = Verification.objects.filter(status__in=UNDER_WAY_VALUES).filter(
        Q(rung=Rung.RESTORE.value) | Q(status=VerificationStatus.RUNNING.value)
    )
    restoring = Restore.objects.filter(status__in=[RestoreStatus.QUEUED.value, RestoreStatus.RUNNING.value])
    standing = Backup.objects.filter(status__in=[Status.RUNNING.value, Status.INTERRUPTED.value], parent__isnull=False)
    read: set[int] = set()
    for rows, name in ((looking, "backup_id"), (restoring, "backup_id"), (standing, "parent_id")):
        mine = rows if among is None else rows.filter(**{f"{name}__in": among})
        read.update(mine.order_by().values_list(name, flat=True))
    return read


# Chains in one query each, however long: the backups given and all they stand on; and all that stand on them.
_STOOD_ON = """
    WITH RECURSIVE link(id) AS (
        SELECT unnest(%s::bigint[])
        UNION
        SELECT b.parent_id FROM link JOIN backups_backup b ON b.id = link.id WHERE b.parent_id IS NOT NULL
    ) SELECT id FROM link"""
_STANDING = """
    WITH RECURSIVE link(id) AS (
        SELECT unnest(%s::bigint[])
        UNION
        SELECT b.id FROM link JOIN backups_backup b ON b.parent_id = link.id
    ) SELECT id FROM link"""
# Which of the backups given stand on one that is not stored any more or known bad.
_ON_BAD = """
    WITH RECURSIVE link(top, next, bad) AS (
        SELECT id, parent_id, false FROM backups_backup WHERE id = ANY(%s::bigint[])
        UNION ALL
        SELECT link.top, b.parent_id, b.status <> %s OR b.verification_status = %s
        FROM link JOIN backups_backup b ON b.id = link.next
    ) SELECT top FROM link WHERE bad"""


def _ids(sql: str, given: Iterable[int], *values: str) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(sql, [list(given), *values])
        return {pk for (pk,) in cursor.fetchall()}


@dataclass(frozen=True)
class Readiness:
    """Whether a source could be brought back now, at a glance (SPEC B14). Unknown is None."""

    source: Source
    last_good: Backup | None
    age: timedelta | None
    rpo: timedelta
    within_rpo: bool | None
    last_proven: Backup | None
    proven_at: datetime | None
    proof_age: timedelta | None
    proven_restore: timedelta | None
    rto: timedelta
    within_rto: bool | None
    chain_state: str  # sound, broken, or none
    running: Backup | None

    @property
    def past_rpo(self) -> bool:
        """Whether the last good backup is too old even when the next one is given its time.

        An RPO of an hour and a backup every hour would otherwise alarm for some seconds of each.
        """
        return self.age is not None and self.age > self.rpo + RPO_GRACE

    @property
    def state(self) -> str:
        """`good`, `warning` (not proven, not lately, or too slow), `bad` (out of RPO, broken or nothing good)."""
        if self.last_good is None or self.past_rpo or self.chain_state == "broken":
            return "bad"
        if self.proof_age is None or self.proof_age > PROOF_AGE or self.within_rto is False:
            return "warning"
        if self.source.failing_since:
            return "warning"
        return "good"

    @property
    def words(self) -> str:
        """The state in words, what is wrong first."""
        if self.last_good is None:
            return "No good backup yet: nothing could be restored"
        if self.chain_state == "broken":
            return f"Backup {self.last_good.pk} stands on one that is bad or gone: take a full backup now"
        if self.past_rpo:
            return "The last good backup is older than the RPO allows"
        if self.source.failing_since:
            return "Backups are failing now; the last good one is within the RPO"
        if self.proof_age is None:
            return "No stored backup is proven by a restore"
        if self.proof_age > PROOF_AGE:
            return f"Last proven by a restore {self.proof_age.days} days ago"
        if self.within_rto is False:
            return "The proven restore took longer than the RTO allows"
        if not self.within_rpo:
            return "Ready; the next backup is due now"
        return "Ready: fresh, proven, within RPO and RTO"


def readiness(sources: Sequence[Source] | None = None, *, now: datetime) -> list[Readiness]:
    """Readiness of each source (all by default), worst first. A fixed number of queries."""
    wanted = Source.objects.select_related("policy", "service").order_by("slug")
    if sources is not None:
        wanted = wanted.filter(pk__in=[s.pk for s in sources])
    good = Backup.objects.filter(source=OuterRef("pk"), status=STORED).exclude(
        verification_status=VerificationStatus.FAILED.value
    )
    proven = good.filter(proven_at__isnull=False).order_by("-proven_at", "-pk")
    rows = list(
        wanted.annotate(
            last_good_id=Subquery(good.order_by("-completed_at", "-pk").values("pk")[:1]),
            proven_ids=ArraySubquery(proven.values("pk")[:PROOFS_TO_TRY]),
        )
    )
    tops = {pk for r in rows for pk in (r.last_good_id, *r.proven_ids) if pk}
    on_bad = _ids(_ON_BAD, tops, STORED, VerificationStatus.FAILED.value)
    # What a restore proved is void once something it stands on was found bad or is gone.
    proven_id = {r.pk: next((pk for pk in r.proven_ids if pk not in on_bad), None) for r in rows}
    known = _by_id([*(r.last_good_id for r in rows), *proven_id.values()])
    took = _restores_took([pk for pk in proven_id.values() if pk])
    running = {
        b.source_id: b for b in for_lists().filter(source__in=rows, status__in=[s.value for s in ACTIVE]).order_by("pk")
    }
    found = [
        _readiness(
            row,
            known.get(row.last_good_id),
            known.get(proven_id[row.pk]),
            running.get(row.pk),
            took=took,
            on_bad=on_bad,
            now=now,
        )
        for row in rows
    ]
    order = {"bad": 0, "warning": 1, "good": 2}
    return sorted(found, key=lambda r: (order[r.state], r.source.slug))


def _by_id(ids: Iterable[int | None]) -> dict[int | None, Backup]:
    return {b.pk: b for b in for_lists().filter(pk__in={pk for pk in ids if pk})}


def _restores_took(proven: Sequence[int]) -> dict[int, timedelta]:
    """Per proven backup, how long the newest restore that proved it took."""
    proofs = Verification.objects.filter(
        backup__in=proven, rung=Rung.RESTORE.value, status=VerificationStatus.PASSED.value
    )
    newest = proofs.order_by("backup_id", "-pk").distinct("backup_id").only("backup", "started_at", "completed_at")
    return {v.backup_id: v.completed_at - v.started_at for v in newest if v.completed_at and v.started_at}


def _readiness(
    source: Source,
    last_good: Backup | None,
    last_proven: Backup | None,
    running: Backup | None,
    *,
    took: Mapping[int, timedelta],
    on_bad: Container[int],
    now: datetime,
) -> Readiness:
    rpo, rto = timedelta(seconds=source.policy.rpo_seconds), timedelta(seconds=source.policy.rto_seconds)
    # What could be lost is counted from the start: a backup is as old as the moment it shows.
    age = now - last_good.started_at if last_good and last_good.started_at else None
    proven_at = last_proven.proven_at if last_proven else None
    proven_restore = took.get(last_proven.pk) if last_proven else None
    return Readiness(
        source=source,
        last_good=last_good,
        age=age,
        rpo=rpo,
        within_rpo=None if age is None else age <= rpo,
        last_proven=last_proven,
        proven_at=proven_at,
        proof_age=now - proven_at if proven_at else None,
        proven_restore=proven_restore,
        rto=rto,
        within_rto=None if proven_restore is None else proven_restore <= rto,
        chain_state="none" if last_good is None else "broken" if last_good.pk in on_bad else "sound",
        running=running,
    )


def known_bad() -> QuerySet[Backup]:
    """Stored backups that a verification found bad, newest first."""
    return for_lists().filter(status=STORED, verification_status=VerificationStatus.FAILED.value).order_by("-pk")
