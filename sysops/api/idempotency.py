"""`Idempotency-Key` on POST: the same key and body is done once and answered alike for 24 hours."""

import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from django.db import IntegrityError, OperationalError, connection, transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from sysops.access.principals import TokenPrincipal
from sysops.access.secrets import open_sealed, seal
from sysops.api.answers import KEPT_FOR
from sysops.api.models import Answer
from sysops.api.problems import Conflict, Unprocessable, invalid
from sysops.api.renderers import JSONRenderer

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
PATIENCE = "5s"  # how long a second request waits for the first one
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_KEPT_HEADERS = ("Location",)

Handler = TypeVar("Handler", bound=Callable[..., Response])


def answered_once(handler: Handler) -> Callable[..., Response]:
    """`handler`, run inside one transaction with the record of its answer.

    Of two requests with the same key at once the second waits for the first and gets its answer. A request that
    failed changed nothing and is not kept: it may be tried again with the same key.
    """

    def post(request: Request, *args: object, **kwargs: object) -> Response:
        at = timezone.now()
        with transaction.atomic():
            answer, mine = _claim(request, at)
            if not mine:
                return _replay(answer, request)
            response = handler(request, *args, **kwargs)
            if response.status_code >= 400:
                answer.delete()
            else:
                _keep(answer, response)
            return response

    return post


def _claim(request: Request, at: datetime) -> tuple[Answer, bool]:
    """The record of this key, and whether this request is the one that does the work."""
    place = {"principal": _principal(request), "path": request.path.rstrip("/")[:500], "key": _key(request)}
    Answer.objects.filter(**place, created_at__lt=at - KEPT_FOR).delete()
    fresh = Answer(**place, fingerprint=_fingerprint(request), created_at=at)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{PATIENCE}'")
            fresh.save(force_insert=True)  # waits here while another request with this key is being answered
            cursor.execute("SET LOCAL lock_timeout = DEFAULT")
    except IntegrityError:
        return Answer.objects.get(**place), False
    except OperationalError:
        raise Conflict("A request with this Idempotency-Key is being answered; ask again in a moment.") from None
    return fresh, True


def _replay(answer: Answer, request: Request) -> Response:
    if answer.fingerprint != _fingerprint(request):
        raise Unprocessable("This Idempotency-Key was used with another body.")
    body = json.loads(open_sealed(answer.body)) if answer.body else None
    return Response(body, status=answer.status, headers={**answer.headers, REPLAYED: "true"})


def _keep(answer: Answer, response: Response) -> None:
    answer.status = response.status_code
    answer.headers = {name: response[name] for name in _KEPT_HEADERS if name in response}
    answer.body = seal(JSONRenderer().render(response.data).decode()) if response.data is not None else ""
    answer.save(update_fields=["status", "headers", "body"])


def _key(request: Request) -> str:
    key = request.headers[HEADER]
    if not _KEY.fullmatch(key):
        raise invalid({HEADER: "Must have 1 to 200 printable ASCII characters without spaces."})
    return str(key)


def _fingerprint(request: Request) -> str:
    content = json.dumps([request.data, request.META.get("QUERY_STRING", "")], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _principal(request: Request) -> str:
    user = request.user
    if isinstance(user, TokenPrincipal):
        return f"token:{user.pk}"
    if user and user.is_authenticated:
        return f"user:{user.pk}"
    return f"anonymous:{request.META.get('REMOTE_ADDR', '')}"
