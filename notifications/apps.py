"""Notifications as a Django app."""

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = "Notifications"

    def ready(self) -> None:
        from sysops.access.rights import ADMIN, OPERATOR, declare

        declare("notifications.view", roles=[OPERATOR], description="See messages and deliveries, send them again")
        declare("notifications.configure", roles=[ADMIN], description="Change channels, routes and templates")
