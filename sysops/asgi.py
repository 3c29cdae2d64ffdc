"""What the web server runs: error reports take the short way to the database, all else goes to Django."""

import gc
import threading
from collections.abc import Mapping, Sequence
from typing import cast

from sysops.wsgi import application as django  # first: it loads the settings and the apps

# isort: split

from django.conf import settings
from django.db import connection
from django.urls import get_resolver
from granian.utils.proxies import wrap_asgi_with_proxy_headers

from errors.intake.application import Intake, Surroundings
from errors.services.spooling import wake_digest
from monitoring.requests import counter
from sysops.bridge import Application, Receive, Scope, Send, bridge
from sysops.kernel.clock import utc_now

THREADS = 4
DJANGOS_OWN = ("context", "cursor_factory", "prepare_threshold")  # of the parameters it connects with


def _database() -> Mapping[str, object]:
    """How Django would connect, in psycopg's words."""
    given = connection.get_connection_params()
    return {name: value for name, value in given.items() if name not in DJANGOS_OWN}


def _answered(seconds: float, status: int) -> None:
    if counter.add(seconds=seconds, failed=status >= 500):
        threading.Thread(target=counter.store, name="store request times", daemon=True).start()


class Front:
    """The web server's ASGI application. The intake begins with the server, or else with the first report."""

    def __init__(self) -> None:
        self._django = bridge(django, threads=THREADS)
        self._intake: Intake | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif _is_report(str(scope["path"])):
            await self._started()(scope, receive, send)
        else:
            await self._django(scope, receive, send)

    def _started(self) -> Intake:
        if self._intake is None:
            self._intake = Intake(
                Surroundings(
                    database=_database,
                    folder=settings.ENV.data_dir,
                    clock=utc_now,
                    wake=wake_digest,
                    answered=_answered,
                )
            )
        return self._intake

    async def _live(self, receive: Receive, send: Send) -> None:
        """From the server's start to its end. What was taken before the end is written and answered."""
        await receive()
        self._started()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        intake, self._intake = self._intake, None
        if intake is not None:
            await intake.close()
        await send({"type": "lifespan.shutdown.complete"})


def _is_report(path: str) -> bool:
    """Projects have numbers and nothing else below /api/ begins with one; paths of ours begin with words."""
    return path.startswith("/api/") and "0" <= path[5:6] <= "9"


def _believing(proxies: Sequence[object], front: Application) -> Application:
    """The front, which finds the address and the scheme in what these proxies say of the request."""
    if not proxies:
        return front
    return cast(Application, wrap_asgi_with_proxy_headers(front, [str(each) for each in proxies]))


application = _believing(settings.ENV.trusted_proxies, Front())

# What start-up made stays for good. Left to the collector, walking it again cost every fiftieth request 150 ms.
get_resolver().url_patterns  # noqa: B018 - loads every view, which the first request would do otherwise
gc.collect()
gc.freeze()
