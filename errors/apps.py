"""Errors as a Django app."""

from django.apps import AppConfig


class ErrorsConfig(AppConfig):
    name = "errors"
    verbose_name = "Errors"

    def ready(self) -> None:
        from sysops.access.rights import ADMIN, OPERATOR, VIEWER, declare

        declare("errors.view", roles=[VIEWER], description="See issues and events of projects that are not restricted")
        declare("errors.manage", roles=[OPERATOR], description="Acknowledge, assign, resolve, ignore and merge issues")
        declare("errors.report", roles=[OPERATOR], description="Report errors as plain JSON")
        declare(
            "errors.configure", roles=[ADMIN], description="Change error projects, keys and rules; see all projects"
        )
