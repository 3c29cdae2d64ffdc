"""How the admin looks and what stands where: unfold's settings. Read by the settings, so nothing heavy here."""

from collections.abc import Callable

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

Page = tuple[str, str, str, str]  # title, icon, name of the address, right ("" = whoever may sign in)

GROUPS: list[tuple[str, list[Page]]] = [
    ("", [("Dashboard", "monitor_heart", "admin:index", "")]),
    (
        "Maintenance",
        [
            ("Calendar", "calendar_month", "admin:maintenance_window_calendar", "maintenance.view"),
            ("Windows", "engineering", "admin:maintenance_window_changelist", "maintenance.view"),
            ("Series", "event_repeat", "admin:maintenance_series_changelist", "maintenance.view"),
        ],
    ),
    (
        "Errors",
        [
            ("Issues", "bug_report", "admin:errors_issue_changelist", "errors.view"),
            ("Projects", "integration_instructions", "admin:errors_project_changelist", "errors.view"),
            ("Undigestible", "report", "admin:errors_undigestible_changelist", "errors.view"),
            ("Severity rules", "priority_high", "admin:errors_severityrule_changelist", "errors.view"),
            ("Severities", "timer", "admin:errors_severitylevel_changelist", "errors.view"),
            ("Assignment", "person_add", "admin:errors_assignmentrule_changelist", "errors.view"),
        ],
    ),
    (
        "Alerts and messages",
        [
            ("Alerts", "notifications_active", "admin:alerting_alert_changelist", "alerts.view"),
            ("Messages", "mail", "admin:notifications_message_changelist", "notifications.view"),
            ("Sent to people", "forward_to_inbox", "admin:notifications_delivery_changelist", "notifications.view"),
            ("Channels", "cell_tower", "admin:notifications_channel_changelist", "notifications.view"),
            ("Routes", "alt_route", "admin:notifications_route_changelist", "notifications.view"),
            ("Words", "edit_note", "admin:notifications_messagetemplate_changelist", "notifications.view"),
        ],
    ),
    (
        "Backups",
        [
            ("Backups", "backup", "admin:backups_backup_changelist", "backups.view"),
            ("Sources", "database", "admin:backups_source_changelist", "backups.view"),
            ("Restores", "settings_backup_restore", "admin:backups_restore_changelist", "backups.view"),
            ("Verifications", "fact_check", "admin:backups_verification_changelist", "backups.view"),
        ],
    ),
    (
        "Plan",
        [
            ("Policies", "event_repeat", "admin:backups_policy_changelist", "backups.view"),
            ("Stores", "hard_drive", "admin:backups_store_changelist", "backups.view"),
            ("Slots", "schedule", "admin:backups_cadenceslot_changelist", "backups.view"),
            ("Removals", "auto_delete", "admin:backups_removal_changelist", "backups.view"),
        ],
    ),
    (
        "Catalogue",
        [
            ("Services", "deployed_code", "admin:catalogue_service_changelist", "catalogue.view"),
            ("Tree", "account_tree", "admin:catalogue_service_tree", "catalogue.view"),
            ("Subscriptions", "mark_email_read", "admin:catalogue_subscription_changelist", "catalogue.view"),
            ("Hosts", "dns", "admin:catalogue_host_changelist", "catalogue.view"),
            ("Environments", "layers", "admin:catalogue_environment_changelist", "catalogue.view"),
            ("Teams", "groups", "admin:catalogue_team_changelist", "catalogue.view"),
            ("People", "contact_phone", "admin:catalogue_person_changelist", "catalogue.view"),
            ("On call", "support_agent", "admin:catalogue_rota_changelist", "catalogue.view"),
            ("Overrides", "swap_horiz", "admin:catalogue_oncalloverride_changelist", "catalogue.view"),
        ],
    ),
    (
        "Platform",
        [
            ("Workers", "engineering", "admin:monitoring_workersighting_changelist", "health.view"),
            ("Queue", "low_priority", "flower", "queue.view"),
            ("Events", "bolt", "admin:events_event_changelist", "events.view"),
            ("Event deliveries", "outbox", "admin:events_delivery_changelist", "events.view"),
            ("Schedule", "calendar_clock", "admin:django_celery_beat_periodictask_changelist", "backups.view"),
            ("API", "api", "docs", ""),
        ],
    ),
    (
        "Access",
        [
            ("Users", "person", "admin:auth_user_changelist", "people.view"),
            ("Roles", "badge", "admin:auth_group_changelist", "people.view"),
            ("Tokens", "key", "admin:access_apitoken_changelist", "tokens.view"),
            ("Audit log", "history", "admin:access_auditentry_changelist", "audit.view"),
        ],
    ),
]


def navigation(request: HttpRequest) -> list[dict[str, object]]:
    """The side bar: what this person may see, and nothing else."""
    from sysops.access.rights import has_right

    groups = []
    for title, pages in GROUPS:
        items = [
            {"title": page, "icon": icon, "link": _address(name), **_active(request, name)}
            for page, icon, name, right in pages
            if not right or has_right(request.user, right)
        ]
        if items:
            groups.append({"title": title, "separator": bool(title), "items": items})
    return groups


def _active(request: HttpRequest, name: str) -> dict[str, object]:
    """A page that lies below another one of the side bar: only one of the two is where one is."""
    below = {
        "admin:maintenance_window_changelist": "admin:maintenance_window_calendar",
        "admin:catalogue_service_changelist": "admin:catalogue_service_tree",
    }
    return {"active": False} if name in below and request.path == reverse(below[name]) else {}


def _address(name: str) -> str:
    return reverse(name, args=["/"]) if name == "flower" else reverse(name)


def _file(path: str) -> Callable[[HttpRequest], str]:
    return lambda request: static(path)


_BLUE = {
    "50": "oklch(97% .014 254.604)",
    "100": "oklch(93.2% .032 255.585)",
    "200": "oklch(88.2% .059 254.128)",
    "300": "oklch(80.9% .105 251.813)",
    "400": "oklch(70.7% .165 254.624)",
    "500": "oklch(62.3% .214 259.815)",
    "600": "oklch(54.6% .245 262.881)",
    "700": "oklch(48.8% .243 264.376)",
    "800": "oklch(42.4% .199 265.638)",
    "900": "oklch(37.9% .146 265.522)",
    "950": "oklch(28.2% .091 267.935)",
}

UNFOLD: dict[str, object] = {
    "SITE_TITLE": "Sysops",
    "SITE_HEADER": "Sysops",
    "SITE_URL": None,
    "SITE_ICON": _file("sysops/logo.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _file("sysops/logo.svg")}],
    "STYLES": [_file("sysops/admin.css"), _file("errors/errors.css")],
    "SCRIPTS": [_file("sysops/live.js")],
    "COLORS": {"primary": _BLUE},
    "SHOW_HISTORY": False,  # the audit log has more than Django's own history, and is one place
    "DASHBOARD_CALLBACK": "sysops.dashboard.callback",
    "SIDEBAR": {"show_search": False, "navigation": "sysops.admin_site.navigation"},
}
