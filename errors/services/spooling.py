"""Taking a report inside Sysops: the same spool that SDKs' reports go to, for those that come through the API."""

from datetime import datetime
from uuid import UUID, uuid4

from django.db import transaction

from errors.models import Project, Spool
from errors.rules import Kind
from sysops.events import wake

DIGEST_TASK = "intake.digest"
WAKE_EXPIRES = 60.0  # the sweep wakes again every 10 seconds, so an old message is worth nothing


def spool(
    project: Project, *, kind: Kind, body: bytes, event_id: UUID | None = None, remote: str = "", at: datetime
) -> UUID:
    """The id under which the report will be stored. It waits in the spool, in the caller's transaction, as a row.

    `body` is what `kind` says, not packed: a report is never unpacked here, only by the digest.
    """
    made = event_id or uuid4()
    Spool.objects.create(
        project_id=project.pk,
        received_at=at,
        event_id=made,
        kind=kind.value,
        encoding="identity",
        remote=remote[:45],
        body=body,
    )
    transaction.on_commit(wake_digest, robust=True)
    return made


def wake_digest() -> None:
    """Tell a worker that reports wait. A call that is lost costs a delay until the next sweep."""
    wake(DIGEST_TASK, expires=WAKE_EXPIRES)
