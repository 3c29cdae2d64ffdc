"""Who may report: all keys and their projects, held in memory and read again when they may have changed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from errors.intake.answers import Refusal
from errors.intake.database import Away, Connection, Database

FRESH_SECONDS = 2.0  # how long a key that was switched off still works under load
STALE_SECONDS = 10.0  # older than this nothing is decided by it while newer can be had
UNKNOWN_EVERY_SECONDS = 1.0  # a flood of unknown keys must not become a flood of queries

LOAD = """
SELECT k.public, k.id, p.id, k.enabled AND p.enabled, k.quota_per_minute, p.quota_per_minute, p.allowed_origins
FROM errors_key k JOIN errors_project p ON p.id = k.project_id WHERE p.deleted_at IS NULL
"""
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
    enabled: bool
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
        self._loading: asyncio.Task[bool] | None = None
        self._unknown: set[str] = set()

    async def sender(self, public: str, *, project: int) -> Sender:
        """Who reports with this key to this project. Raises UnknownKey, Refusal 403; Away when no keys are known."""
        await self._refresh()
        found = self._senders.get(public)
        if found is None and public not in self._unknown:
            found = await self._look_again(public)
        if found is None or found.project_id != project:
            raise UnknownKey
        if not found.enabled:
            raise Refusal(403, "Not taken at present", causes=["The project or the key is switched off."])
        return found

    async def of_project(self, project: int) -> Sender | None:
        """Any key of a project: enough for a question that comes without one. Raises Away as `sender`."""
        await self._refresh()
        return next((sender for sender in self._senders.values() if sender.project_id == project), None)

    async def _refresh(self) -> None:
        now = self._clock()
        age = now - self._loaded_at if self._loaded_at is not None else None
        if age is not None and (age < FRESH_SECONDS or now - self._tried_at < FRESH_SECONDS):
            return
        loading = self._begin()
        if age is None or age > STALE_SECONDS:
            await asyncio.shield(loading)
            if self._loaded_at is None:
                raise Away("The keys are not known yet", lost=True)

    async def _look_again(self, public: str) -> Sender | None:
        """The key may have been made a moment ago. One look for all who ask within a second; a key that was not
        found then is not looked for again, but may come with the others."""
        await asyncio.sleep(max(0.0, self._tried_at + UNKNOWN_EVERY_SECONDS - self._clock()))
        if not await asyncio.shield(self._begin()):
            raise Away("The keys cannot be read", lost=True)
        if public not in self._senders:
            if len(self._unknown) >= MOST_UNKNOWN:
                self._unknown.clear()
            self._unknown.add(public)
        return self._senders.get(public)

    def _begin(self) -> "asyncio.Task[bool]":
        if self._loading is None or self._loading.done():
            self._tried_at = self._clock()
            self._loading = asyncio.get_running_loop().create_task(self._read(), name="intake keys")
        return self._loading

    async def _read(self) -> bool:
        async def select(connection: Connection) -> list[tuple[object, ...]]:
            cursor = await connection.execute(LOAD, prepare=True)
            return await cursor.fetchall()

        try:
            rows = await self._database.run(select)
        except Away:
            return False  # the last known ones stay
        self._senders = {str(public): _sender(*facts) for public, *facts in rows}
        self._loaded_at = self._clock()
        return True


def _sender(
    key_id: object, project_id: object, enabled: object, key_quota: object, project_quota: object, origins: object
) -> Sender:
    assert isinstance(key_id, int)
    assert isinstance(project_id, int)
    pages = frozenset(str(page).lower() for page in origins) if isinstance(origins, list) else frozenset()
    return Sender(
        key_id=key_id,
        project_id=project_id,
        enabled=bool(enabled),
        key_quota=key_quota if isinstance(key_quota, int) else None,
        project_quota=project_quota if isinstance(project_quota, int) else None,
        origins=frozenset() if ANY_ORIGIN in pages else pages,
    )
