"""The outbox: what happened is stored with the change that made it so, and told to subscribers afterwards.

publish("backups.backup.failed", subject=backup.pk, at=now)                       # in a service, inside atomic()
subscribe("backups.*", subscriber="dashboard.refresh", handler=refresh)           # in wiring
"""

from collections.abc import Mapping
from datetime import datetime

from sysops.events.registry import subscribe
from sysops.events.waking import wake

__all__ = ["publish", "publish_many", "subscribe", "wake"]


def publish(name: str, *, subject: object, at: datetime, data: Mapping[str, object] | None = None) -> int:
    """Record that something happened, in the caller's transaction; subscribers hear of it after the commit.

    `subject` is the key of what it happened to; `data` is JSON and never holds a secret. Returns the event's id.
    Raises NotInTransaction outside `transaction.atomic()`, BadEvent for what cannot be stored.
    """
    from sysops.events import services  # models can only be imported once Django has loaded the apps

    return services.publish(name, subject=subject, at=at, data=data)


def publish_many(name: str, data: Mapping[str, Mapping[str, object]], *, at: datetime) -> list[int]:
    """Record that the same thing happened to many, in two statements: `data` by subject, told in its order.

    Returns the events' ids. Raises as `publish`, and then nothing is recorded.
    """
    from sysops.events import services

    return services.publish_many(name, data, at=at)
