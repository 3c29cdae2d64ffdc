"""Limits on how often one sender may ask. Counted per web process: a brake, not a quota."""

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView


class Limit(SimpleRateThrottle):
    """At most `rate` ("5/min") requests of one sender; then 429 with Retry-After. Make one with `limit`."""

    def get_cache_key(self, request: Request, view: APIView) -> str:
        user = request.user
        who = f"{type(user).__name__}:{user.pk}" if user and user.is_authenticated else self.get_ident(request)
        return f"throttle:{self.scope}:{who}"


def limit(scope: str, rate: str) -> type[Limit]:
    """For a view's `throttle_classes = [limit("subscribe", "5/min")]`."""
    return type("Limit", (Limit,), {"scope": scope, "rate": rate})
