"""The project as an app: the last to be ready, so that it can wire the others together."""

from django.apps import AppConfig


class SysopsConfig(AppConfig):
    name = "sysops"

    def ready(self) -> None:
        from sysops import wiring

        wiring.wire()
