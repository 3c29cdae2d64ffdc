"""Raising and ending alerts. The only module that writes them; what is told of them is posted in the same transaction.

services.fire(key="backups.source:12", level=Level.WARNING, title="Backups of shop-db fail", service=shop, at=now)
services.resolve(key="backups.source:12", detail="A backup succeeded.", at=now)
"""

from datetime import datetime, timedelta

from django.db import connection, transaction

from alerting import rules, selectors
from alerting.models import Alert
from alerting.rules import Ending, Step
from catalogue.models import Service
from catalogue.rules import State
from notifications.audience import Audience
from notifications.rules import Level
from notifications.services import messages
from sysops.access.rules import text
from sysops.events import publish
from sysops.kernel.clock import Clock
from sysops.kernel.redaction import redact

_LOCK = 7_305_010  # advisory lock space: one writer per key, also while there is no row to lock
_LONGEST_KEY = 200
KEEP = timedelta(days=730)
_INSTANT = timedelta(microseconds=1)
_ENDED = {
    Ending.OVER: "It is over.",
    Ending.TAKEN_CARE_OF: "Somebody has taken care of it.",
    Ending.PART_OF_ANOTHER: "It is part of another one now.",
    Ending.NO_LONGER_CRITICAL: "It is no longer critical.",
}


def fire(
    *,
    key: str,
    level: Level,
    title: str,
    at: datetime,
    detail: str = "",
    service: Service | None = None,
    path: str = "",
) -> Alert:
    """The open alert of this key: a new one, or the one that is open already, counted up.

    `key` names what is wrong ("backups.source:12"), so that it is one alert however often it is noticed. It is told
    once, and again when its level rises. While `service` is in maintenance nothing is sent: see `release_held`.
    `path` is where to look, below this server.
    """
    if not 0 < len(key) <= _LONGEST_KEY:
        raise ValueError(f"The key of an alert has 1 to {_LONGEST_KEY} characters, {key[:50]!r} has {len(key)}")
    words = {"title": _words(title, 300), "detail": _words(detail, 5_000), "path": text(path, limit=300)}
    with transaction.atomic():
        alert = _locked(key)
        news = alert is None or rules.rises(Level(alert.level), level)
        if alert is None:
            alert = Alert(key=key, level=level.value, raised_at=at, last_seen_at=at, **words)
            # Looked up again: it may have been deleted since the caller read it.
            alert.service = Service.objects.filter(pk=service.pk).first() if service else None
            alert.save()
        else:
            _count_up(alert, level, words, at)
        _settle(alert, news=news, at=at)
    return alert


def resolve(*, key: str, detail: str = "", ending: Ending = Ending.OVER, at: datetime) -> bool:
    """Whether an alert of this key was open and has ended now. What nobody was told of ends as quietly.

    `ending` says what kind of end it is, `detail` how it came in words.
    """
    with transaction.atomic():
        alert = _locked(key)
        if alert is None:
            return False
        alert.resolved_at = at
        alert.save(update_fields=["resolved_at"])
        _take_back(alert, _ENDED[ending], at=at)
        if alert.told_at:
            messages.post(
                key=f"alert:{alert.pk}:resolved",
                kind="alert.resolved",
                level=Level.INFO,
                context={
                    **_context(alert),
                    "resolved_at": at.isoformat(),
                    "ending": ending.value,
                    "how": _words(detail, 5_000),
                },
                audience=_audience(alert),
                at=at,
                thread=f"alert:{alert.pk}",
            )
        _publish("resolved", alert, at)
    return True


def release_held(*, now: Clock) -> int:
    """Tell of held-back alerts that outlived the maintenance; how many. Any number of these at once tell once."""
    released = 0
    for pk in selectors.releasable().values_list("pk", flat=True):
        with transaction.atomic():
            # `skip_locked`: whoever holds the row is releasing or ending it.
            alert = selectors.releasable().select_for_update(of=("self",), skip_locked=True).filter(pk=pk).first()
            if alert:
                _settle(alert, news=False, at=now())
                released += 1
    return released


def clean_up(*, now: datetime) -> int:
    """Remove alerts that were over two years ago; how many. Reports of windows have their own copies."""
    return Alert.objects.filter(resolved_at__lt=now - KEEP).delete()[0]


