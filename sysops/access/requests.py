"""The actor behind an HTTP request."""

from django.http import HttpRequest
from rest_framework.request import Request

from sysops.access.actors import Actor
from sysops.access.principals import TokenPrincipal

ANONYMOUS = "anonymous"


def request_actor(request: HttpRequest | Request) -> Actor:
    """Who sent the request: the token or user it carries, or an anonymous user, with the address."""
    # The address of the connection: a header such as X-Forwarded-For says whatever its sender likes.
    address = request.META.get("REMOTE_ADDR") or None
    user = getattr(request, "user", None)
    if isinstance(user, TokenPrincipal):
        return Actor.token(user.get_username(), address=address)
    if user is None or not user.is_authenticated:
        return Actor.user(ANONYMOUS, address=address)
    return Actor.user(user.get_username(), address=address)
