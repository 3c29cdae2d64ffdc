"""Reports that could not be digested, given to the digest once more."""

from datetime import datetime

from django.db import transaction

from errors.models import Spool, Undigestible
from errors.services.spooling import wake_digest
from sysops.access import audit
from sysops.access.actors import Actor


class AlreadyTried(Exception):
    """The report is not kept aside any more: somebody else gave it back, or its time was over."""


def digest_again(report: Undigestible, *, by: Actor, at: datetime) -> None:
    """The report waits to be digested again, as it came; what is wrong with it still is kept aside anew.

    Raises AlreadyTried.
    """
    with transaction.atomic():
        kept = Undigestible.objects.select_for_update().filter(pk=report.pk).first()
        if kept is None:
            raise AlreadyTried("This report is not kept aside any more.")
        Spool.objects.create(
            project_id=kept.project_id,
            received_at=kept.received_at,
            event_id=kept.event_id,
            kind=kept.kind,
            encoding=kept.encoding,
            body=kept.body,
        )
        facts = {"project": kept.project_id, "reason": kept.reason}
        audit.record("errors.undigestible.retried", by=by, subject=kept, at=at, before=facts, after=None)
        kept.delete()
        transaction.on_commit(wake_digest, robust=True)
