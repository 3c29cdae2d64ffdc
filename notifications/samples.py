"""A made-up context for each kind of message: what previews show, and what changed words are tried on."""

from collections.abc import Mapping

_WINDOW: Mapping[str, object] = {
    "window_id": 12,
    "title": "Upgrade of the shop database",
    "description": "The shop is read-only while the database is upgraded.",
    "maintenance_type": "planned",
    "status": "scheduled",
    "start_at": "2027-01-15T02:00:00+00:00",
    "end_at": "2027-01-15T04:00:00+00:00",
    "actual_start_at": "2027-01-15T02:01:00+00:00",
    "completed_at": "2027-01-15T03:40:00+00:00",
    "duration_words": "2 hours",
    "services": ["Shop database"],
    "reached": ["Shop", "Checkout"],
    "update": "The new version runs. We are checking it.",
    "author": "Ada",
    "previous_start_at": "2027-01-14T02:00:00+00:00",
    "previous_end_at": "2027-01-14T04:00:00+00:00",
    "reason": "The backup before it took longer.",
    "url": "/admin/maintenance/window/12/change/",
    "starts_itself": False,
}
_ALERT: Mapping[str, object] = {
    "alert_id": 7,
    "title": "Backups of shop-db fail",
    "detail": "The last three attempts failed: no space left on the store.",
    "level": "critical",
    "service": "Shop database",
    "raised_at": "2027-01-15T02:00:00+00:00",
    "resolved_at": "2027-01-15T03:00:00+00:00",
    "how": "A backup succeeded.",
    "count": 3,
    "began_in_maintenance": False,
    "worse": False,
    "url": "/admin/alerting/alert/7/change/",
}
_OTHERS: Mapping[str, Mapping[str, object]] = {
    "catalogue.confirm_subscription": {
        "service": "Shop",
        "confirm_url": "https://sysops.example/subscriptions/confirm/…",
    },
    "notifications.channel_broken": {
        "channel": "E-mail",
        "channel_id": 1,
        "since_at": "2027-01-15T02:00:00+00:00",
        "error": "The mail server mail.example:587 does not answer: connection refused",
        "url": "/admin/notifications/channel/1/change/",
    },
    "notifications.channel_works": {
        "channel": "E-mail",
        "channel_id": 1,
        "since_at": "2027-01-15T02:00:00+00:00",
        "error": "",
        "url": "/admin/notifications/channel/1/change/",
    },
    "notifications.test": {"channel": "E-mail", "author": "ada", "sent_at": "2027-01-15T02:00:00+00:00"},
}


def sample(kind: str) -> dict[str, object]:
    """A context such as messages of this kind have."""
    if kind.startswith("maintenance."):
        return dict(_WINDOW)
    if kind.startswith("alert."):
        return dict(_ALERT)
    return dict(_OTHERS.get(kind, {"title": f"A message of the kind {kind}"}))
