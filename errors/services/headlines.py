"""Headlines that follow the latest event in the end: the digest leaves those of a burst, and the tick catches up."""

from datetime import datetime, timedelta

from errors.headings import heading
from errors.models import Issue
from errors.selectors import latest_event, payload_of
from errors.services import bulk

BATCH = 200
# While events come the digest sees to it, once a minute.
QUIET = timedelta(seconds=15)
_HEADLINE = ("error_type", "error_message", "culprit", "headline_behind")


def catch_up(*, at: datetime) -> int:
    """Call issues that have become quiet what their latest event says; how many. In a transaction of its own."""
    behind = Issue.objects.filter(headline_behind=True, latest_received_at__lte=at - QUIET).defer("search")
    issues = list(behind.order_by("pk").select_for_update(of=("self",), skip_locked=True)[:BATCH])
    for issue in issues:
        issue.headline_behind = False
        event = latest_event(issue)
        if event and (payload := payload_of(event)):  # else retention has taken it: it keeps the headline it has
            found = heading(payload)
            issue.error_type, issue.error_message, issue.culprit = found.error_type, found.error_message, found.culprit
    bulk.update(issues, *_HEADLINE)
    return len(issues)
