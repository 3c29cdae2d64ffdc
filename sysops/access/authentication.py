"""`Authorization: Bearer sysops_…` for DRF."""

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from sysops.access import services
from sysops.access.principals import TokenPrincipal


class BearerAuthentication(BaseAuthentication):
    """A request with a good token is its token's. A bad one is refused, even where no token is needed."""

    scheme = "Bearer"

    def authenticate(self, request: Request) -> tuple[TokenPrincipal, None] | None:
        header = str(request.META.get("HTTP_AUTHORIZATION", ""))
        scheme, _, given = header.partition(" ")
        if scheme.lower() != self.scheme.lower():
            return None
        plain = given.strip()
        principal = services.principal_of(plain, at=timezone.now()) if plain.isascii() else None
        if principal is None:
            # One answer for all reasons: it tells whoever tries tokens nothing.
            raise AuthenticationFailed("The token is unknown, expired or revoked.")
        return principal, None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="sysops"'
