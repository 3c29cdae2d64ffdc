"""Reports that could not be digested, given to the digest once more: all that is kept of them is not stored yet."""

from datetime import datetime

from django.db import transaction
from django.db.models import F

from errors.models import OutcomeCount, Spool, Undigestible
from errors.rules import Outcome
from errors.services.spooling import wake_digest
from errors.services.unpacking import ERROR
from sysops.access import audit
from sysops.access.actors import Actor


class AlreadyTried(Exception):
    """The report is not kept aside any more: somebody else gave it back, or its time was over."""


def digest_again(report: Undigestible, *, by: Actor, at: datetime) -> None:
    """What was kept of the report waits to be digested again; what is wrong with it still is kept aside anew.

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
        _count_no_more(kept)
        facts = {"project": kept.project_id, "reason": kept.reason}
        audit.record("errors.undigestible.retried", by=by, subject=kept, at=at, before=facts, after=None)
        kept.delete()
        transaction.on_commit(wake_digest, robust=True)


def _count_no_more(kept: Undigestible) -> None:
    """It does not count as undigestible while it waits: the digest counts what becomes of it."""
    hour = kept.received_at.replace(minute=0, second=0, microsecond=0)
    counted = OutcomeCount.objects.filter(project=kept.project_id, hour=hour, category=ERROR, reason="")
    counted.filter(outcome=Outcome.UNDIGESTIBLE.value, quantity__gt=0).update(quantity=F("quantity") - 1)
