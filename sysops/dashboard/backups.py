"""What the first page says of backups: what is wrong with them, and what comes."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Min, Prefetch
from django.urls import reverse

from backups import selectors
from backups.models import Backup, Cadence, Policy, Restore, Source
from backups.rules import BackupType, Due, RestoreStatus, Status, VerificationStatus, coalesce
from backups.selectors import Readiness
from sysops.dashboard.parts import MOST, Coming, Step, Wrong, first
from sysops.kernel.words import span_words

SLOTS = 8
LATE = timedelta(minutes=5)
FAILED_RESTORES = timedelta(days=1)


def wrong(ready: list[Readiness], *, now: datetime) -> list[Wrong]:
    """Everything that is wrong with backups, the same trouble of many sources in few lines."""
    return [
        *first(list(_failing(ready)), "more sources are failing", "admin:backups_source_changelist"),
        *first(list(_bad_backups()), "more backups are known bad", _known_bad_url()),
        *first(list(_unready(ready)), "more sources are not ready", "admin:backups_source_changelist"),
        *_unsure(ready),
        *_late(now),
        *_failed_restores(now),
    ]


def coming(now: datetime) -> list[Coming]:
    """The next slots and the next tries."""
    return [*_slots(now), *_retries(now)]


def _page(row: Source | Backup | Restore, name: str = "change") -> str:
    return reverse(f"admin:backups_{row._meta.model_name}_{name}", args=[row.pk])


def _failing(ready: list[Readiness]) -> Iterator[Wrong]:
    for r in ready:
        source = r.source
        if not source.failing_since:
            continue
        tries = f"{source.failing_tries} failed {'try' if source.failing_tries == 1 else 'tries'}"
        worse = f" {r.words}." if r.state == "bad" else ""
        yield Wrong(
            True,
            f"Backups of {source.name} are failing",
            f"{source.failing_reason} ({tries}).{worse}",
            source.failing_since,
            (Step("Back up now", _page(source, "back_up")), Step("Look at it", _page(source))),
        )


def _bad_backups() -> Iterator[Wrong]:
    for backup in selectors.known_bad()[:50]:
        yield Wrong(
            True,
            f"Backup {backup.pk} of {backup.source.name} is known bad",
            backup.verification_detail,
            backup.verified_at,
            (Step("Take a new full backup", _page(backup.source, "back_up")), Step("Look at it", _page(backup))),
        )


def _known_bad_url() -> str:
    query = f"verification={VerificationStatus.FAILED.value}&status={Status.SUCCEEDED.value}"
    return f"{reverse('admin:backups_backup_changelist')}?{query}"


def _unready(ready: list[Readiness]) -> Iterator[Wrong]:
    for r in ready:
        if r.state == "good" or r.source.failing_since or (not r.source.enabled and r.last_good):
            continue
        bad = r.state == "bad"
        age = f"{r.words}: it is {span_words(r.age)} old, {span_words(r.rpo)} are allowed" if _too_old(r) else r.words
        back_up = Step("Back up now", _page(r.source, "back_up"))
        prove = (Step("Prove it now", _page(r.last_good, "verify")),) if r.last_good and not bad else ()
        title = f"{r.source.name} {'could not be brought back as promised' if bad else 'is not proven as promised'}"
        since = r.last_good.started_at + r.rpo if r.last_good and r.last_good.started_at and _too_old(r) else None
        yield Wrong(
            bad, title, age, since, (*prove, *(() if prove else (back_up,)), Step("Look at it", _page(r.source)))
        )


def _too_old(r: Readiness) -> bool:
    return r.last_good is not None and r.chain_state != "broken" and r.past_rpo


def _unsure(ready: list[Readiness]) -> list[Wrong]:
    """Last good backups that could not be looked at: nothing is known to be wrong, and nothing to be right."""
    found = [
        Wrong(
            False,
            f"Backup {backup.pk} of {backup.source.name} could not be verified",
            backup.verification_detail,
            backup.verified_at,
            (Step("Verify now", _page(backup, "verify")), Step("Look at it", _page(backup))),
        )
        for backup in (r.last_good for r in ready)
        if backup and backup.verification_status == VerificationStatus.COULD_NOT.value
    ]
    return first(found, "more backups could not be verified", "admin:backups_backup_changelist")


def _late(now: datetime) -> list[Wrong]:
    late = Cadence.objects.filter(next_due_at__lt=now - LATE, policy__sources__enabled=True)
    first = late.order_by("next_due_at").select_related("policy").first()
    if first is None:
        return []
    step = Step("Look at the workers", reverse("admin:monitoring_workersighting_changelist"))
    return [
        Wrong(
            True, "Backups that are due are not started", f"{first} waits for the scheduler", first.next_due_at, (step,)
        )
    ]


def _failed_restores(now: datetime) -> list[Wrong]:
    failed = Restore.objects.filter(status=RestoreStatus.FAILED.value, completed_at__gte=now - FAILED_RESTORES)
    rows = failed.filter(cancel_requested_by="").select_related("backup__source").order_by("-pk")[:MOST]
    return [
        Wrong(
            False,
            f"Restore {row.pk} of {row.backup.source.name} failed",
            row.failure_reason,
            row.completed_at,
            (Step("Look at it", _page(row)),),
        )
        for row in rows
    ]


def _slots(now: datetime) -> Iterator[Coming]:
    """Per policy, what is taken at its next moments; of those that fall together only the largest is."""
    due = Cadence.objects.filter(next_due_at__isnull=False).select_related("periodic_task__crontab").order_by("pk")
    enabled = Source.objects.filter(enabled=True).order_by("name")
    soonest = Policy.objects.filter(sources__enabled=True).annotate(soonest=Min("cadences__next_due_at"))
    policies = (
        soonest.filter(soonest__isnull=False)
        .order_by("soonest", "pk")[:SLOTS]
        .prefetch_related(
            Prefetch("cadences", due, to_attr="due"), Prefetch("sources", enabled, to_attr="enabled_sources")
        )
    )
    for policy in policies:
        moments: dict[datetime, list[Cadence]] = {}
        for cadence in policy.due if policy.enabled_sources else ():
            moments.setdefault(cadence.next_due_at or now, []).append(cadence)
        for at, cadences in moments.items():
            yield _slot(policy, at, {c.pk: c for c in cadences})


def _slot(policy: Policy, at: datetime, cadences: dict[int, Cadence]) -> Coming:
    winner, covered = coalesce([Due(c.pk, BackupType(c.backup_type), at, c.keep_days) for c in cadences.values()])
    sources = [source.name for source in policy.enabled_sources]  # type: ignore[attr-defined]
    named = ", ".join(sources[:3]) + (f" and {len(sources) - 3} more" if len(sources) > 3 else "")
    stands = f", stands for {', '.join(cadences[d.cadence_id].label for d in covered)}" if covered else ""
    crontab = cadences[winner.cadence_id].periodic_task.crontab
    zone = crontab.timezone if crontab else None
    local = f"{at.astimezone(zone):%H:%M} {zone}" if zone and str(zone) != "UTC" else ""
    return Coming(
        at,
        local,
        f"{winner.backup_type.capitalize()} backup of {named}",
        f"{policy.name}: {cadences[winner.cadence_id].label}{stands}",
        reverse("admin:backups_policy_change", args=[policy.pk]),
    )


def _retries(now: datetime) -> Iterator[Coming]:
    waiting = selectors.for_lists().filter(status=Status.QUEUED.value, not_before__gt=now).order_by("not_before", "pk")
    for backup in waiting[:SLOTS]:
        title = f"Next try at backup {backup.pk} of {backup.source.name}"
        aside = f"Attempt {backup.attempt + 1} of {backup.source.policy.max_attempts}: {backup.failure_reason}"
        yield Coming(backup.not_before, "", title, aside, _page(backup))