def _words(said: str, limit: int) -> str:
    return text(redact(said), limit=limit)


def _locked(key: str) -> Alert | None:
    """The open alert of this key, ours until the end of the transaction, which also owns the key."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK, key])
    return selectors.for_lists().select_for_update(of=("self",)).filter(key=key, resolved_at=None).first()


def _count_up(alert: Alert, level: Level, words: dict[str, str], at: datetime) -> None:
    alert.count += 1
    alert.last_seen_at = max(at, alert.last_seen_at)
    alert.level = rules.highest(Level(alert.level), level).value
    for name, value in words.items():
        setattr(alert, name, value)
    alert.save(update_fields=["count", "last_seen_at", "level", *words])


def _settle(alert: Alert, *, news: bool, at: datetime) -> None:
    service = alert.service
    in_maintenance = service is not None and service.state == State.MAINTENANCE.value
    match rules.next_step(news=news, waits=alert.waits, in_maintenance=in_maintenance):
        case Step.HOLD:
            # Machines' clocks differ a little; what is told and what waits must not be decided by that.
            alert.held_back_at = max(at, alert.told_at + _INSTANT) if alert.told_at else at
            alert.held_back_by = service.state_reason if service else ""
            alert.save(update_fields=["held_back_at", "held_back_by"])
            _publish("held_back", alert, at)
        case Step.TELL:
            waited = alert.waits
            _tell(alert, waited=waited, at=at)
            _publish("released" if waited else "raised", alert, at)


def _tell(alert: Alert, *, waited: bool, at: datetime) -> None:
    worse = alert.told_at is not None
    alert.told_at = max(at, alert.held_back_at) if alert.held_back_at else at
    alert.save(update_fields=["told_at"])
    if worse:
        _take_back(alert, "It has become worse since.", at=at)
    else:
        _take_back_end(alert, at=at)
    messages.post(
        key=f"alert:{alert.pk}:raised" + (f":{alert.level}" if worse else ""),
        kind="alert.raised",
        level=Level(alert.level),
        context={**_context(alert), "began_in_maintenance": waited and not worse, "worse": worse},
        audience=_audience(alert),
        at=at,
        thread=f"alert:{alert.pk}",
    )


def _take_back(alert: Alert, because: str, *, at: datetime) -> None:
    """Who was not reached yet does not read afterwards, as if it were so now, how it was."""
    messages.expire(thread=f"alert:{alert.pk}", kinds=["alert.raised"], because=because, at=at)


def _take_back_end(alert: Alert, *, at: datetime) -> None:
    """Who was not reached yet does not read, after this, that the last one of its key is over."""
    told = Alert.objects.filter(key=alert.key, pk__lt=alert.pk, told_at__isnull=False)
    last = told.order_by("-pk").values_list("pk", flat=True).first()
    if last is not None:
        messages.expire(thread=f"alert:{last}", kinds=["alert.resolved"], because="It is wrong again.", at=at)


def _context(alert: Alert) -> dict[str, object]:
    return {
        "alert_id": alert.pk,
        "title": alert.title,
        "detail": alert.detail,
        "level": alert.level,
        "service": alert.service.name if alert.service else "",
        "raised_at": alert.raised_at.isoformat(),
        "count": alert.count,
        "held_back_at": alert.held_back_at.isoformat() if alert.held_back_at else None,
        "held_back_by": alert.held_back_by,
        "url": alert.link or f"/admin/alerting/alert/{alert.pk}/change/",
    }


def _audience(alert: Alert) -> Audience:
    team = alert.service.owner_team_id if alert.service else None
    if team is None:
        return Audience(operators=True)
    on_call = (team,) if alert.level == Level.CRITICAL.value else ()
    # The team, not "the owners of": the service may be gone before the message is fanned out.
    return Audience(teams=(team,), on_call_of=on_call)


def _publish(what: str, alert: Alert, at: datetime) -> None:
    data = {
        "about": alert.key,
        "level": alert.level,
        "title": alert.title,
        "service": alert.service.slug if alert.service else None,
        "held_back_by": alert.held_back_by,
    }
    publish(f"alerting.alert.{what}", subject=alert.pk, at=at, data=data)
