"""Changing and ending the beats of a policy: the cadence and its django-celery-beat row move together."""

from datetime import datetime

from django.db import transaction
from django_celery_beat.models import CrontabSchedule

from backups.models import Cadence
from backups.schedule import BadSchedule, next_slot
from backups.secrets import BadSettings
from backups.services.cadence import rule_of
from backups.services.config import CadencePlan, _check_types
from sysops.access import audit
from sysops.access.actors import Actor


def change_cadence(cadence: Cadence, plan: CadencePlan, *, enabled: bool, by: Actor, at: datetime) -> Cadence:
    """The cadence with another rule, type, label or keeping; what was due under the old rule is not made up for.

    Raises BadSettings when the rule makes no sense, the label is taken, or an engine has no such type.
    """
    try:
        due = next_slot(plan.cron, at)
    except BadSchedule as exc:
        raise BadSettings({"cron": [str(exc)]}) from exc
    if cadence.policy.cadences.exclude(pk=cadence.pk).filter(label=plan.label).exists():
        raise BadSettings({"label": [f"The policy has a beat called {plan.label!r} already"]})
    for source in cadence.policy.sources.order_by("slug"):
        _check_types(source.engine, [plan.backup_type], field="backup_type")
    before = _facts(cadence)
    with transaction.atomic():
        crontab, _ = CrontabSchedule.objects.get_or_create(
            minute=plan.cron.minute,
            hour=plan.cron.hour,
            day_of_month=plan.cron.day_of_month,
            month_of_year=plan.cron.month_of_year,
            day_of_week=plan.cron.day_of_week,
            timezone=plan.cron.zone,
        )
        task = cadence.periodic_task
        task.crontab, task.enabled = crontab, enabled
        task.name = f"backup {cadence.policy.slug}: {plan.label}"
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
