"""The first page: what is wrong and what to do about it, what runs, what is due, how ready each source is."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.exceptions import PermissionDenied
from django.db.models import Min, Prefetch
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from backups import selectors
from backups.admin.progress import under_way
from backups.models import Backup, Cadence, Policy, Restore, Source
from backups.rules import BackupType, Due, RestoreStatus, Status, VerificationStatus, coalesce
from backups.selectors import Readiness
from monitoring.selectors import health_summary, report
from sysops.access.rights import has_right
from sysops.events.selectors import outbox
from sysops.kernel.clock import utc_now
from sysops.kernel.words import span_words

LATEST = 10
MOST = 5  # of one kind of trouble; the rest is one line with their number
SLOTS = 8
READY = 25
LATE = timedelta(minutes=5)
FAILED_RESTORES = timedelta(days=1)


@dataclass(frozen=True)
class Step:
    """What to do next; without an address it is done elsewhere."""

    label: str
    url: str = ""


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong, in words, since when if that is known, and what to do."""

    critical: bool
    title: str
    detail: str
    since: datetime | None
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Coming:
    """A slot that comes: what is taken then, of what, and what it stands for."""

    at: datetime
    local: str
    title: str
    aside: str
    url: str


def callback(request: HttpRequest, context: dict[str, object]) -> dict[str, object]:
    """What unfold asks for to fill the first page."""
    return {**context, **_running(request), **_overview(request)}


def running(request: HttpRequest) -> HttpResponse:
    """What runs now, for the script that follows it."""
    if not has_right(request.user, "backups.view"):
        raise PermissionDenied
    return _part(request, "sysops/running.html", _running(request))


def overview(request: HttpRequest) -> HttpResponse:
    """The rest of the first page, for the script that follows it at leisure."""
    return _part(request, "sysops/overview.html", _overview(request))


def _part(request: HttpRequest, template: str, context: dict[str, object]) -> HttpResponse:
    return TemplateResponse(request, template, context, headers={"Cache-Control": "no-store"})


def _running(request: HttpRequest) -> dict[str, object]:
    if not has_right(request.user, "backups.view"):
        return {"may_see": False}
    rights = {name for name in ("backups.request", "backups.restore") if has_right(request.user, name)}
    return {"may_see": True, "under_way": under_way(now=utc_now()), "cancel_rights": rights}


def _overview(request: HttpRequest) -> dict[str, object]:
    now = utc_now()
    may_see = has_right(request.user, "backups.view")
    ready = selectors.readiness(now=now) if may_see else []
    wrong: list[Wrong] = []
    checked_at = now
    if has_right(request.user, "health.view"):
        found = report()
        checked_at = found.at
        wrong += [
            Wrong(p.severity == "critical", p.title, p.detail, None, (Step(p.action_label, p.url),))
            for p in health_summary(found)
        ]
    if may_see:
        wrong += _first(list(_failing(ready)), "more sources are failing", "admin:backups_source_changelist")
        wrong += _first(list(_bad_backups()), "more backups are known bad", _known_bad_url())
        wrong += _first(list(_unready(ready)), "more sources are not ready", "admin:backups_source_changelist")
        wrong += [*_unsure(ready), *_late(now), *_failed_restores(now)]
    if has_right(request.user, "events.view"):
        wrong += _outbox(now)
    return {
        "may_see": may_see,
        "may_request": has_right(request.user, "backups.request"),
        "wrong": sorted(wrong, key=lambda w: not w.critical),
        "checked_at": checked_at,
        "coming": _coming(now) if may_see else [],
        "ready": ready[:READY],
        "ready_more": len(ready) - READY,
        "ready_good": sum(r.state == "good" for r in ready),
        "ready_total": len(ready),
        "latest": selectors.for_lists().order_by("-pk")[:LATEST] if may_see else [],
    }


def _first(wrong: list[Wrong], more: str, url: str) -> list[Wrong]:
    """The first few, and one line for the others: a page of fifty equal lines tells less."""
    if len(wrong) <= MOST:
        return wrong
    rest = wrong[MOST:]
    step = Step("Look at them", reverse(url) if ":" in url else url)
    return [*wrong[:MOST], Wrong(any(w.critical for w in rest), f"{len(rest)} {more}", "", None, (step,))]


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
    return _first(found, "more backups could not be verified", "admin:backups_backup_changelist")


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


def _outbox(now: datetime) -> list[Wrong]:
    found = outbox(at=now)
    url = reverse("admin:events_delivery_changelist")
    wrong = []
    if found.dead:
        title = f"{found.dead} event {'delivery was' if found.dead == 1 else 'deliveries were'} given up"
        detail = "What should have followed from them did not happen."
        wrong.append(Wrong(True, title, detail, None, (Step("See why and try again", f"{url}?state__exact=dead"),)))
    if found.oldest_waits and found.oldest_waits > LATE:
        detail = f"{found.pending} deliveries wait; no worker relays them."
        step = Step("See which", f"{url}?state__exact=pending")
        wrong.append(Wrong(True, "Events are not passed on", detail, now - found.oldest_waits, (step,)))
    return wrong


def _coming(now: datetime) -> list[Coming]:
    """The next slots and the next tries, soonest first."""
    return sorted([*_slots(now), *_retries(now)], key=lambda c: (c.at, c.title))[:SLOTS]


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
