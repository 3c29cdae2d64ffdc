"""What of backups becomes an alert: a series of failures, a backup that is known bad, a source past its RPO.

The rows are the truth: a handler looks at them, so that an event told twice, or late, raises nothing that is over.
"""

from datetime import datetime

from alerting.models import Alert
from alerting.services import fire, resolve
from backups import selectors
from backups.models import Backup, Source
from backups.rules import RPO_GRACE, Status
from backups.selectors import Readiness
from notifications.rules import Level
from sysops.events.models import Event
from sysops.kernel.words import span_words

RPO_KEY = "backups.rpo:"


def source_failing(event: Event) -> None:
    """One alert for the whole series of failures, not one a try (SPEC B8); critical once past the RPO."""
    found = Source.objects.filter(pk=int(event.subject), failing_since__isnull=False)
    source = found.select_related("policy", "service").first()
    if source is None:
        return
    (ready,) = selectors.readiness([source], now=event.at)
    fire(
        key=_failing_key(source.pk),
        level=Level.CRITICAL if _past_rpo(ready, now=event.at) else Level.WARNING,
        title=f"Backups of {source.name} fail",
        detail=source.failing_reason or str(event.data.get("reason", "")),
        service=source.service,
        path=_source_path(source.pk),
        at=event.at,
    )


def source_recovered(event: Event) -> None:
    """A backup succeeded: the series is over, unless another one has begun since."""
    if not Source.objects.filter(pk=int(event.subject), failing_since__isnull=False).exists():
        resolve(key=_failing_key(int(event.subject)), detail="A backup succeeded", at=event.at)


def verification_ended(event: Event) -> None:
    """A backup was found bad, or one that was known bad is right after all."""
    backup = Backup.objects.select_related("source__service").filter(pk=int(event.data["backup"])).first()
    if backup is None:
        return
    if backup.status != Status.SUCCEEDED.value or not backup.known_bad:
        resolve(key=_bad_key(backup.pk), detail="The backup is not known bad any more", at=event.at)
        return
    fire(
        key=_bad_key(backup.pk),
        level=Level.CRITICAL,
        title=f"Backup {backup.pk} of {backup.source.name} is bad",
        detail=f"{backup.verification_detail}. Neither it nor what stands on it can be relied on: take a full backup.",
        service=backup.source.service,
        path=f"/admin/backups/backup/{backup.pk}/change/",
        at=event.at,
    )


def backup_expired(event: Event) -> None:
    """A bad backup that was removed misleads nobody any more."""
    resolve(key=_bad_key(int(event.subject)), detail="The backup was removed", at=event.at)


def settle_rpo(*, now: datetime) -> int:
    """Raise an alert for every source past its RPO, end those of the others (SPEC B14); how many were raised.

    A source that is switched off is not expected to have fresh backups.
    """
    opened = Alert.objects.filter(key__startswith=RPO_KEY, resolved_at=None)
    open_keys = set(opened.values_list("key", flat=True))
    past = {
        _rpo_key(r.source.pk): r for r in selectors.readiness(now=now) if r.source.enabled and _past_rpo(r, now=now)
    }
    for key in sorted(open_keys - past.keys()):
        resolve(key=key, detail="There is a good backup within the RPO, or none is expected any more", at=now)
    for key in sorted(past.keys() - open_keys):
        _fire_rpo(key, past[key], now=now)
    return len(past.keys() - open_keys)


def _fire_rpo(key: str, ready: Readiness, *, now: datetime) -> None:
    source = ready.source
    if ready.age is None:
        detail = f"There is no good backup of it at all, {span_words(now - source.created_at)} after it was made known."
    else:
        detail = f"The last good backup is {span_words(ready.age)} old."
    if source.failing_since:
        detail += f" Backups fail: {source.failing_reason}"
    fire(
        key=key,
        level=Level.CRITICAL,
        title=f"{source.name} is past its RPO of {span_words(ready.rpo)}",
        detail=detail,
        service=source.service,
        path=_source_path(source.pk),
        at=now,
    )


def _past_rpo(ready: Readiness, *, now: datetime) -> bool:
    """Whether the last good backup is too old; a new source is given its RPO to get its first one."""
    if ready.last_good is None:
        return now - ready.source.created_at > ready.rpo + RPO_GRACE
    return ready.past_rpo


def _failing_key(pk: int) -> str:
    return f"backups.source:{pk}"


def _bad_key(pk: int) -> str:
    return f"backups.bad:{pk}"


def _rpo_key(pk: int) -> str:
    return f"{RPO_KEY}{pk}"


def _source_path(pk: int) -> str:
    return f"/admin/backups/source/{pk}/change/"
