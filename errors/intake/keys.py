"""Who may report: all keys and their projects, held in memory and read again when they may have changed."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from errors.intake.answers import Refusal
from errors.intake.database import Away, Connection, Database
from errors.protocol import auth

FRESH_SECONDS = 2.0  # older than this nothing is decided by it while newer can be had
WAIT_SECONDS = 1.0  # a database that takes longer to say it is as good as away
LOOK_EVERY_SECONDS = 0.05  # a flood of unknown keys must not become a flood of queries
UNKNOWN_SECONDS = 1.0  # how long a key that was not found is not looked for again

LOAD = """
SELECT k.public, k.id, p.id, CASE WHEN NOT p.enabled THEN 'project' WHEN NOT k.enabled THEN 'key' ELSE '' END,
       k.quota_per_minute, p.quota_per_minute, p.allowed_origins
FROM errors_key k JOIN errors_project p ON p.id = k.project_id WHERE p.deleted_at IS NULL
"""
SOME = f"{LOAD} AND k.public = ANY(%s)"
MOST_UNKNOWN = 10_000  # remembered
ANY_ORIGIN = "*"


class UnknownKey(Refusal):
    """The key is none of the project's."""

    def __init__(self) -> None:
        super().__init__(403, "No such project and key", causes=["The key is none of a project of this number."])


@dataclass(frozen=True, slots=True)
class Sender:
    """A key with what intake must know of its project."""

    key_id: int
    project_id: int
    off: str  # which of the two is switched off, `key` or `project`; "": neither
    key_quota: int | None
    project_quota: int | None
    origins: frozenset[str]  # empty: any page

    def allows(self, origin: str) -> bool:
        return not self.origins or origin.lower() in self.origins


class Keys:
    """Senders by key. The last known ones stay good while the database is away."""

    def __init__(self, database: Database, *, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._senders: dict[str, Sender] = {}
        self._loaded_at: float | None = None
        self._tried_at = float("-inf")
        self._loading: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()
        self._looked_at = self._failed_at = float("-inf")
        self._wanted: set[str] = set()  # to be looked for next
        self._unknown: dict[str, float] = {}  # since when

    async def sender(self, public: str, *, project: int) -> Sender:
        """Who reports with this key to this project. Raises UnknownKey; Away when that cannot be said."""
        came = self._clock()
        await self._refresh()
        found = self._senders.get(public) or await self._look_for(public, came=came)
        if found is None or found.project_id != project:
            raise UnknownKey
        return found

    async def of_project(self, project: int) -> Sender | None:
        """Any key of a project: enough for a question that comes without one. Raises Away as `sender`."""
        await self._refresh()
        return next((sender for sender in self._senders.values() if sender.project_id == project), None)

    async def _refresh(self) -> None:
        """All who come while the known keys are too old wait for one query, and not for long."""
        now = self._clock()
        if self._loaded_at is None:
            await asyncio.shield(self._begin())
            if self._loaded_at is None:
                raise Away("The keys are not known yet", lost=True)
        elif now - self._loaded_at >= FRESH_SECONDS:
            if now - self._tried_at >= FRESH_SECONDS:
                self._begin()
            left = self._tried_at + WAIT_SECONDS - now
            if self._loading is not None and left > 0:
                await asyncio.wait({self._loading}, timeout=left)

    async def _look_for(self, public: str, *, came: float) -> Sender | None:
        """The key may have been made a moment ago. All who ask while one query runs share the next one."""
        assert self._loaded_at is not None
        if self._loaded_at > came or self._is_unknown(public) or not auth.WELL_FORMED.fullmatch(public):
            return None
        self._wanted.add(public)
        async with self._looking:
            if public in self._wanted and self._failed_at < came:  # else the last query was for this one, too
                await self._look()
        found = self._senders.get(public)
        if found is None and not self._is_unknown(public):
            raise Away("The keys cannot be read", lost=True)
        return found

    async def _look(self) -> None:
        await asyncio.sleep(max(0.0, self._looked_at + LOOK_EVERY_SECONDS - self._clock()))
        wanted, self._wanted = self._wanted, set()
        self._looked_at = self._clock()
        try:
            found, at = await self._read(SOME, [list(wanted)])
        except Away:
            self._failed_at = self._clock()
            return
        self._senders |= found
        if len(self._unknown) + len(wanted) > MOST_UNKNOWN:
            self._unknown.clear()
        self._unknown |= dict.fromkeys(wanted - found.keys(), at)

    def _is_unknown(self, public: str) -> bool:
        return self._clock() - self._unknown.get(public, float("-inf")) < UNKNOWN_SECONDS

    def _begin(self) -> "asyncio.Task[None]":
        if self._loading is None or self._loading.done():
            self._tried_at = self._clock()
            self._loading = asyncio.get_running_loop().create_task(self._load(), name="intake keys")
        return self._loading

    async def _load(self) -> None:
        try:
            self._senders, self._loaded_at = await self._read(LOAD)
        except Away:
            return  # the last known ones stay

    async def _read(self, query: str, given: Sequence[object] = ()) -> tuple[dict[str, Sender], float]:
        """What the query finds, and when it was asked: what changed since may not be in it."""

        async def select(connection: Connection) -> tuple[list[tuple[object, ...]], float]:
            at = self._clock()  # not before: other work may have held the connection
            cursor = await connection.execute(query, given, prepare=True)
            return await cursor.fetchall(), at

        rows, at = await self._database.run(select)
        return {str(public): _sender(*facts) for public, *facts in rows}, at


def _sender(
    key_id: object, project_id: object, off: object, key_quota: object, project_quota: object, origins: object
) -> Sender:
    assert isinstance(key_id, int)
    assert isinstance(project_id, int)
    pages = frozenset(str(page).lower() for page in origins) if isinstance(origins, list) else frozenset()
    return Sender(
        key_id=key_id,
        project_id=project_id,
        off=str(off),
        key_quota=key_quota if isinstance(key_quota, int) else None,
        project_quota=project_quota if isinstance(project_quota, int) else None,
        origins=frozenset() if ANY_ORIGIN in pages else pages,
    )
