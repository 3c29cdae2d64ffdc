"""Reading backups: chains, candidates, readiness. Fixed numbers of queries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import BooleanField, Case, OuterRef, QuerySet, Subquery, Value, When

from backups.models import Backup, Restore, Source, Verification
from backups.rules import ACTIVE, BackupType, Candidate, RestoreStatus, Rung, Status, VerificationStatus

STORED = Status.SUCCEEDED.value
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
    used = set(
        Verification.objects.filter(status__in=UNDER_WAY_VALUES, rung=Rung.RESTORE.value).values_list(
            "backup_id", flat=True
        )
    )
    used |= set(
        Verification.objects.filter(status=VerificationStatus.RUNNING.value).values_list("backup_id", flat=True)
    )
    used |= set(
        Restore.objects.filter(status__in=[RestoreStatus.QUEUED.value, RestoreStatus.RUNNING.value]).values_list(
            "backup_id", flat=True
        )
    )
    running = Backup.objects.filter(status=Status.RUNNING.value, parent__isnull=False)
    used |= {pk for pk in running.values_list("parent_id", flat=True) if pk is not None}
    parents = dict(Backup.objects.filter(status=STORED, parent__isnull=False).values_list("pk", "parent_id"))
    for pk in list(used):
        step = parents.get(pk)
        while step is not None and step not in used:
            used.add(step)
            step = parents.get(step)
    return used


@dataclass(frozen=True)
class Readiness:
    """Whether a source could be brought back now, at a glance (SPEC B14). Unknown is None."""

    source: Source
    last_good: Backup | None
    age: timedelta | None
    rpo: timedelta
    within_rpo: bool | None
    last_proven: Backup | None
    proven_restore: timedelta | None
    rto: timedelta
    within_rto: bool | None
    chain_state: str  # sound, broken, or none
    running: Backup | None

    @property
    def state(self) -> str:
        """`good`, `warning` (not proven yet, or restores too slowly), `bad` (out of RPO, broken or nothing good)."""
        if self.last_good is None or not self.within_rpo or self.chain_state == "broken":
            return "bad"
        if self.last_proven is None or self.within_rto is False or self.source.failing_since:
            return "warning"
        return "good"

    @property
    def words(self) -> str:
        """The state in words, what is wrong first."""
        if self.last_good is None:
            return "No good backup yet: nothing could be restored"
        if self.chain_state == "broken":
            return f"Backup {self.last_good.pk} stands on one that is bad or gone: take a full backup now"
        if not self.within_rpo:
            return "The last good backup is older than the RPO allows"
        if self.source.failing_since:
            return "Backups are failing now; the last good one is within the RPO"
        if self.last_proven is None:
            return "Never proven by a restore"
        if self.within_rto is False:
            return "The proven restore took longer than the RTO allows"
        return "Ready: fresh, proven, within RPO and RTO"


def readiness(sources: Sequence[Source] | None = None, *, now: datetime) -> list[Readiness]:
    """Readiness of each source (all by default), worst first. Fixed number of queries but for chains."""
    wanted = Source.objects.select_related("policy", "service").order_by("slug")
    if sources is not None:
        wanted = wanted.filter(pk__in=[s.pk for s in sources])
    good = Backup.objects.filter(source=OuterRef("pk"), status=STORED).exclude(
        verification_status=VerificationStatus.FAILED.value
    )
    proof = Verification.objects.filter(
        backup__source=OuterRef("pk"), rung=Rung.RESTORE.value, status=VerificationStatus.PASSED.value
    )
    rows = list(
        wanted.annotate(
            last_good_id=Subquery(good.order_by("-completed_at").values("pk")[:1]),
            last_proof_id=Subquery(proof.order_by("-completed_at").values("pk")[:1]),
        )
    )
    backups = _by_id([r.last_good_id for r in rows])
    proofs = {
        v.pk: v
        for v in Verification.objects.select_related("backup").filter(
            pk__in=[r.last_proof_id for r in rows if r.last_proof_id]
        )
    }
    running = {
        b.source_id: b for b in for_lists().filter(source__in=rows, status__in=[s.value for s in ACTIVE]).order_by("pk")
    }
    bad_chains = _bad_chains(backups.values())
    found = [
        _readiness(
            row, backups.get(row.last_good_id), proofs.get(row.last_proof_id), running.get(row.pk), bad_chains, now=now
        )
        for row in rows
    ]
    order = {"bad": 0, "warning": 1, "good": 2}
    return sorted(found, key=lambda r: (order[r.state], r.source.slug))


def _by_id(ids: Iterable[int | None]) -> dict[int | None, Backup]:
    return {b.pk: b for b in for_lists().filter(pk__in=[pk for pk in ids if pk])}


def _bad_chains(backups: Iterable[Backup]) -> set[int]:
    """Which of the backups stand on something not stored or known bad; a query a level, not a backup."""
    waiting = {b.pk: b.parent_id for b in backups if b.parent_id}
    bad: set[int] = set()
    while waiting:
        links = {
            b.pk: b
            for b in Backup.objects.filter(pk__in=set(waiting.values())).only(
                "pk", "status", "parent", "verification_status"
            )
        }
        following: dict[int, int] = {}
        for pk, parent_id in waiting.items():
            link = links.get(parent_id) if parent_id else None
            if link is None or link.status != STORED or link.known_bad:
                bad.add(pk)
            elif link.parent_id:
                following[pk] = link.parent_id
        waiting = following
    return bad


def _readiness(
    source: Source,
    last_good: Backup | None,
    proof: Verification | None,
    running: Backup | None,
    bad_chains: set[int],
    *,
    now: datetime,
) -> Readiness:
    rpo, rto = timedelta(seconds=source.policy.rpo_seconds), timedelta(seconds=source.policy.rto_seconds)
    # What could be lost is counted from the start: a backup is as old as the moment it shows.
    age = now - last_good.started_at if last_good and last_good.started_at else None
    took = proof.completed_at - proof.started_at if proof and proof.completed_at and proof.started_at else None
    return Readiness(
        source=source,
        last_good=last_good,
        age=age,
        rpo=rpo,
        within_rpo=None if age is None else age <= rpo,
        last_proven=proof.backup if proof else None,
        proven_restore=took,
        rto=rto,
        within_rto=None if took is None else took <= rto,
        chain_state="none" if last_good is None else "broken" if last_good.pk in bad_chains else "sound",
        running=running,
    )


def failing_sources() -> QuerySet[Source]:
    """Sources in a failure series, the longest first."""
    return Source.objects.filter(failing_since__isnull=False).select_related("policy").order_by("failing_since")


def known_bad() -> QuerySet[Backup]:
    """Stored backups that a verification found bad, newest first."""
    return for_lists().filter(status=STORED, verification_status=VerificationStatus.FAILED.value).order_by("-pk")
