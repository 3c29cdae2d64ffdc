"""The beats of a policy: each cadence and its django-celery-beat row are made, changed and ended together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from backups.engines.base import engines
from backups.models import Cadence, Policy
from backups.rules import BackupType
from backups.schedule import BadSchedule, Cron, next_slot
from backups.services.cadence import rule_of
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.access.driver_settings import BadSettings
from sysops.kernel.registry import UnknownName

CADENCE_TASK = "backups.request_due"
CADENCE_MESSAGE_EXPIRES = 55  # seconds; an older wake-up is worthless, the sweeper has been by


@dataclass(frozen=True)
class CadencePlan:
    """A cadence to make. `keep_days` keeps its backups longer than the policy's online days."""

    label: str
    backup_type: BackupType
    cron: Cron
    keep_days: int | None = None


def add_cadence(policy: Policy, plan: CadencePlan, *, by: Actor, at: datetime) -> Cadence:
    """One more beat for the policy, first due at its next slot after `at`.

    Raises BadSettings when the rule makes no sense, the label is taken, or an engine of the policy's sources
    has no such type.
    """
    due = _checked(policy, plan, at=at)
    with transaction.atomic():
        task = PeriodicTask.objects.create(
            name=_name(policy, plan),
            task=CADENCE_TASK,
            crontab=_crontab(plan.cron),
            expire_seconds=CADENCE_MESSAGE_EXPIRES,
            description=f"{plan.backup_type} backups of the sources with the policy {policy.slug}",
        )
        cadence = Cadence.objects.create(
            policy=policy,
            label=plan.label,
            backup_type=plan.backup_type.value,
            keep_days=plan.keep_days,
            periodic_task=task,
            seen_rule=str(plan.cron),
            next_due_at=due,
        )
        audit.record("backups.cadence.created", by=by, subject=cadence, at=at, after=_facts(cadence))
    return cadence


def change_cadence(cadence: Cadence, plan: CadencePlan, *, enabled: bool, by: Actor, at: datetime) -> Cadence:
    """The cadence with another rule, type, label or keeping; what was due under the old rule is not made up for.

    Raises BadSettings as `add_cadence` does.
    """
    due = _checked(cadence.policy, plan, at=at, besides=cadence)
    before = _facts(cadence)
    with transaction.atomic():
        task = cadence.periodic_task
        task.crontab, task.enabled = _crontab(plan.cron), enabled
        task.name = _name(cadence.policy, plan)
        task.save()
        cadence.label, cadence.backup_type, cadence.keep_days = plan.label, plan.backup_type.value, plan.keep_days
        cadence.seen_rule, cadence.next_due_at = rule_of(cadence), due if enabled else None
        cadence.save()
        audit.record("backups.cadence.changed", by=by, subject=cadence, at=at, before=before, after=_facts(cadence))
    return cadence


def remove_cadence(cadence: Cadence, *, by: Actor, at: datetime) -> None:
    """End the beat: its row in the schedule goes with it. Backups it asked for stay."""
    with transaction.atomic():
        audit.record("backups.cadence.removed", by=by, subject=cadence, at=at, before=_facts(cadence))
        cadence.periodic_task.delete()


def _facts(cadence: Cadence) -> dict[str, object]:
    return {
        "policy": cadence.policy.slug,
        "label": cadence.label,
        "type": cadence.backup_type,
        "keep_days": cadence.keep_days,
        "rule": rule_of(cadence),
        "enabled": cadence.periodic_task.enabled,
    }


def check_types(engine: str, wanted: Sequence[BackupType], *, field: str) -> None:
    """Raises BadSettings for `field` when the engine has not all of the types."""
    try:
        types = engines.get(engine).types
    except UnknownName as exc:
        raise BadSettings({"engine": [str(exc)]}) from None
    missing = sorted(set(wanted) - types)
    if missing:
        known = ", ".join(sorted(types))
        raise BadSettings({field: [f"The engine {engine} knows {known} only; this asks for {', '.join(missing)} too"]})


def _checked(policy: Policy, plan: CadencePlan, *, at: datetime, besides: Cadence | None = None) -> datetime | None:
    """When the plan first falls due; raises BadSettings for a plan the policy cannot have."""
    try:
        due = next_slot(plan.cron, at)
    except BadSchedule as exc:
        raise BadSettings({"cron": [str(exc)]}) from exc
    others = policy.cadences.exclude(pk=besides.pk) if besides else policy.cadences.all()
    if others.filter(label=plan.label).exists():
        raise BadSettings({"label": [f"The policy has a beat called {plan.label!r} already"]})
    for source in policy.sources.order_by("slug"):
        check_types(source.engine, [plan.backup_type], field="backup_type")
    return due


def _crontab(cron: Cron) -> CrontabSchedule:
    """The one row of these fields; beats with the same rule share it."""
    row, _ = CrontabSchedule.objects.get_or_create(
        minute=cron.minute,
        hour=cron.hour,
        day_of_month=cron.day_of_month,
        month_of_year=cron.month_of_year,
        day_of_week=cron.day_of_week,
        timezone=cron.zone,
    )
    return row


def _name(policy: Policy, plan: CadencePlan) -> str:
    return f"backup {policy.slug}: {plan.label}"
