"""Every error of the API as a problem (RFC 9457), never as HTML and never with a stack trace."""

import logging
import math
import sys
from collections.abc import Mapping
from http import HTTPStatus

from django.core.exceptions import NON_FIELD_ERRORS, SuspiciousOperation
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions, status
from rest_framework.fields import get_error_detail
from rest_framework.response import Response

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
API_ROOT = "/api/"
NO_DATABASE = "The database does not answer. Try again in a few seconds."
TRY_AGAIN_AFTER = 5  # seconds
NOTHING_HERE = "There is nothing at this address."
GENERAL = "non_field_errors"  # what is wrong with no field in particular
# SQLSTATEs of a connection that was refused or is gone: class 08, shutdown and restart, no connection left. Refused
# and lost ones have none at all mostly; time-outs of locks and statements have others.
_CONNECTION_STATES = ("08", "57P", "53300")


class Conflict(exceptions.APIException):
    """409: the thing is not in a state that allows this. `extra` is added to the answer."""

    status_code = status.HTTP_409_CONFLICT

    def __init__(self, detail: str, *, current_status: str | None = None, **extra: object) -> None:
        super().__init__(detail, code="conflict")
        self.extra = {**({"current_status": current_status} if current_status is not None else {}), **extra}


class Unprocessable(exceptions.APIException):
    """422: well formed, and yet it cannot be meant."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "unprocessable"


class TooLarge(exceptions.APIException):
    """413: the body is larger than anything this API takes."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class Away(exceptions.APIException):
    """503: what the answer needs is not there for now."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "away"
    wait = TRY_AGAIN_AFTER


def invalid(errors: Mapping[str, str | list[str]]) -> exceptions.ValidationError:
    """400 naming each field: `raise invalid({"source": "There is no source 'shop'"})`."""
    return exceptions.ValidationError(
        {name: [text] if isinstance(text, str) else text for name, text in errors.items()}
    )


def problem(code: int, detail: str, **extra: object) -> dict[str, object]:
    """The body of a problem."""
    return {"type": "about:blank", "title": HTTPStatus(code).phrase, "status": code, "detail": detail, **extra}


def handler(exc: Exception, context: Mapping[str, object]) -> Response | None:
    """DRF's exception handler. None for a surprise: Django logs it and answers through `server_error` below."""
    from rest_framework.views import set_rollback  # it imports our parsers, and they this module

    known = _known(exc)
    if known is None:
        return None
    set_rollback()
    code, extra, headers = known.status_code, dict(getattr(known, "extra", {})), _headers(known)
    if isinstance(known, exceptions.ValidationError):
        errors = _by_field(known.detail)
        body = problem(code, _summary(errors), errors=errors, **extra)
    else:
        detail = _possible(context) if isinstance(known, exceptions.MethodNotAllowed) else str(known.detail)
        body = problem(code, detail, **extra)
    return Response(body, status=code, headers=headers, content_type=CONTENT_TYPE)


def _possible(context: Mapping[str, object]) -> str:
    """What can be sent to the address instead; DRF puts the same into the header Allow."""
    asked = getattr(context.get("request"), "method", None)
    methods = ", ".join(getattr(context.get("view"), "allowed_methods", ()))
    return f"{asked} is not possible here. Possible: {methods}."


def _known(exc: Exception) -> exceptions.APIException | None:
    match exc:
        case exceptions.APIException():
            return exc
        case Http404():
            return exceptions.NotFound(str(exc) or NOTHING_HERE)
        case DjangoPermissionDenied():
            return exceptions.PermissionDenied(str(exc) or None)
        case DjangoValidationError():
            return exceptions.ValidationError(get_error_detail(exc))
        case SuspiciousOperation():
            return exceptions.ParseError("The request cannot be accepted.")
        case _ if is_database_away(exc):
            logger.warning("The database does not answer: %s", exc)
            return Away(NO_DATABASE)
    return None


def is_database_away(exc: BaseException | None) -> bool:
    """Whether this says that the connection to PostgreSQL was refused or lost."""
    if isinstance(exc, InterfaceError):
        return "connection" in str(exc)  # others say that a cursor is used wrongly
    if not isinstance(exc, OperationalError):
        return False
    state = getattr(exc.__cause__, "sqlstate", None)
    return state is None or str(state).startswith(_CONNECTION_STATES)


def _headers(exc: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if auth := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = str(auth)
    if isinstance(exc, exceptions.Throttled | Away):
        headers["Retry-After"] = str(max(1, math.ceil(getattr(exc, "wait", None) or 1)))
    return headers


def _by_field(detail: object, name: str = "") -> dict[str, list[str]]:
    """DRF's nested errors as one level: {"policy.keep_days": [texts]}."""
    if isinstance(detail, Mapping):
        found: dict[str, list[str]] = {}
        for key, value in detail.items():
            part = GENERAL if key == NON_FIELD_ERRORS else str(key)
            found.update(_by_field(value, f"{name}.{part}" if name else part))
        return found
    if isinstance(detail, list) and any(isinstance(item, Mapping | list) for item in detail):
        return _by_field({str(n): item for n, item in enumerate(detail) if item}, name)
    texts = detail if isinstance(detail, list) else [detail]
    return {name or GENERAL: [str(text) for text in texts]}


def _summary(errors: Mapping[str, list[str]]) -> str:
    first = [f"{name}: {' '.join(texts)}" if name != GENERAL else " ".join(texts) for name, texts in errors.items()]
    return "; ".join(first[:5])


def _answer(code: int, detail: str) -> HttpResponse:
    return JsonResponse(problem(code, detail), status=code, content_type=CONTENT_TYPE)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: bad host names, oversized forms."""
    if not request.path.startswith(API_ROOT):
        return defaults.bad_request(request, exception)
    return _answer(400, "The request cannot be accepted.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    if not request.path.startswith(API_ROOT):
        return defaults.permission_denied(request, exception)
    return _answer(403, "You do not have the right to do this.")


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's handler404."""
    if not request.path.startswith(API_ROOT):
        return defaults.page_not_found(request, exception or Http404())
    return _answer(404, NOTHING_HERE)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500: what went wrong is in the log."""
    if not request.path.startswith(API_ROOT):
        return defaults.server_error(request)
    if is_database_away(sys.exception()):
        answer = _answer(503, NO_DATABASE)
        answer["Retry-After"] = str(TRY_AGAIN_AFTER)
        return answer
    return _answer(500, "Sysops failed to answer. The reason is in its log.")
