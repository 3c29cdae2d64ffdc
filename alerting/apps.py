"""Alerting as a Django app."""

from django.apps import AppConfig


class AlertingConfig(AppConfig):
    name = "alerting"
    verbose_name = "Alerting"

    def ready(self) -> None:
        from sysops.access.rights import VIEWER, declare

        declare("alerts.view", roles=[VIEWER], description="See alerts, those held back by maintenance among them")
