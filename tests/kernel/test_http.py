"""Addresses that people typed: what is not public is refused, and what was checked is what is connected to."""

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysops.kernel import http, targets
from sysops.kernel.http import Refused, TooMuch, client
from tests.receivers import Answer, Receiver, certificates, dripping_headers
from tests.services import free_port

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)
PUBLIC = "93.184.216.34"

NOT_PUBLIC = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.10.1", "172.31.255.255",
    "192.0.0.1", "192.168.1.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0",
    "fec0::1", "ff02::1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::1",
    "2002:c0a8:101::1", "3fff::1", "4000::1",
]  # fmt: skip
METADATA = [
    *("169.254.169.254", "::ffff:169.254.169.254", "169.254.170.23", "100.100.100.200", "168.63.129.16"),
    *("fd00:ec2::254", "fd00:ec2::23", "fe80::a9fe:a9fe%eth0"),
]
MINE = ["127.0.0.1", "10.0.0.1", "fd00::1", "192.168.1.1"]
OPEN = [PUBLIC, "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:2800:220:1::1", "64:ff9b::1.1.1.1", "::ffff:1.1.1.1"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().serving() as served:
        yield served


class Names:
    """A name server that gives its answers in turn, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize("address", [*NOT_PUBLIC, *METADATA])
def test_what_is_not_public_is_refused(address: str) -> None:
    assert targets.problem(address)


@pytest.mark.parametrize("address", OPEN)
def test_what_is_public_is_not(address: str) -> None:
    assert targets.problem(address) is None


@pytest.mark.parametrize("address", MINE)
def test_the_setting_opens_ones_own_network(address: str) -> None:
    assert "SYSOPS_ALLOW_PRIVATE_TARGETS" in str(targets.problem(address))
    assert targets.problem(address, allow_private=True) is None


@pytest.mark.parametrize("address", METADATA)
def test_the_setting_does_not_open_the_credentials_of_the_cloud(address: str) -> None:
    assert targets.problem(address, allow_private=True)


@given(st.ip_addresses())
def test_whatever_python_knows_as_not_public_is_refused(address: IPv4Address | IPv6Address) -> None:
    known = (
        not address.is_global or address.is_multicast or address.is_reserved or address.is_loopback
        or address.is_link_local or address.is_unspecified
    )  # fmt: skip
    number = int(address)
    if isinstance(address, IPv6Address) and (number >> 32 in (0xFFFF, 0x64FF9B << 64) or number >> 112 == 0x2002):
        return  # judged by the address inside, in the test below
    assert not known or targets.problem(str(address))


INNER = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
    "224.0.0.0/3",
]  # fmt: skip


@given(st.sampled_from(INNER).map(ipaddress.IPv4Network), st.integers(min_value=0))
def test_an_inner_address_is_refused_in_every_form_it_can_be_written(
    network: ipaddress.IPv4Network, offset: int
) -> None:
    inner = int(network.network_address) + offset % network.num_addresses
    forms = [
        IPv4Address(inner),
        IPv6Address(0xFFFF << 32 | inner),
        IPv6Address(0x64FF9B << 96 | inner),
        IPv6Address(0x2002 << 112 | inner << 80 | 1),
    ]

    assert all(targets.problem(str(form)) for form in forms)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::]", "0.0.0.0", "127.1", "2130706433", "0x7f000001",
        "0x7f.0.0.1", "0177.0.0.1", "127.0.0.1.", "public.example@127.0.0.1", "public.example:80@localhost",
        "public.example%40@127.0.0.1", "①②⑦.⓪.⓪.①",
    ],
)  # fmt: skip
def test_no_spelling_of_this_machine_reaches_it(receiver: Receiver, host: str) -> None:
    with (
        client(allow_private=False, timeout=5) as web,
        pytest.raises((Refused, httpx.TransportError, httpx.InvalidURL)),
    ):
        web.get(f"http://{host}:{receiver.port}/")

    assert receiver.got == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "a@127.0.0.1"]
)
def test_the_refusal_names_the_address_and_the_remedy(receiver: Receiver, host: str) -> None:
    with client(allow_private=False, timeout=5) as web, pytest.raises(Refused) as caught:
        web.get(f"http://{host}:{receiver.port}/")

    assert "this machine itself" in str(caught.value)
    assert "SYSOPS_ALLOW_PRIVATE_TARGETS" in str(caught.value)
    assert ipaddress.ip_address(caught.value.address)


def test_a_name_that_changes_its_answer_is_asked_once_and_the_checked_answer_is_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names([PUBLIC], ["127.0.0.1"])
    went: list[object] = []

    def connect(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        went.append(address[0])
        raise ConnectionRefusedError("Nobody there")

    monkeypatch.setattr(socket, "create_connection", connect)
    with client(allow_private=False, timeout=5, resolve=names) as web, pytest.raises(httpx.ConnectError):
        web.get(f"http://rebind.example:{receiver.port}/")

    assert names.asked == ["rebind.example"]
    assert went == [PUBLIC]
    assert receiver.got == []


def test_each_new_connection_is_checked_again(receiver: Receiver) -> None:
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    receiver.answer = Answer(headers={"Connection": "close"})
    with client(allow_private=True, timeout=5, resolve=names) as web:
        assert web.get(f"http://rebind.example:{receiver.port}/").status_code == 204
        with pytest.raises(Refused):
            web.get(f"http://rebind.example:{receiver.port}/")

    assert len(receiver.got) == 1


@pytest.mark.parametrize("answer", [[PUBLIC, "10.0.0.7"], ["10.0.0.7", PUBLIC], ["::1", PUBLIC]])
def test_one_private_answer_among_public_ones_spoils_the_name(answer: list[str], receiver: Receiver) -> None:
    with (
        client(allow_private=False, timeout=5, resolve=Names(answer)) as web,
        pytest.raises(Refused, match=r"mixed\.example"),
    ):
        web.get("http://mixed.example/")


def test_the_second_address_is_tried_when_nobody_listens_at_the_first(receiver: Receiver) -> None:
    with client(allow_private=True, timeout=5, resolve=Names(["127.0.0.2", "127.0.0.1"])) as web:
        assert web.get(f"http://two.example:{receiver.port}/").status_code == 204


def test_one_connection_serves_many_requests(receiver: Receiver) -> None:
    names = Names(["127.0.0.1"])
    with client(allow_private=True, timeout=5, resolve=names) as web:
        for _ in range(3):
            web.post(f"http://hook.example:{receiver.port}/", content=b"x").raise_for_status()

    assert len(receiver.got) == 3
    assert names.asked == ["hook.example"]


def test_tls_names_and_verifies_the_host_not_the_address(tmp_path: Path) -> None:
    made = certificates(tmp_path, "hook.example")
    with (
        Receiver(tls=made.server).serving() as receiver,
        client(allow_private=True, timeout=5, tls=made.client, resolve=Names(["127.0.0.1"])) as web,
    ):
        assert web.get(f"https://hook.example:{receiver.port}/").status_code == 204
        assert receiver.server_names == ["hook.example"]
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            web.get(f"https://other.example:{receiver.port}/")


def test_a_certificate_nobody_signed_is_refused(tmp_path: Path) -> None:
    made = certificates(tmp_path, "hook.example")
    with (
        Receiver(tls=made.server).serving() as receiver,
        client(allow_private=True, timeout=5, resolve=Names(["127.0.0.1"])) as web,
        pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        web.get(f"https://hook.example:{receiver.port}/")


def test_a_redirect_is_answered_not_followed(receiver: Receiver) -> None:
    receiver.answer = Answer(302, {"Location": f"http://127.0.0.1:{receiver.port}/secret"})
    with client(allow_private=True, timeout=5) as web:
        assert web.get(f"http://127.0.0.1:{receiver.port}/").status_code == 302

    assert [got.path for got in receiver.got] == ["/"]


def test_proxies_of_the_environment_are_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{receiver.port}")
    names = Names(["10.0.0.1"])
    with client(allow_private=False, timeout=5, resolve=names) as web, pytest.raises(Refused):
        web.get("http://inner.example/")

    assert receiver.got == []


@pytest.mark.parametrize("url", ["ftp://a.example/", "file:///etc/passwd", "ws://a.example/", "a"])
def test_only_http_is_spoken(url: str) -> None:
    with (
        client(allow_private=True, timeout=5, resolve=Names([PUBLIC])) as web,
        pytest.raises(httpx.UnsupportedProtocol, match="http"),
    ):
        web.get(url)


def test_a_large_answer_is_cut_off(receiver: Receiver) -> None:
    receiver.answer = Answer(200, body=b"a" * 5000)
    with client(allow_private=True, timeout=5, largest_answer=4999) as web, pytest.raises(TooMuch):
        web.get(f"http://127.0.0.1:{receiver.port}/")


def test_a_packed_answer_stays_packed(receiver: Receiver) -> None:
    receiver.answer = Answer(200, {"Content-Encoding": "gzip"}, b"a bomb")
    with client(allow_private=True, timeout=5) as web:
        assert web.get(f"http://127.0.0.1:{receiver.port}/").content == b"a bomb"
    assert receiver.got[0].headers["accept-encoding"] == "identity"


def test_a_server_that_never_answers_costs_the_time_limit(receiver: Receiver) -> None:
    receiver.answer = Answer(wait=30)
    assert _seconds_until_timeout(f"http://127.0.0.1:{receiver.port}/") < 10


def test_a_body_that_drips_costs_the_time_limit(receiver: Receiver) -> None:
    receiver.answer = Answer(200, body=b"a" * 1000, drip=0.1)
    assert _seconds_until_timeout(f"http://127.0.0.1:{receiver.port}/") < 10


def test_a_head_that_drips_costs_the_time_limit() -> None:
    with dripping_headers(0.1) as port:
        assert _seconds_until_timeout(f"http://127.0.0.1:{port}/") < 10


def test_a_name_server_that_never_answers_costs_the_time_limit() -> None:
    over = threading.Event()

    def slow(host: str, port: int) -> list[str]:
        over.wait(60)
        return [PUBLIC]

    started = time.monotonic()
    with (
        client(allow_private=True, timeout=0.3, resolve=slow) as web,
        pytest.raises(httpx.ConnectTimeout, match="in time"),
    ):
        web.get("http://slow.example/")
    over.set()
    assert time.monotonic() - started < 10


def test_each_request_has_its_own_time(receiver: Receiver) -> None:
    receiver.answer = Answer(wait=0.6)
    with client(allow_private=True, timeout=2) as web:
        for _ in range(4):
            assert web.get(f"http://127.0.0.1:{receiver.port}/").status_code == 204


def test_nobody_there_and_a_name_nobody_knows_are_connection_errors() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with client(allow_private=True, timeout=5) as web, pytest.raises(httpx.ConnectError, match="refused"):
        web.get(f"http://127.0.0.1:{free_port()}/")
    with (
        client(allow_private=True, timeout=5, resolve=unknown) as web,
        pytest.raises(httpx.ConnectError, match=r"nowhere\.example could not be looked up"),
    ):
        web.get("http://nowhere.example/")


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        (None, None), ("", None), ("soon", None), ("-5", None), ("²", None), ("0", timedelta()),
        ("120", timedelta(minutes=2)), ("9" * 40, timedelta(days=1)),
        ("Fri, 15 Jan 2027 12:05:00 GMT", timedelta(minutes=5)), ("Fri, 15 Jan 2027 11:00:00 GMT", timedelta()),
        ("Fri, 99 Jan 2027 11:00:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_read_in_both_forms(value: str | None, wait: timedelta | None) -> None:
    assert http.retry_after(value, now=NOW) == wait


def _seconds_until_timeout(url: str) -> float:
    started = time.monotonic()
    with client(allow_private=True, timeout=0.5) as web, pytest.raises(httpx.TimeoutException):
        web.get(url)
    return time.monotonic() - started
