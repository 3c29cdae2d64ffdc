"""Other people's code while its connections are guarded: whatever it uses, it reaches public addresses only."""

import asyncio
import os
import smtplib
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest
import requests

from notifications.channels.apprise import Chat
from notifications.channels.base import Sender, SendError
from notifications.channels.webhook import Webhook
from sysops.kernel import targets
from sysops.kernel.guard import Refused, checked_connections
from tests.notifications.channel_contract import LETTER
from tests.receivers import Answer, Receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().serving() as served:
        yield served


class Names:
    """A name server of the test: `rebind.example` has the answers given, one after the other."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0
        self._real = socket.getaddrinfo

    def __call__(self, host: object, port: int, *args: object, **kwargs: object) -> list[tuple[object, ...]]:
        name = host.decode() if isinstance(host, bytes) else host
        if name != "rebind.example":
            return self._real(host, port, *args, **kwargs)  # type: ignore[arg-type,return-value]
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, port))]


@pytest.fixture
def open_house(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.2 counts as public: a stand-in for a server on the internet."""
    real = targets.problem
    monkeypatch.setattr(
        targets, "problem", lambda address, **rest: None if address == "127.0.0.2" else real(address, **rest)
    )


def by_urllib(port: int) -> None:
    urllib.request.urlopen(f"http://localhost:{port}/", timeout=2)


def by_requests(port: int) -> None:
    requests.get(f"http://127.0.0.1:{port}/", timeout=2)


def by_socket(port: int) -> None:
    socket.create_connection(("localhost", port), 2)


def by_name(port: int) -> None:
    with socket.socket() as sock:
        sock.connect(("localhost", port))


def by_connect_ex(port: int) -> None:
    with socket.socket() as sock:
        sock.connect_ex(("127.0.0.1", port))


def by_datagram(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", ("127.0.0.1", port))


def by_smtp(port: int) -> None:
    smtplib.SMTP("localhost", port, timeout=2)


def by_asyncio(port: int) -> None:
    asyncio.run(asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 2))


def by_a_program(port: int) -> None:
    subprocess.run(["true"])


def by_a_shell(port: int) -> None:
    os.system("true")


def by_unix_socket(port: int) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect("/run/docker.sock")


WAYS = [
    by_urllib, by_requests, by_socket, by_name, by_connect_ex, by_datagram, by_smtp, by_asyncio, by_a_program,
    by_a_shell, by_unix_socket,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_to_this_machine(receiver: Receiver, way: Callable[[int], None]) -> None:
    with checked_connections() as guard, pytest.raises(Refused):
        way(receiver.port)

    assert len(guard.refused) == 1
    assert receiver.got == []


def test_threads_started_in_the_block_are_guarded(receiver: Receiver) -> None:
    with checked_connections() as guard:
        thread = threading.Thread(target=_swallow, args=(by_requests, receiver.port))
        thread.start()
        thread.join(5)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_swallow, by_requests, receiver.port).result(5)

    assert len(guard.refused) == 2
    assert receiver.got == []


def test_other_threads_and_what_comes_afterwards_are_not(receiver: Receiver) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        with checked_connections() as guard:
            pool.submit(by_requests, receiver.port).result(5)
        by_requests(receiver.port)

    assert guard.refused == []
    assert len(receiver.got) == 2


def test_a_thread_that_outlives_the_block_is_free(receiver: Receiver) -> None:
    over = threading.Event()

    def afterwards() -> None:
        over.wait(5)
        by_requests(receiver.port)

    with checked_connections() as guard:
        thread = threading.Thread(target=afterwards)
        thread.start()
    over.set()
    thread.join(5)

    assert guard.refused == []
    assert len(receiver.got) == 1


def test_the_refusal_names_the_host_that_was_looked_up(receiver: Receiver) -> None:
    with checked_connections(), pytest.raises(Refused, match=r"localhost \(") as caught:
        by_socket(receiver.port)

    assert "SYSOPS_ALLOW_PRIVATE_TARGETS" in str(caught.value)


def test_a_public_server_that_redirects_inwards_is_not_followed_there(open_house: None, receiver: Receiver) -> None:
    with Receiver(host="127.0.0.2").serving() as public:
        public.answer = Answer(307, {"Location": f"http://127.0.0.1:{receiver.port}/secret"})
        url = f"json://127.0.0.2:{public.port}/?redirect=yes"
        with pytest.raises(SendError, match="does not connect"), Chat(allow_private=_no).open({"url": url}) as sender:
            sender.send(LETTER)

    assert len(public.got) == 1
    assert receiver.got == []


@pytest.mark.parametrize("channel", ["webhook", "apprise"])
def test_a_channel_that_points_inwards_by_dns_is_refused(
    channel: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Names("127.0.0.1"))

    error = _error(channel, receiver.port)

    assert error.permanent
    assert "127.0.0.1" in str(error)
    assert "SYSOPS_ALLOW_PRIVATE_TARGETS" in str(error)
    assert receiver.got == []


@pytest.mark.parametrize("channel", ["webhook", "apprise"])
def test_a_name_that_points_outwards_when_checked_and_inwards_afterwards_gains_nothing(
    channel: str, open_house: None, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names("127.0.0.2", "127.0.0.1")
    monkeypatch.setattr(socket, "getaddrinfo", names)

    _error(channel, receiver.port)  # nobody listens at 127.0.0.2
    error = _error(channel, receiver.port)

    assert "does not connect" in str(error)
    assert names.asked == 2
    assert receiver.got == []


def test_each_channel_reaches_what_it_may(open_house: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Names("127.0.0.2"))
    with Receiver(host="127.0.0.2").serving() as public:
        for channel in ("webhook", "apprise"):
            with _opened(channel, public.port) as sender:
                sender.send(LETTER)

    assert len(public.got) == 2


def _opened(channel: str, port: int) -> AbstractContextManager[Sender]:
    if channel == "webhook":
        url = f"http://rebind.example:{port}/"
        return Webhook(allow_private=_no).open({"url": url, "secret": SECRET})
    return Chat(allow_private=_no).open({"url": f"json://rebind.example:{port}/"})


def _error(channel: str, port: int) -> SendError:
    with _opened(channel, port) as sender, pytest.raises(SendError) as caught:
        sender.send(LETTER)
    return caught.value


def _swallow(way: Callable[[int], None], port: int) -> None:
    try:
        way(port)
    except Refused:
        return


def _no() -> bool:
    return False


def test_what_hands_out_credentials_is_no_target_where_private_ones_are_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as here, checked_connections(allow_private=True) as guard:
        socket.create_connection(here.getsockname(), timeout=2).close()
        subprocess.run([sys.executable, "-c", ""], check=True, timeout=60)
        with pytest.raises(Refused, match="credentials"):
            socket.create_connection(("169.254.169.254", 80), timeout=0.2)
    assert [refused.address for refused in guard.refused] == ["169.254.169.254"]
