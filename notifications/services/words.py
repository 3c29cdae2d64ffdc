"""The words of messages, changed by this installation."""

import re
from datetime import datetime

from django.db import transaction

from notifications import templating
from notifications.models import MessageTemplate
from notifications.services.rendering import preview
from notifications.templating import BadWords, Words
from sysops.access import audit
from sysops.access.actors import Actor
from sysops.access.driver_settings import BadSettings


def change_words(kind: str, words: Words, *, by: Actor, at: datetime) -> MessageTemplate:
    """These words from now on. Raises BadSettings by field for words that cannot be filled in."""
    if kind not in templating.kinds():
        raise BadSettings(
            {"kind": [f"There is no message of the kind {kind!r}; use one of {', '.join(templating.kinds())}"]}
        )
    if torn := {
        field: ["A {{ or {% has no end: people would read it"] for field, text in words.__dict__.items() if _torn(text)
    }:
        raise BadSettings(torn)
    try:
        for outside in (False, True):
            preview(kind, words, outside=outside)
    except BadWords as exc:
        raise BadSettings({exc.field: [str(exc)]}) from None
    with transaction.atomic():
        found = MessageTemplate.objects.select_for_update().filter(kind=kind).first()
        before = _facts(found) if found else None
        row, _ = MessageTemplate.objects.update_or_create(kind=kind, defaults={**words.__dict__, "changed_at": at})
        audit.record("notifications.words.changed", by=by, subject=row, at=at, before=before, after=_facts(row))
    return row


def reset_words(kind: str, *, by: Actor, at: datetime) -> None:
    """The shipped words again."""
    with transaction.atomic():
        found = MessageTemplate.objects.select_for_update().filter(kind=kind).first()
        if found:
            audit.record("notifications.words.reset", by=by, subject=found, at=at, before=_facts(found))
            found.delete()


def _torn(text: str) -> bool:
    """Whether a tag was begun and not ended: Django takes it for text."""
    whole = re.sub(r"{{[^\n]*?}}|{%[^\n]*?%}|{#[^\n]*?#}", "", text)
    return "{{" in whole or "{%" in whole


def _facts(row: MessageTemplate) -> dict[str, object]:
    return {"subject": row.subject, "text": row.text, "html": row.html}
