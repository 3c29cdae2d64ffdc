"""Flower behind the sign-in: a real Flower process on the session's queue."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from django.test import Client
from pytest_django import Settings

from sysops.access.models import AuditEntry
from sysops.access.roles import Role
from tests.services import Home, free_port

pytestmark = pytest.mark.django_db

SignIn = Callable[[Role], Client]
OURS = {"sec-fetch-site": "same-origin"}
SHUT_DOWN = "/flower/api/worker/shutdown/nobody@nowhere"


@pytest.fixture(scope="module")
def flower(home: Home) -> Iterator[str]:
    """The address of a running Flower, on a Unix socket as `sysops up` has it."""
    socket = home.dir / "flower.sock"
    log = (home.dir / "flower.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "--config", "celeryconfig", "flower",
         f"--unix_socket={socket}", "--url_prefix=flower", "--logging=warning"],
        cwd=Path(__file__).parents[2], stdout=log, stderr=log,
        env={**home.environ(), "PATH": "/usr/bin:/bin", "FLOWER_UNAUTHENTICATED_API": "true"},
    )  # fmt: skip
    try:
        wait_for(socket, process)
        yield f"unix:{socket}"
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def wait_for(socket: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 90
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket))) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                client.get("http://flower/flower/healthcheck")
            except httpx.HTTPError:
                time.sleep(0.1)
            else:
                return
    raise AssertionError("Flower did not start")


@pytest.fixture
def flower_at(settings: Settings) -> Callable[[str | None], None]:
    def at(url: str | None) -> None:
        settings.ENV = SimpleNamespace(flower_url=url)

    return at


@pytest.fixture
def running(flower: str, flower_at: Callable[[str | None], None]) -> None:
    flower_at(flower)


def content(response: object) -> bytes:
    return b"".join(response.streaming_content)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("running")
def test_a_viewer_sees_flowers_pages_and_static_files(sign_in: SignIn) -> None:
    client = sign_in(Role.VIEWER)

    page = client.get("/flower/workers")
    assert page.status_code == 200
    text = content(page).decode()
    assert "<title>Flower" in text or "Flower" in text

    address = text.split('src="')[1].split('"')[0]
    assert address.startswith("/flower/static/")
    script = client.get(address)
    assert script.status_code == 200
    assert "javascript" in script["Content-Type"]
    assert len(content(script)) > 1000


@pytest.mark.usefixtures("running")
def test_the_bare_address_leads_to_the_first_page(sign_in: SignIn) -> None:
    client = sign_in(Role.VIEWER)

    assert client.get("/flower")["Location"] == "/flower/"
    assert client.get("/flower/").status_code == 200


@pytest.mark.usefixtures("running")
def test_whoever_is_not_signed_in_is_sent_to_the_sign_in(client: Client) -> None:
    response = client.get("/flower/tasks?limit=1")

    assert response.status_code == 302
    assert response["Location"] == "/admin/login/?next=/flower/tasks%3Flimit%3D1"


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.SECURITY])
def test_only_an_admin_may_control_the_queue(sign_in: SignIn, role: Role) -> None:
    assert sign_in(role).post(SHUT_DOWN, headers=OURS).status_code == 403

    response = sign_in(Role.ADMIN).post(SHUT_DOWN, headers=OURS)

    assert response.status_code == 404, "Flower knows no such worker"
    assert b"nobody@nowhere" in content(response)
    entry = AuditEntry.objects.get(action="queue.post")
    assert (entry.actor, entry.subject) == ("admin-person", SHUT_DOWN)


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://testserver"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
    ],
)
def test_a_page_of_somebody_else_cannot_control_the_queue(sign_in: SignIn, headers: dict[str, str]) -> None:
    client = sign_in(Role.ADMIN)

    assert client.post(SHUT_DOWN, headers=headers).status_code == 403
    assert client.post(SHUT_DOWN, headers={"origin": "http://testserver"}).status_code == 404


@pytest.mark.usefixtures("running")
def test_the_list_of_tasks_is_a_post_that_a_viewer_may_send(sign_in: SignIn) -> None:
    client = sign_in(Role.VIEWER)
    client.get("/flower/tasks")
    guard = client.cookies["_xsrf"]
    assert (guard["path"], guard["samesite"]) == ("/flower", "Strict")
    form = {"draw": "1", "start": "0", "length": "10", "search[value]": "", "order[0][column]": "0",
            "order[0][dir]": "asc", "columns[0][data]": "name"}  # fmt: skip

    response = client.post("/flower/tasks/datatable", form, headers={**OURS, "x-xsrftoken": guard.value})

    assert response.status_code == 200, content(response)


@pytest.mark.usefixtures("running")
def test_each_person_gets_a_guard_of_their_own(sign_in: SignIn) -> None:
    guards = set()
    for role in (Role.VIEWER, Role.OPERATOR):
        client = sign_in(role)
        client.get("/flower/tasks")
        guards.add(client.cookies["_xsrf"].value)

    assert len(guards) == 2


def test_our_session_never_reaches_flower(
    sign_in: SignIn, flower_at: Callable[[str | None], None], upstream: "Upstream"
) -> None:
    flower_at(upstream.url)
    client = sign_in(Role.VIEWER)
    client.cookies["_xsrf"] = "guard"

    response = client.get("/flower/", headers={"authorization": "Bearer x", "x-forwarded-for": "10.0.0.1"})

    assert content(response) == b"hello"
    seen = upstream.headers
    assert seen["cookie"] == "_xsrf=guard"
    assert not {"authorization", "x-forwarded-for"} & set(seen)
    assert "sysops_session" not in str(seen)
    assert "other" not in response.cookies
    assert "Connection" not in response


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:1", "unix:/nowhere/flower.sock"])
def test_a_flower_that_is_away_is_a_clear_page_with_the_remedy(
    sign_in: SignIn, flower_at: Callable[[str | None], None], url: str | None
) -> None:
    flower_at(url or f"http://127.0.0.1:{free_port()}")

    response = sign_in(Role.VIEWER).get("/flower/")

    assert response.status_code == 502
    text = response.content.decode()
    assert "Flower does not answer" in text
    assert "SYSOPS_FLOWER_URL" in text


class Upstream:
    """A server that says hello, sets cookies it should not, and remembers what it was sent."""

    def __init__(self) -> None:
        import http.server
        import threading

        upstream = self
        self.headers: dict[str, str] = {}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                upstream.headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(200)
                self.send_header("Content-Length", "5")
                self.send_header("Connection", "keep-alive")
                self.send_header("Set-Cookie", "other=1; Path=/")
                self.end_headers()
                self.wfile.write(b"hello")

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.server.shutdown()
    server.server.server_close()
