"""The actor behind an HTTP request."""

from ipaddress import ip_address

from django.http import HttpRequest
from rest_framework.request import Request

from sysops.access.actors import Actor
from sysops.access.principals import TokenPrincipal

ANONYMOUS = "anonymous"


def request_address(request: HttpRequest | Request) -> str | None:
    """Where the request came from: the connection's address, or what a trusted proxy says (SYSOPS_TRUSTED_PROXIES).

    None for what is no address: a proxy may hand on what its own client wrote.
    """
    try:
        return str(ip_address(request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        return None


def request_actor(request: HttpRequest | Request) -> Actor:
    """Who sent the request: the token or user it carries, or an anonymous user, with the address."""
    address = request_address(request)
    user = getattr(request, "user", None)
    if isinstance(user, TokenPrincipal):
        return Actor.token(user.get_username(), address=address)
    if user is None or not user.is_authenticated:
        return Actor.user(ANONYMOUS, address=address)
    return Actor.user(user.get_username(), address=address)
