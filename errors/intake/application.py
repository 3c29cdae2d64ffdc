"""The intake's ASGI application: `/api/<number>/envelope/`, `store/` and `security/` from socket to durable row.

Nothing here uses Django or its database connections, and no failure here is ever reported over HTTP: when Sysops
reports its own errors to itself, that would never end.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ParamSpec
from uuid import UUID

from errors.intake import answers, reports, requests
from errors.intake.answers import Answer, Refusal
from errors.intake.bulk import Row, prepare
from errors.intake.database import Away, Database
from errors.intake.keys import Keys, Sender, UnknownKey
from errors.intake.outcomes import Refused
from errors.intake.quotas import Quotas
from errors.intake.reports import Taken
from errors.intake.requests import Bodies, Receive, Request, Scope, Send
from errors.intake.room import Room
from errors.intake.waking import Waker
from errors.intake.writer import Busy, Writer
from sysops.kernel.clock import Clock

logger = logging.getLogger(__name__)

BIG_BYTES = 128 * 1024  # a packed body from here on is unpacked in a thread
BIG_AT_ONCE = 2
SECURITY = frozenset({"security", "csp-report"})
ENDPOINTS = frozenset({"envelope", "store"}) | SECURITY
NOT_PROCESSED = frozenset({"minidump", "unreal", "playstation"})
UNREADABLE = Refusal(
    415, "Native crash dumps are not processed here", causes=["Have the SDK send events to envelope/ instead."]
)

P = ParamSpec("P")


@dataclass(frozen=True)
class Surroundings:
    """What the intake needs of the house it stands in."""

    database: Callable[[], Mapping[str, object]]  # psycopg's parameters
    folder: Path  # whose disk must not fill up
    clock: Clock
    wake: Callable[[], object]  # tells a worker that reports wait
    answered: Callable[[float, int], None]  # seconds and status of each answer


class Intake:
    """Lives in one event loop, from its first use to `close`."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._database = Database(around.database, prepare=prepare)
        self._keys = Keys(self._database, clock=time.monotonic)
        self._room = Room(self._database, folder=around.folder, clock=time.monotonic)
        self._quotas = Quotas()
        self._bodies = Bodies()
        self._refused = Refused(around.database, clock=around.clock)
        self._waker = Waker(around.wake)
        self._writer = Writer(self._database, committed=self._waker.ask)
        self._threads = ThreadPoolExecutor(BIG_AT_ONCE, thread_name_prefix="intake")

    async def close(self) -> None:
        """Everything that was taken is written, and nothing stays behind."""
        await self._writer.close()
        await self._refused.close()
        await self._waker.close()
        await self._database.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.monotonic()
        request = requests.parse(scope)
        try:
            answer = await self._answer(request, receive)
        except Exception:  # a mistake of ours: logged here, because what logs it otherwise may report it to us
            logger.exception("A report could not be taken")
            answer = answers.refused(answers.MISTAKE)
        finally:
            if request is not None:
                self._bodies.release(request)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})
        self._around.answered(time.monotonic() - began, answer.status)

    async def _answer(self, request: Request | None, receive: Receive) -> Answer:
        if request is None:
            return answers.refused(Refusal(404, "Reports go to /api/<number of the project>/envelope/"))
        try:
            if request.method == "OPTIONS":
                await self._preflight(request)
                return answers.preflight()
            self._check(request)
            self._room.check()
            found = await self._take(request, receive)
        except Refusal as refusal:
            self._count(request, refusal)
            await self._bodies.drain(request, receive)
            return answers.refused(refusal, from_page=bool(request.origin))
        except (Away, Busy):
            await self._bodies.drain(request, receive)
            return answers.refused(answers.away("Reports cannot be kept at present"), from_page=bool(request.origin))
        return answers.taken(found, from_page=bool(request.origin))

    async def _preflight(self, request: Request) -> None:
        sender = await self._keys.of_project(request.project)
        if sender is not None and not sender.allows(request.origin):
            raise answers.ForeignPage

    def _check(self, request: Request) -> None:
        if request.endpoint in NOT_PROCESSED:
            raise UNREADABLE
        if request.endpoint not in ENDPOINTS:
            raise Refusal(404, "Nothing is here", causes=["Reports go to envelope/, store/ or security/."])
        if request.method != "POST":
            raise Refusal(405, "Reports are sent by POST", headers={"allow": "POST, OPTIONS"})

    async def _take(self, request: Request, receive: Receive) -> UUID | None:
        """Keep what the request holds; the id it is answered with."""
        in_envelope = request.endpoint == "envelope"  # its first line may name the key, too
        sender = await self._sender(request, request.key(), or_later=in_envelope)
        if sender is not None:
            self._admit(request, sender)
        encoding = request.encoding()
        body = await self._bodies.read(request, receive)
        if sender is None:
            sender = await self._sender(request, reports.key_in_envelope(body, encoding) or request.key())
            assert sender is not None
            self._admit(request, sender)
        taken = await self._read(request, body, encoding)
        if taken.pieces:
            await self._writer.put(self._rows(request, sender, taken))
        return taken.event_id

    async def _sender(self, request: Request, key: str | None, *, or_later: bool = False) -> Sender | None:
        """Who sends; None when that cannot be said yet and may be `or_later`. Raises Refusal 401, 403."""
        if key is None:
            if or_later:
                return None
            raise answers.no_key()
        try:
            sender = await self._keys.sender(key, project=request.project)
        except UnknownKey:
            if or_later:
                return None
            raise
        request.known = True
        return sender

    def _admit(self, request: Request, sender: Sender) -> None:
        if sender.off:
            raise answers.switched_off(sender.off)
        if request.origin and not sender.allows(request.origin):
            raise answers.ForeignPage
        over = self._quotas.take(sender, now=self._around.clock().timestamp())
        if over is not None:
            raise answers.rate_limited(
                f"The {over.scope} has sent all it may in this minute",
                seconds=over.seconds,
                scope=over.scope,
                reason="quota",
            )

    async def _read(self, request: Request, body: bytes, encoding: str) -> Taken:
        """What takes long is done in a thread, so that the others are answered meanwhile."""
        small = len(body) < BIG_BYTES
        if request.endpoint == "envelope":
            taken = reports.from_envelope(body, encoding) if small else None
            return taken or await self._in_thread(reports.from_big_envelope, body, encoding)
        work = partial(reports.from_security, body, encoding)
        if request.endpoint == "store":
            work = partial(reports.from_store, body, encoding, request.headers.get("content-type", ""))
        return work() if small else await self._in_thread(work)

    async def _in_thread(self, work: Callable[P, Taken], *args: P.args, **kwargs: P.kwargs) -> Taken:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *args, **kwargs))

    def _rows(self, request: Request, sender: Sender, taken: Taken) -> list[Row]:
        at = self._around.clock()
        return [
            (sender.project_id, sender.key_id, at, one.event_id, one.kind, one.encoding, request.remote, one.body)
            for one in taken.pieces
        ]

    def _count(self, request: Request, refusal: Refusal) -> None:
        if request.known and refusal.outcome is not None:
            category = "security" if request.endpoint in SECURITY else "error"
            self._refused.add(
                project=request.project, category=category, outcome=refusal.outcome, reason=refusal.reason
            )
