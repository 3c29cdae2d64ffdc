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
    "ending": "over",
    "how": "A backup succeeded.",
    "count": 3,
    "began_in_maintenance": False,
    "worse": False,
    "url": "/admin/alerting/alert/7/change/",
    "acknowledge_url": "",
}
_ISSUE: Mapping[str, object] = {
    "issue_id": 21,
    "title": "PaymentError: the bank does not answer",
    "project": "Shop",
    "service": "Checkout",
    "what": "new",
    "severity": "high",
    "because": "Several accounts meet it",
    "culprit": "shop.payment in pay",
    "environment": "production",
    "release": "shop@1.4.0",
    "event_count": 42,
    "since_count": 12,
    "affected_accounts": 7,
    "accounts_exact": True,
    "assignee": "Ada",
    "assigned_by": "ben",
    "first_seen_at": "2027-01-15T02:00:00+00:00",
    "respond_by_at": "2027-01-15T03:00:00+00:00",
    "count": 1,
    "counts": "1 new",
    "severities": "1 high",
    "issues": [],
    "more": 0,
    "url": "/admin/errors/issue/21/change/",
    "acknowledge_url": "https://sysops.example/errors/act/…",
    "take_url": "https://sysops.example/errors/act/…",
    "resolve_url": "https://sysops.example/errors/act/…",
    "ignore_url": "https://sysops.example/errors/act/…",
}
_ISSUES: Mapping[str, object] = {
    "project": "Shop",
    "service": "Checkout",
    "severity": "high",
    "count": 12,
    "counts": "11 new, 1 going on",
    "severities": "1 high, 11 medium",
    "issues": [
        {
            name: _ISSUE[name]
            for name in ("title", "what", "severity", "event_count", "since_count", "affected_accounts")
        }
        | {name: _ISSUE[name] for name in ("assignee", "respond_by_at", "url")}
    ],
    "more": 11,
    "url": "/admin/errors/issue/?project__id__exact=3",
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
        "refused": False,
        "url": "/admin/notifications/channel/1/change/",
    },
    "notifications.channel_works": {
        "channel": "E-mail",
        "channel_id": 1,
        "since_at": "2027-01-15T02:00:00+00:00",
        "error": "",
        "refused": False,
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
    if kind == "errors.new_issues":
        return dict(_ISSUES)
    if kind.startswith("errors."):
        return dict(_ISSUE)
    return dict(_OTHERS.get(kind, {"title": f"A message of the kind {kind}"}))
