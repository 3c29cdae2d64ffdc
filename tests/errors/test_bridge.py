"""Django beneath the ASGI front: senders that fall silent, and how long and how much they may hold."""

import asyncio
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from sysops import bridge
from sysops.bridge import Application, Message, Scope

MIB = 1024 * 1024


def reading(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Says how much came, as Django does: after it has read all of it."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [])
    return [b"%d" % len(body)]


class Sender:
    """Sends these pieces, one at a time, and is silent from then on."""

    def __init__(self, *pieces: bytes, length: int | None = None, pause: float = 0.0) -> None:
        self.pieces = list(pieces)
        self.length = sum(map(len, pieces)) if length is None else length
        self.pause = pause
        self.said: list[Message] = []

    async def receive(self) -> Message:
        await asyncio.sleep(self.pause)
        if not self.pieces:
            await asyncio.Event().wait()
        piece = self.pieces.pop(0)
        self.length -= len(piece)
        return {"type": "http.request", "body": piece, "more_body": bool(self.pieces) or self.length > 0}

    async def send(self, message: Message) -> None:
        self.said.append(message)

    @property
    def status(self) -> object:
        return self.said[0]["status"] if self.said else None


def scope(length: int | None) -> Scope:
    framed = (b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length)
    return {
        "type": "http", "http_version": "1.1", "method": "POST", "path": "/x", "query_string": b"",
        "headers": [framed, (b"host", b"x")],
    }  # fmt: skip


async def answered(application: Application, sender: Sender, *, chunked: bool = False) -> object:
    async with asyncio.timeout(60):
        await application(scope(None if chunked else sender.length), sender.receive, sender.send)
    return sender.status


def test_senders_that_fall_silent_behind_the_first_megabyte_do_not_keep_the_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bridge, "IDLE_SECONDS", 1.0)

    async def run() -> list[object]:
        application = bridge.bridge(reading, threads=2)
        silent = [Sender(b"x" * MIB, b"y", length=2 * MIB) for _ in range(3)]
        held = [asyncio.create_task(answered(application, each)) for each in silent]
        await asyncio.sleep(0.1)
        return [await answered(application, Sender(b"fine")), *await asyncio.gather(*held)]

    assert asyncio.run(run()) == [200, 408, 408, 408]


@pytest.mark.parametrize("size", [10, 2 * MIB])
def test_a_sender_that_goes_on_for_ever_is_left(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "WHOLE_SECONDS", 0.3)
    first = b"x" * min(size, MIB)

    async def run() -> object:
        dripping = Sender(first, *(b"." for _ in range(1_000)), length=2 * size, pause=0.01)
        return await answered(bridge.bridge(reading, threads=1), dripping)

    assert asyncio.run(run()) == 408


@pytest.mark.parametrize("chunked", [False, True])
def test_a_long_body_arrives_whole_also_when_it_says_no_length(chunked: bool) -> None:
    async def run() -> object:
        sender = Sender(b"x" * MIB, *([b"y" * 1_000] * 50))
        await answered(bridge.bridge(reading, threads=1), sender, chunked=chunked)
        return sender.said[1]["body"]

    assert asyncio.run(run()) == b"%d" % (MIB + 50_000)


def test_a_body_longer_than_django_takes_is_not_read_to_its_end() -> None:
    async def run() -> list[object]:
        sender = Sender(*([b"x" * MIB] * 50))
        return [await answered(bridge.bridge(reading, threads=1), sender), len(sender.pieces)]

    assert asyncio.run(run()) == [200, 46]


def test_many_bodies_at_once_are_not_all_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "MOST_HELD", 3 * MIB)

    async def run() -> list[object]:
        application = bridge.bridge(reading, threads=1)
        slow = [Sender(b"x" * (MIB // 2), length=MIB) for _ in range(7)]
        tasks = [asyncio.create_task(answered(application, each)) for each in slow]
        async with asyncio.timeout(30):
            while not any(each.status for each in slow):
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)  # one of them, and no other
        early = [each.status for each in slow]
        fine = await answered(application, Sender(b"fine"))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        after = [await answered(application, Sender(*([b"x" * (MIB // 2)] * 2))) for _ in range(3)]
        return [*sorted(map(str, early)), fine, *after]

    assert asyncio.run(run()) == ["503", *["None"] * 6, 200, *[200] * 3]
