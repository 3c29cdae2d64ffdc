"""Monitoring as a Django app; in a worker process it makes the worker known."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    name = "monitoring"
    verbose_name = "Monitoring"

    def ready(self) -> None:
        from monitoring import parts, sightings
        from sysops.access.rights import ADMIN, VIEWER, declare

        declare("health.view", roles=[VIEWER], description="See the health of every part, with its figures")
        declare("health.forget_worker", roles=[ADMIN], description="Stop missing a worker that will not come back")
        parts.register()
        sightings.connect()
