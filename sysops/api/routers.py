"""Addresses of view sets."""

from rest_framework.routers import SimpleRouter


class Router(SimpleRouter):
    """Addresses without a slash at the end; `sysops.api.slashes` answers those with one."""

    def __init__(self) -> None:
        super().__init__(trailing_slash=False)
