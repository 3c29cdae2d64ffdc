"""The web server as `sysops up` starts it, on the tests' database: a real process, reached over HTTP."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from django.conf import settings

from errors.models import Key
from sysops.stack.programs import ROOT, web_argv
from tests.services import end, free_port, wait_until

HOST = "127.0.0.1"


@dataclass
class Web:
    """A running web server."""

    port: int
    process: "subprocess.Popen[bytes]"
    log: Path
    client: httpx.Client

    def answers(self) -> bool:
        try:
            return self.client.get("/api/system/health/live").status_code == 200
        except httpx.HTTPError:
            return False

    def report(self, key: Key, body: bytes, *, to: str = "envelope/", **headers: str) -> httpx.Response:
        """The answer to a body sent with this key; underscores in names of headers stand for dashes."""
        given = {"x-sentry-auth": f"Sentry sentry_version=7, sentry_key={key.public}"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(f"/api/{key.project_id}/{to}", content=body, headers=given)

    def url(self, key: Key, to: str = "envelope/") -> str:
        return f"/api/{key.project_id}/{to}"


@contextmanager
def running(log: Path, **environ: str) -> Iterator[Web]:
    """A web server on the database of this test session, until the end of the block."""
    url = os.environ["SYSOPS_DATABASE_URL"].replace("/sysops?", f"/{settings.DATABASES['default']['NAME']}?")
    port = free_port()
    with log.open("wb") as out:
        process = subprocess.Popen(
            web_argv(HOST, port),
            cwd=ROOT,
            env={**os.environ, "SYSOPS_DATABASE_URL": url, "SYSOPS_PORT": str(port), **environ},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    with httpx.Client(base_url=f"http://{HOST}:{port}", timeout=60) as client:
        web = Web(port, process, log, client)
        try:
            wait_until(web.answers, process)
            yield web
        finally:
            end(process, signal.SIGTERM)
