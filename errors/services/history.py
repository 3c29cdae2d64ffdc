"""The history of issues: written in the same transaction as the change it tells of."""

from collections.abc import Mapping
from datetime import datetime

from errors.models import ActivityEntry, Issue
from errors.rules import Activity

BY_ITSELF = "sysops"


def note(
    issue: Issue, kind: Activity, *, by: str, at: datetime, text: str = "", data: Mapping[str, object] | None = None
) -> ActivityEntry:
    """One more line in the issue's history. `by` is a person's or token's name, or BY_ITSELF."""
    return ActivityEntry.objects.create(issue=issue, kind=kind.value, by=by, at=at, text=text, data=dict(data or {}))
