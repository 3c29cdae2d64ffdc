"""Turning due cadences into backups (SPEC B4). Any number of callers at once: each slot happens once."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef

from backups.engines.base import engines
from backups.models import Backup, Cadence, CadenceSlot, Policy, Source
from backups.rules import ACTIVE, BackupType, Due, SlotOutcome, coalesce, covers
from backups.schedule import BadSchedule, Cron, due_slots, next_slot
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.events import publish
from sysops.kernel.registry import UnknownName

logger = logging.getLogger(__name__)

SCHEDULER = Actor.task("backups.request_due")
BATCH = 200


def request_due(*, at: datetime) -> int:
    """Queue what is due by now; how many backups were queued. Policies are claimed in batches, skipping
    those another caller holds, so callers share the work instead of waiting for each other."""
    follow_edits(at=at)
    queued = 0
    while True:
        with transaction.atomic():
            due = Cadence.objects.filter(policy=OuterRef("pk"), next_due_at__lte=at)
            policies = list(
                Policy.objects.filter(Exists(due))
                .select_for_update(skip_locked=True, of=("self",))
                .order_by("pk")[:BATCH]
            )
            if not policies:
                return queued
            queued += _request_for(policies, at=at)


def follow_edits(*, at: datetime) -> int:
    """Derive `next_due_at` again for every cadence whose beat row was edited, switched on or off; how many.

    An edit counts from now on: a slot of the new rule that lies in the past is not made up for.
    """
    changed = 0
    rows = Cadence.objects.select_related("periodic_task__crontab").order_by("pk")
    for cadence in rows.iterator(chunk_size=2000):
        rule = rule_of(cadence)
        if rule == cadence.seen_rule:
            continue
        cadence.seen_rule, cadence.next_due_at = rule, _first_due(cadence, at=at)
        cadence.save(update_fields=["seen_rule", "next_due_at"])
        changed += 1
    return changed


def rule_of(cadence: Cadence) -> str:
    """The schedule in force as text: cron fields and zone, or empty when switched off or no crontab."""
    cron = cron_of(cadence)
    return str(cron) if cron else ""


def cron_of(cadence: Cadence) -> Cron | None:
    task = cadence.periodic_task
    crontab = task.crontab
    if not task.enabled or crontab is None:
        return None
    return Cron(
        minute=crontab.minute,
        hour=crontab.hour,
        day_of_month=crontab.day_of_month,
        month_of_year=crontab.month_of_year,
        day_of_week=crontab.day_of_week,
        zone=str(crontab.timezone),
    )


def _first_due(cadence: Cadence, *, at: datetime) -> datetime | None:
    cron = cron_of(cadence)
    if cron is None:
        return None
    try:
        return next_slot(cron, at)
    except BadSchedule as exc:
        logger.error("%s never runs: %s", cadence, exc)
        return None


def _request_for(policies: Sequence[Policy], *, at: datetime) -> int:
    """All that is due of the given, locked policies."""
    cadences = Cadence.objects.filter(policy__in=policies, next_due_at__lte=at).select_related("periodic_task__crontab")
    due_by_policy: dict[int, list[Due]] = defaultdict(list)
    missed: dict[int, int] = {}
    advanced: list[Cadence] = []
    for cadence in cadences.order_by("pk"):
        assert cadence.next_due_at is not None
        advanced.append(cadence)
        cron, first, cadence.next_due_at = cron_of(cadence), cadence.next_due_at, None
        if cron is None:
            continue  # switched off this moment
        try:
            slot, missed[cadence.pk], cadence.next_due_at = due_slots(cron, first=first, until=at)
        except BadSchedule as exc:
            logger.error("%s does not run any more: %s", cadence, exc)
            continue
        due_by_policy[cadence.policy_id].append(
            Due(cadence.pk, BackupType(cadence.backup_type), slot, cadence.keep_days)
        )
    Cadence.objects.bulk_update(advanced, ["next_due_at"])
    # The locks keep a request over the API and the schedule from both finding the source idle.
    sources = list(
        Source.objects.filter(policy__in=due_by_policy, enabled=True)
        .select_related("policy")
        .select_for_update(of=("self",))
        .order_by("pk")
    )
    return _request_sources(sources, due_by_policy, missed, at=at)


def _request_sources(
    sources: Sequence[Source], due_by_policy: dict[int, list[Due]], missed: dict[int, int], *, at: datetime
) -> int:
    active = _active_by_source(sources)
    fresh: dict[int, Backup] = {}
    slots: list[CadenceSlot] = []
    for source in sources:
        due = due_by_policy[source.policy_id]
        try:
            types = engines.get(source.engine).types
        except UnknownName as exc:
            slots.extend(_skipped(source, due, str(exc)))
            continue
        slots.extend(_skipped(source, [d for d in due if d.backup_type not in types], "Its engine has no such type"))
        due = [d for d in due if d.backup_type in types]
        if not due:
            continue
        winner, stood_for = coalesce(due)
        running = active.get(source.pk, [])
        covering = next((b for b in running if covers(BackupType(b.backup_type), winner.backup_type)), None)
        if covering is None:
            fresh[source.pk] = _queued(source, winner, at=at)
        for entry in [winner, *stood_for]:
            slots.append(_slot(source, entry, winner, covering, missed.get(entry.cadence_id, 0)))
    backups = Backup.objects.bulk_create(fresh.values())
    for slot in slots:
        if slot.outcome != SlotOutcome.SKIPPED.value:
            slot.backup = slot.backup or fresh.get(slot.source_id)
    CadenceSlot.objects.bulk_create(slots, ignore_conflicts=True)
    _announce(backups, at=at)
    return len(backups)


def _active_by_source(sources: Iterable[Source]) -> dict[int, list[Backup]]:
    found: dict[int, list[Backup]] = defaultdict(list)
    for backup in Backup.objects.filter(source__in=sources, status__in=[s.value for s in ACTIVE]).order_by("pk"):
        found[backup.source_id].append(backup)
    return found


def _queued(source: Source, winner: Due, *, at: datetime) -> Backup:
    return Backup(
        source=source,
        store_id=source.policy.store_id,
        engine=source.engine,
        requested_type=winner.backup_type.value,
        backup_type=winner.backup_type.value,
        requested_by=SCHEDULER.name,
        requested_at=at,
        not_before=at,
        woken_at=at,
        keep_days=winner.keep_days,
    )


def _skipped(source: Source, due: Iterable[Due], reason: str) -> list[CadenceSlot]:
    """Slots that nothing came of, with the reason: a source that cannot be backed up must not stop the others."""
    return [
        CadenceSlot(
            cadence_id=entry.cadence_id,
            source=source,
            slot_at=entry.slot_at,
            outcome=SlotOutcome.SKIPPED.value,
            reason=reason,
        )
        for entry in due
    ]


def _slot(source: Source, entry: Due, winner: Due, covering: Backup | None, missed: int) -> CadenceSlot:
    """What became of one due slot, in words."""
    reasons = []
    if covering is not None:
        outcome = SlotOutcome.COALESCED
        reasons.append(f"Backup {covering.pk} ({covering.backup_type}) of the source was {covering.status} already")
    elif entry is winner:
        outcome = SlotOutcome.REQUESTED
    else:
        outcome = SlotOutcome.COALESCED
        reasons.append(f"A {winner.backup_type} backup fell due at the same time")
    if missed:
        reasons.append(f"{missed} earlier slots were missed while nothing ran; this one stands for them")
    return CadenceSlot(
        cadence_id=entry.cadence_id,
        source=source,
        slot_at=entry.slot_at,
        outcome=outcome.value,
        reason="; ".join(reasons),
        backup=covering,
    )


def _announce(backups: Sequence[Backup], *, at: datetime) -> None:
    notes = [
        audit.Note(
            "backups.backup.requested",
            subject=backup,
            after={"source": backup.source.slug, "type": backup.requested_type},
        )
        for backup in backups
    ]
    audit.record_many(notes, by=SCHEDULER, at=at)
    for backup in backups:
        publish("backups.backup.queued", subject=backup.pk, at=at, data={"source": backup.source.slug})


def slots_before(moment: datetime) -> int:
    """Delete the record of slots older than `moment`; how many. Backups keep their own record."""
    return CadenceSlot.objects.filter(slot_at__lt=moment).delete()[0]
