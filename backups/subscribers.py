"""What backups does when something happened: tell a worker. The row is there; the message only saves the wait."""

from backups.models import Backup
from backups.rules import MESSAGE_LIVES, Status
from sysops.events import wake
from sysops.events.models import Event

EXPIRES = MESSAGE_LIVES.total_seconds()


def take_queued(event: Event) -> None:
    wake("backups.take", subject=str(event.subject), expires=EXPIRES)


def verify_queued(event: Event) -> None:
    wake("backups.verify", subject=str(event.subject), expires=EXPIRES)


def restore_queued(event: Event) -> None:
    wake("backups.restore", subject=str(event.subject), expires=EXPIRES)


def stop_asked(event: Event) -> None:
    wake("backups.stop_server", subject=str(event.subject), expires=EXPIRES)


def take_next(event: Event) -> None:
    """When a backup ends, the one that waited behind it need not wait for the sweeper."""
    ended = Backup.objects.filter(pk=int(event.subject)).values("source_id")
    for pk in Backup.objects.filter(source_id__in=ended, status=Status.QUEUED.value).values_list("pk", flat=True):
        wake("backups.take", subject=str(pk), expires=EXPIRES)
