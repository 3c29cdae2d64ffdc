"""Sysops' own errors, reported to Sysops through sentry-sdk (SPEC E11).

The handler stands in the logging of every process. sentry-sdk costs each of them ten megabytes, so it is loaded when
the first error is logged. What goes wrong while an error is taken or digested is only logged: reported, it would come
back as the next error to take.
"""

import hashlib
import hmac
import logging
import re
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from sysops.env import Environment, current, secret_key
from sysops.kernel.redaction import MASK

if TYPE_CHECKING:
    from sentry_sdk.integrations.logging import EventHandler

OWN_PROJECT = 1  # its number in the DSN; the first start makes it
PER_MINUTE = 30
QUIET = (
    "errors.intake",
    "errors.services",
    "errors.tasks",
    "errors.digest",
    "errors.protocol",
    "sentry_sdk",
    "urllib3",
)
QUIET_TASKS = ("intake.", "errors.")
# How Celery says that the broker is away. That is no error of ours: health says it, and nothing is lost.
BROKER_AWAY = ("consumer: Cannot connect", "beat: Connection error", "Message Error: ")
NOWHERE = "off"
SIGNED = re.compile(r"[\w.\-]+:[\w\-]{5,8}:[\w\-]{43}")  # as django.core.signing makes them
T = TypeVar("T")


def own_key(env: Environment) -> str:
    """The public key Sysops' own processes report with: from the secret key, so that each knows it by itself."""
    return hmac.new(secret_key(env).encode(), b"errors: own DSN key", hashlib.sha256).hexdigest()[:32]


def dsn(env: Environment) -> str | None:
    """Where this installation's errors go: the DSN that was set, else its own project; None when switched off."""
    if env.sentry_dsn:
        given = env.sentry_dsn.get_secret_value()
        return None if given == NOWHERE else given
    if env.profile == "test":
        return None
    host = f"[{env.host}]" if ":" in env.host else env.host
    base = env.internal_url or f"http://{ {'0.0.0.0': '127.0.0.1', '[::]': '[::1]'}.get(host, host) }:{env.port}"  # noqa: S104 - compared, not bound
    scheme, rest = base.split("://", 1)
    return f"{scheme}://{own_key(env)}@{rest.rstrip('/')}/{OWN_PROJECT}"


class Bucket:
    """At most `size` a minute: a storm of our own must not become a storm of reports."""

    def __init__(self, size: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._size, self._clock, self._lock = size, clock, threading.Lock()
        self._left, self._filled = float(size), clock()

    def take(self) -> bool:
        """Whether one more goes."""
        with self._lock:
            now = self._clock()
            self._left = min(self._size, self._left + (now - self._filled) * self._size / 60)
            self._filled = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


class ReportHandler(logging.Handler):
    """Reports records of level ERROR and above; never fails, never waits for the network."""

    def __init__(self, *, to: Callable[[], str | None] = lambda: dsn(current())) -> None:
        super().__init__(level=logging.ERROR)
        self._to, self._bucket = to, Bucket(PER_MINUTE)
        self._starting = threading.Lock()
        self._sender: EventHandler | None = None
        self._off = False

    def emit(self, record: logging.LogRecord) -> None:
        if self._off or _quiet(record) or not self._bucket.take():
            return
        try:
            self._start()
            if self._sender:
                self._send(record)
        except Exception:  # noqa: BLE001 - logging's own way: an error in a handler must not reach whoever logged
            self.handleError(record)

    def _start(self) -> None:
        with self._starting:
            if self._sender or self._off:
                return
            target = self._to()
            if target is None:
                self._off = True
                return
            import sentry_sdk  # only when there is something to report: it is not small
            from sentry_sdk.integrations.atexit import AtexitIntegration
            from sentry_sdk.integrations.logging import EventHandler, LoggingIntegration

            sentry_sdk.init(
                dsn=target,
                environment=current().profile,
                include_local_variables=False,  # among them are settings that were just unsealed
                default_integrations=False,
                auto_enabling_integrations=False,
                integrations=[
                    LoggingIntegration(event_level=None),  # breadcrumbs; this handler sends
                    # A process's last words go before it does, and it says nothing of that on the terminal.
                    AtexitIntegration(callback=lambda pending, timeout: None),
                ],
                shutdown_timeout=1,
            )
            self._sender = EventHandler(level=logging.ERROR)

    def _send(self, record: logging.LogRecord) -> None:
        import sentry_sdk

        assert self._sender is not None
        with sentry_sdk.new_scope() as scope:
            request = getattr(record, "request", None)
            if request is not None and hasattr(request, "path"):
                scope.set_context("request", {"method": str(request.method), "path": _masked(str(request.path))})
            if task := _task(record):
                scope.set_tag("task", task)
            self._sender.emit(_without_request(record))


def _without_request(record: logging.LogRecord) -> logging.LogRecord:
    """The record without the request object, which would be sent as text, headers and all, and without signed links."""
    if not hasattr(record, "request"):
        return record
    copy = logging.makeLogRecord({name: value for name, value in record.__dict__.items() if name != "request"})
    copy.msg = _masked(copy.msg)
    if isinstance(copy.args, tuple):
        copy.args = tuple(map(_masked, copy.args))
    return copy


def _masked(said: T) -> T | str:
    """Any text without the tokens of our public pages: whoever reads one may do what it stands for."""
    return SIGNED.sub(MASK, said) if isinstance(said, str) else said


def _task(record: logging.LogRecord) -> str:
    """The Celery task whose end the record tells of."""
    data = getattr(record, "data", None)
    return str(data.get("name", "")) if isinstance(data, dict) else ""


def _quiet(record: logging.LogRecord) -> bool:
    if _task(record).startswith(QUIET_TASKS) or _is_answer(record):
        return True
    if record.name.startswith("celery.") and str(record.msg).startswith(BROKER_AWAY):
        return True
    return any(record.name == name or record.name.startswith(f"{name}.") for name in QUIET)


def _is_answer(record: logging.LogRecord) -> bool:
    """Whether it tells of a 5xx that was meant: that is how maintenance and ill health are said, to all who ask."""
    if record.name != "django.request" or record.exc_info:
        return False
    return getattr(record, "status_code", HTTPStatus.INTERNAL_SERVER_ERROR) != HTTPStatus.INTERNAL_SERVER_ERROR
