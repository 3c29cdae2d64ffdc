"""Wake-up calls to the queue that may be lost, but never make anybody wait."""

import json
import logging
import threading
import time

from sysops.celery import app

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 2.0
REST_SECONDS = 5.0


class _Breaker:
    """After a failure, one caller per REST_SECONDS tries the broker; the others are told at once that it is away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed_until = 0.0
        self._away = False

    def allows(self) -> bool:
        with self._lock:
            if not self._away:
                return True
            if time.monotonic() < self._closed_until:
                return False
            self._closed_until = time.monotonic() + REST_SECONDS  # this caller tries, the next ones do not
            return True

    def failed(self, why: str) -> None:
        with self._lock:
            if not self._away:
                logger.warning("The broker is away; work waits in the database and is sent later: %s", why)
            self._away, self._closed_until = True, time.monotonic() + REST_SECONDS

    def succeeded(self) -> None:
        with self._lock:
            if self._away:
                logger.info("The broker is back")
            self._away = False


_breaker = _Breaker()


def wake(task_name: str, *, expires: float | None = None, **arguments: object) -> bool:
    """Send a task message by name; False when it could not be sent now, which costs a delay until the next sweep.

    Takes two seconds at most, whatever the broker does, and nothing while it is known to be away. Arguments are
    JSON (else TypeError) and never secret. A worker drops a message it did not come to within `expires` seconds.
    """
    json.dumps(arguments)  # a mistake of ours, which must not pass for a broker that is away
    if not _breaker.allows():
        return False
    failure: list[str] = []
    # In a thread of its own: a frozen broker is met in several places, each with a time-out of its own
    # (pool, connection, handshake, command), and only the sum matters to whoever waits.
    sender = threading.Thread(
        target=_send, args=(task_name, arguments, expires, failure), name=f"wake {task_name}", daemon=True
    )
    try:
        sender.start()
    except RuntimeError as exc:  # the system refuses a thread: a delay as well, and no failure of whoever calls
        _breaker.failed(str(exc))
        return False
    sender.join(PATIENCE_SECONDS)
    if sender.is_alive() or failure:
        _breaker.failed(failure[0] if failure else f"no answer within {PATIENCE_SECONDS:g} s")
        return False
    _breaker.succeeded()
    return True


def _send(task_name: str, arguments: dict[str, object], expires: float | None, failure: list[str]) -> None:
    try:
        app.send_task(task_name, kwargs=arguments, expires=expires, retry=False)
    except Exception as exc:  # noqa: BLE001 - handed to the caller, who decides; a thread has nobody to raise to
        failure.append(f"{type(exc).__name__}: {exc}")
