"""Celery's door into notifications: call one service, set the limits. What waits is rows; so no task retries itself."""

from celery import shared_task

from notifications.services import claims, clean_up, fan_out, health, sending
from sysops.events import wake
from sysops.kernel.clock import utc_now

SEND_FOR = 10.0  # then the next one goes on: ticks that share the worker have their turn in between


@shared_task(name="notifications.fan_out", time_limit=300)
def fan_out_messages(**_: object) -> None:
    """Make the deliveries of every message that waits."""
    fan_out.fan_out(now=utc_now)


@shared_task(name="notifications.send", time_limit=120)
def send(**_: object) -> None:
    """Send what is due, for a while; wake the next one when that was not all."""
    sending.send_due(now=utc_now, seconds=SEND_FOR)
    if sending.more_is_due(now=utc_now):
        wake(fan_out.SEND_TASK, expires=60.0)


@shared_task(name="notifications.sweep", time_limit=120)
def sweep(**_: object) -> None:
    """Take back what dead workers held, tell of broken channels, give up what is hopeless, wake for what waits."""
    now = utc_now()
    claims.take_back(now=now)
    sending.give_up_killers(now=now)
    sending.give_up_old(now=now)
    health.tell_broken(now=now)
    fan_out.fan_out(now=utc_now)
    if due := claims.how_many_due(now):
        fan_out.wake_senders(due)


@shared_task(name="notifications.clean_up", time_limit=3600)
def remove_old(**_: object) -> None:
    """Remove what is older than half a year."""
    clean_up.clean_up(now=utc_now)
