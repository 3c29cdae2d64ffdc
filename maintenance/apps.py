"""Maintenance as a Django app."""

from django.apps import AppConfig


class MaintenanceConfig(AppConfig):
    name = "maintenance"
    verbose_name = "Maintenance"

    def ready(self) -> None:
        from sysops.access.rights import OPERATOR, VIEWER, declare

        declare("maintenance.view", roles=[VIEWER], description="See maintenance windows, series and reports")
        declare("maintenance.manage", roles=[OPERATOR], description="Schedule, start, complete and cancel windows")
