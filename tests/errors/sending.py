"""Reports sent to the web server's own ASGI application, in this process, with the tests' PostgreSQL behind it."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from errors.models import Key
from sysops import asgi
from sysops.bridge import Message

AT_ONCE = 16


@dataclass
class Line:
    """A running intake and a key to report with."""

    runner: asyncio.Runner
    client: httpx.AsyncClient
    key: Key

    def send(
        self, bodies: Sequence[bytes], *, headers: Sequence[Mapping[str, str]] = (), to: str = "envelope"
    ) -> list[httpx.Response]:
        """The answers to these bodies, many at a time as SDKs do. `headers` are added to each, in turn."""
        return self.runner.run(self._all(bodies, headers or [{}] * len(bodies), to))

    async def _all(
        self, bodies: Sequence[bytes], headers: Sequence[Mapping[str, str]], to: str
    ) -> list[httpx.Response]:
        at_once = asyncio.Semaphore(AT_ONCE)
        url = f"/api/{self.key.project_id}/{to}/"
        auth = {"x-sentry-auth": f"Sentry sentry_version=7, sentry_key={self.key.public}"}

        async def one(body: bytes, more: Mapping[str, str]) -> httpx.Response:
            async with at_once:
                return await self.client.post(url, content=body, headers={**auth, **more})

        return await asyncio.gather(*(one(body, more) for body, more in zip(bodies, headers, strict=True)))


@contextmanager
def line(key: Key) -> Iterator[Line]:
    """The intake, from the start of the web server to its end."""
    front = asgi.Front()
    with asyncio.Runner() as runner:
        to_server: asyncio.Queue[Message] = asyncio.Queue()
        from_server: asyncio.Queue[Message] = asyncio.Queue()

        async def begin() -> asyncio.Task[None]:
            living = asyncio.create_task(front({"type": "lifespan"}, to_server.get, from_server.put))
            to_server.put_nowait({"type": "lifespan.startup"})
            assert (await from_server.get())["type"] == "lifespan.startup.complete"
            return living

        async def end() -> None:
            await client.aclose()
            to_server.put_nowait({"type": "lifespan.shutdown"})
            assert (await from_server.get())["type"] == "lifespan.shutdown.complete"
            await living

        living = runner.run(begin())
        transport = httpx.ASGITransport(app=front)
        client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=30)
        try:
            yield Line(runner, client, key)
        finally:
            runner.run(end())
