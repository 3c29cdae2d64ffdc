"""What became of all that was sent: counted by hour, so that a project sees what it loses and why."""

from collections.abc import Mapping
from datetime import datetime

from errors.rules import Outcome
from errors.services import raw

# (project, received at, category, outcome, reason)
Sent = tuple[int, datetime, str, Outcome, str]

_ADD = """
INSERT INTO errors_outcomecount AS counted (project_id, hour, category, outcome, reason, quantity)
SELECT new.* FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::bigint[])
    AS new (project_id, hour, category, outcome, reason, quantity)
WHERE EXISTS (SELECT FROM errors_project WHERE id = new.project_id)
ON CONFLICT (project_id, hour, category, outcome, reason) DO UPDATE SET quantity = counted.quantity + excluded.quantity
"""


def count(sent: Mapping[Sent, int]) -> None:
    """Add these quantities, in one statement; what belongs to a project that is gone is left out."""
    totals: dict[Sent, int] = {}
    for (project, at, category, outcome, reason), quantity in sent.items():
        hour = at.replace(minute=0, second=0, microsecond=0)
        key = (project, hour, category[:40], outcome, reason[:100])
        totals[key] = totals.get(key, 0) + quantity
    if not totals:
        return
    ordered = sorted(totals)  # two who count at the same time lock the rows in the same order
    columns = [list(column) for column in zip(*ordered)]
    with raw.cursor() as cursor:
        cursor.execute(_ADD, [*columns, [totals[key] for key in ordered]])
