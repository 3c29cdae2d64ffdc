"""Which right each endpoint needs. An endpoint that does not say is refused."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from sysops.access.rights import has_right

if TYPE_CHECKING:  # DRF's views import this module through the settings
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)

PUBLIC: Final = "public"  # no right has a name without a dot


class HasRight(BasePermission):
    """The view's `rights` say it: {"list": "backups.view", "create": "backups.request"} for view sets (by action),
    {"get": "health.view"} for views (by method). The value PUBLIC needs no sign-in."""

    message = "You do not have the right to do this."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        rights: Mapping[str, str] = getattr(view, "rights", {})
        if request.method == "OPTIONS" or not hasattr(view, (request.method or "").lower()):
            # Tells which methods there are: as a 204, or on the way to a 405.
            return PUBLIC in rights.values() or bool(request.user and request.user.is_authenticated)
        key = key_of(request.method or "", view)
        right = rights.get(key)
        if right is None:
            logger.error("%s declares no right for %s: refused", type(view).__name__, key)
            return False
        return right == PUBLIC or has_right(request.user, right)


def key_of(method: str, view: "APIView") -> str:
    """Under which key a view declares the right for this request."""
    action = getattr(view, "action", None)
    return action or ("get" if method == "HEAD" else method.lower())
