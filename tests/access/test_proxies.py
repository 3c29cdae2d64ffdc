"""Behind a reverse proxy: whose word is believed about where a request came from."""

import asyncio
from typing import cast

import httpx
import pytest
from django.conf import settings
from django.test import RequestFactory

from sysops import asgi
from sysops.access.requests import request_address
from sysops.bridge import Receive, Scope, Send
from sysops.env import BadEnvironment, load

PROXY, CLIENT = "10.1.2.3", "203.0.113.9"


async def says_whom_it_sees(scope: Scope, receive: Receive, send: Send) -> None:
    client, scheme = cast(tuple[str, int], scope["client"])[0], scope["scheme"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{scheme} {client}".encode()})


def seen_from(peer: str, forwarded: str, *, trusted: list[str]) -> str:
    """The scheme and the address that Sysops sees."""

    async def asked() -> str:
        app = asgi._believing(trusted, says_whom_it_sees)
        transport = httpx.ASGITransport(app=app, client=(peer, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            headers = {"X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https"}
            return (await client.get("/", headers=headers)).text

    return asyncio.run(asked())


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "seen"),
    [
        (PROXY, CLIENT, [PROXY], f"https {CLIENT}"),
        (PROXY, CLIENT, ["10.1.0.0/16"], f"https {CLIENT}"),
        (PROXY, f"8.8.8.8, {CLIENT}, 10.1.9.9", ["10.1.0.0/16"], f"https {CLIENT}"),  # its own words come first
        (PROXY, CLIENT, [], f"http {PROXY}"),
        ("198.51.100.1", CLIENT, [PROXY], "http 198.51.100.1"),
    ],
)
def test_a_trusted_proxy_tells_where_a_request_came_from_and_nobody_else(
    peer: str, forwarded: str, trusted: list[str], seen: str
) -> None:
    assert seen_from(peer, forwarded, trusted=trusted) == seen


@pytest.mark.parametrize(
    ("given", "address"), [(CLIENT, CLIENT), ("2001:DB8::1", "2001:db8::1"), ("<script>" * 50, None), ("", None)]
)
def test_what_is_no_address_is_none(given: str, address: str | None) -> None:
    assert request_address(RequestFactory().get("/", REMOTE_ADDR=given)) == address


def test_nobody_is_trusted_unless_it_is_said() -> None:
    assert settings.ENV.trusted_proxies == []


def test_addresses_and_networks_are_read_and_anything_else_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSOPS_TRUSTED_PROXIES", "10.1.2.3, 192.168.0.0/16,fd00::/8")
    assert [str(each) for each in load().trusted_proxies] == ["10.1.2.3/32", "192.168.0.0/16", "fd00::/8"]

    monkeypatch.setenv("SYSOPS_TRUSTED_PROXIES", "nginx")
    with pytest.raises(BadEnvironment, match="SYSOPS_TRUSTED_PROXIES"):
        load()
