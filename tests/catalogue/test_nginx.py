"""The configurations of docs/maintenance-mode.md, in a real nginx or HAProxy between users, a service and Sysops."""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from catalogue import services
from catalogue.models import Service
from catalogue.rules import State
from sysops.access.actors import Actor
from sysops.stack.programs import web_argv
from tests.running import ROOT, until
from tests.services import end, free_port

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(300)]

BY = Actor.system()
PAGE = "<h1>Back soon</h1>"
UNWANTED = "127.0.0.9"  # a visitor that the operator of nginx does not want
KEPT_SECONDS = 5  # by nginx, as Sysops and the configuration say


class _Shop(BaseHTTPRequestHandler):
    """The service: says what it was sent, or that this visitor may not."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(403 if self.path == "/theirs" else 200)
        self.end_headers()
        self.wfile.write(b"the shop " + self.command.encode() + b" " + body)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test says what went wrong."""


@pytest.fixture
def shop_port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Shop)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join(10)


class RunningSysops:
    """Sysops' own web server on the database of the test."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.port, self._environ = free_port(), environ

    def start(self) -> None:
        self._process = subprocess.Popen(
            web_argv("127.0.0.1", self.port), cwd=ROOT, env=self._environ, start_new_session=True
        )
        until(self._answers, seconds=90, what="Sysops answers")

    def send(self, number: signal.Signals) -> None:
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        if self._process.poll() is None:
            self.send(signal.SIGKILL)
            self._process.wait(10)

    def _answers(self) -> bool:
        asked = f"http://127.0.0.1:{self.port}/api/system/services/nowhere/mode"  # as the proxies do
        try:
            return httpx.get(asked, timeout=2).status_code == 404
        except httpx.HTTPError:
            return False


@pytest.fixture
def sysops(child_environ: dict[str, str]) -> Iterator[RunningSysops]:
    running = RunningSysops(child_environ)
    running.start()
    yield running
    running.kill()


def documented(language: str, changes: Mapping[str, str]) -> str:
    """The block of the document with addresses and folders of this test, each of which it must name."""
    text = (ROOT / "docs" / "maintenance-mode.md").read_text()
    block = re.search(rf"^```{language}\n(.*?)^```", text, re.M | re.S)
    assert block is not None
    config = block[1]
    for theirs, ours in changes.items():
        assert theirs in config, f"the documented configuration names no {theirs}"
        config = config.replace(theirs, ours)
    return config


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")  # not everybody's PATH
    assert found is not None, f"This test needs {name}: apt-get install {name}"
    return found


@contextmanager
def proxy(argv: list[str], *, port: int, log: Path) -> Iterator[httpx.Client]:
    """Users who reach the shop through this program while it runs."""
    with log.open("ab") as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            until(lambda: _up(client), seconds=30, what=lambda: f"{argv[0]} is up: {log.read_text()}")
            yield client
    finally:
        end(process, signal.SIGTERM)


@pytest.fixture
def users(tmp_path: Path, sysops: RunningSysops, shop_port: int) -> Iterator[httpx.Client]:
    """Users of the shop, through nginx as documented."""
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "sysops-maintenance.html").write_text(PAGE)
    port, log = free_port(), tmp_path / "error.log"
    block = documented(
        "nginx",
        {
            "listen 80;": f"listen 127.0.0.1:{port};",
            "127.0.0.1:8000": f"127.0.0.1:{sysops.port}",
            "127.0.0.1:8001": f"127.0.0.1:{free_port()}",
            "127.0.0.1:9000": f"127.0.0.1:{shop_port}",
            "/var/cache/nginx/sysops": f"{tmp_path}/cache",
            "/etc/nginx/sysops": f"{tmp_path}/pages",
            "auth_request /sysops-mode;": f"deny {UNWANTED}; auth_request /sysops-mode;",
        },
    )
    places = [f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"{'user root;' if os.geteuid() == 0 else ''} daemon off; worker_processes 1; pid {tmp_path}/pid;\n"
        f"error_log {log}; events {{}}\n"
        f"http {{ access_log off; {' '.join(places)}\n{block} }}\n"
    )
    argv = [program("nginx"), "-e", str(log), "-p", str(tmp_path), "-c", str(config)]
    with proxy(argv, port=port, log=log) as client:
        yield client
    assert "unexpected status" not in log.read_text()  # auth_request, of an answer that it cannot use


@pytest.fixture
def users_of_haproxy(tmp_path: Path, sysops: RunningSysops, shop_port: int) -> Iterator[httpx.Client]:
    """Users of the shop, through HAProxy as documented."""
    page, port = tmp_path / "page.html", free_port()
    page.write_text(PAGE)
    block = documented(
        "haproxy",
        {
            "bind :80": f"bind 127.0.0.1:{port}",
            "127.0.0.1:8000": f"127.0.0.1:{sysops.port}",
            "127.0.0.1:9000": f"127.0.0.1:{shop_port}",
            "/etc/haproxy/sysops-maintenance.html": str(page),
        },
    )
    config = tmp_path / "haproxy.cfg"
    config.write_text(f"defaults\n mode http\n timeout connect 2s\n timeout client 30s\n timeout server 30s\n{block}")
    argv = [program("haproxy"), "-db", "-f", str(config)]
    with proxy(argv, port=port, log=tmp_path / "haproxy.log") as client:
        yield client


def _up(client: httpx.Client) -> bool:
    try:
        client.get("/")
    except httpx.HTTPError:
        return False
    return True


@pytest.fixture
def shop() -> Service:
    return services.create(Service, {"slug": "shop", "name": "Shop"}, by=BY, at=datetime.now(UTC))


def close(service: Service) -> None:
    now = datetime.now(UTC)
    end_at = now + timedelta(minutes=30)
    services.set_state(service, State.MAINTENANCE, until=end_at, maintenance_mode=True, by=BY, at=now)


def let_in(service: Service) -> None:
    services.set_state(service, State.NORMAL, by=BY, at=datetime.now(UTC))


def wait_for(users: httpx.Client, code: int) -> httpx.Response:
    """The first answer with this code, soon after kept answers went."""
    found: list[httpx.Response] = []

    def answered() -> bool:
        found.append(users.get("/"))
        return found[-1].status_code == code

    until(answered, seconds=12 * KEPT_SECONDS, what=f"users get {code}")
    return found[-1]


def test_users_are_turned_away_while_maintenance_runs_and_let_in_after_it(shop: Service, users: httpx.Client) -> None:
    assert users.get("/").text == "the shop GET "
    assert users.post("/cart", content=b"a book").text == "the shop POST a book"

    close(shop)
    held = wait_for(users, 503)

    assert held.text == PAGE
    assert 1700 <= int(held.headers["Retry-After"]) <= 1800
    assert held.headers["Cache-Control"] == "no-store"
    assert users.post("/cart", content=b"a book").status_code == 503
    assert users.get("/").headers["Retry-After"] == held.headers["Retry-After"]  # kept, with all its parts

    let_in(shop)
    assert wait_for(users, 200).text == "the shop GET "


def test_what_is_forbidden_stays_forbidden_and_is_no_maintenance(shop: Service, users: httpx.Client) -> None:
    theirs = users.get("/theirs")
    with httpx.Client(base_url=users.base_url, transport=httpx.HTTPTransport(local_address=UNWANTED)) as unwanted:
        ours = unwanted.get("/")

    assert (theirs.status_code, theirs.text) == (403, "the shop GET ")
    assert (ours.status_code, "Retry-After" in ours.headers) == (403, False)
    assert users.get("/sysops-maintenance.html").status_code == 404


def test_sysops_is_asked_once_in_five_seconds_whatever_the_number_of_users(users: httpx.Client) -> None:
    began = time.monotonic()
    wait_for(users, 200)  # that Sysops does not know the service keeps nobody out
    close(services.create(Service, {"slug": "shop", "name": "Shop"}, by=BY, at=datetime.now(UTC)))

    codes: list[int] = []
    while len(codes) < 50 and time.monotonic() - began < KEPT_SECONDS - 1:  # kept since a moment before
        codes.append(users.get("/").status_code)

    assert len(codes) >= 5
    assert set(codes) == {200}  # nobody asked again


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_a_dead_sysops_does_not_take_the_service_down(
    shop: Service, users: httpx.Client, sysops: RunningSysops, fault: str
) -> None:
    close(shop)
    wait_for(users, 503)
    faults: dict[str, Callable[[], None]] = {"killed": sysops.kill, "frozen": lambda: sysops.send(signal.SIGSTOP)}
    faults[fault]()

    wait_for(users, 200)

    began = time.monotonic()
    assert [users.get("/").status_code for _ in range(20)] == [200] * 20
    assert time.monotonic() - began < 20  # not each of them waits for an answer that does not come


def test_haproxy_does_the_same(shop: Service, users_of_haproxy: httpx.Client, sysops: RunningSysops) -> None:
    users = users_of_haproxy
    assert users.get("/").text == "the shop GET "

    close(shop)
    held = wait_for(users, 503)
    assert (held.text, held.headers["Retry-After"], held.headers["Cache-Control"]) == (PAGE, "60", "no-store")
    let_in(shop)
    wait_for(users, 200)

    close(shop)
    wait_for(users, 503)
    sysops.kill()
    wait_for(users, 200)
