"""What the first page says of Sysops itself."""

from datetime import datetime, timedelta

from django.urls import reverse

from sysops.dashboard.parts import Step, Wrong
from sysops.events.selectors import outbox

LATE = timedelta(minutes=5)


def wrong(*, now: datetime) -> list[Wrong]:
    """Events that were given up or that nobody passes on."""
    found = outbox(at=now)
    url = reverse("admin:events_delivery_changelist")
    wrong = []
    if found.dead:
        title = f"{found.dead} event {'delivery was' if found.dead == 1 else 'deliveries were'} given up"
        detail = "What should have followed from them did not happen."
        wrong.append(Wrong(True, title, detail, None, (Step("See why and try again", f"{url}?state__exact=dead"),)))
    if found.oldest_waits and found.oldest_waits > LATE:
        detail = f"{found.pending} deliveries wait; no worker relays them."
        step = Step("See which", f"{url}?state__exact=pending")
        wrong.append(Wrong(True, "Events are not passed on", detail, now - found.oldest_waits, (step,)))
    return wrong
