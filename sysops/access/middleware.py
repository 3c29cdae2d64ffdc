"""Makes the sender of a request known as the current actor."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from sysops.access.actors import become, no_longer
from sysops.access.requests import request_actor


class ActorMiddleware:
    """While a request is answered, `current_actor()` is whoever sent it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        mark = become(lambda: request_actor(request))
        try:
            return self.get_response(request)
        finally:
            no_longer(mark)
