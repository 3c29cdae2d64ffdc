"""Whose key it is: known at once when it is new, never older than two seconds, and at the price of few queries."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from django.db import connection

from errors.intake import bulk
from errors.intake import keys as intake_keys
from errors.intake.database import Away, Connection, Database
from errors.intake.keys import Keys, UnknownKey
from errors.models import Key
from tests.errors import support
from tests.errors.test_intake_faults import nowhere, other, parameters

T = TypeVar("T")
pytestmark = pytest.mark.django_db(transaction=True)


class Counting(Database):
    """Counts what it is asked."""

    def __init__(self) -> None:
        super().__init__(parameters, prepare=bulk.prepare)
        self.queries = 0

    async def run(self, work: Callable[[Connection], Awaitable[object]], *, patience: float = 3) -> object:  # type: ignore[override]
        self.queries += 1
        return await super().run(work, patience=patience)


async def aside(work: Callable[..., T], *given: object, **named: object) -> T:
    """What `work` returns, done in a thread that leaves no connection behind."""

    def done() -> T:
        try:
            return work(*given, **named)
        finally:
            connection.close()

    return await asyncio.to_thread(done)


def using(work: Callable[[Keys, Counting], Awaitable[None]], *, clock: Callable[[], float] = time.monotonic) -> int:
    """Do `work` with keys; how often it asked the database."""

    async def whole() -> int:
        database = Counting()
        await work(Keys(database, clock=clock), database)
        await database.close()
        return database.queries

    return asyncio.run(whole())


def test_known_keys_stay_good_while_the_database_is_away_and_unknown_ones_are_not_called_wrong() -> None:
    key = support.key(support.project())
    away = threading.Event()
    now = [100.0]

    async def ask() -> None:
        database = Database(lambda: nowhere() if away.is_set() else parameters(), prepare=bulk.prepare)
        keys = Keys(database, clock=lambda: now[0])
        assert (await keys.sender(key.public, project=key.project_id)).key_id == key.pk
        await database.close()
        away.set()
        now[0] += 3600
        assert (await keys.sender(key.public, project=key.project_id)).key_id == key.pk
        now[0] += 3600
        with pytest.raises(Away):
            await keys.sender("0" * 32, project=key.project_id)

    asyncio.run(ask())


def test_a_flood_of_unknown_keys_is_one_query_and_not_one_each() -> None:
    key = support.key(support.project())

    async def ask(keys: Keys, _: Counting) -> None:
        await keys.sender(key.public, project=key.project_id)
        tried = [keys.sender(f"{n:032x}", project=key.project_id) for n in range(500)]
        found = await asyncio.gather(*tried, return_exceptions=True)
        assert all(isinstance(one, UnknownKey) for one in found)

    assert using(ask) == 2


def test_unknown_keys_one_after_another_are_looked_for_twenty_times_a_second_at_most() -> None:
    key = support.key(support.project())
    tried: list[int] = []
    began = time.monotonic()

    async def ask(keys: Keys, _: Counting) -> None:
        await keys.sender(key.public, project=key.project_id)
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            tried.append(len(tried))
            with pytest.raises(UnknownKey):
                await keys.sender(f"{len(tried):032x}", project=key.project_id)
        new = await aside(support.key, key.project)
        assert (await keys.sender(new.public, project=key.project_id)).key_id == new.pk

    queries, took = using(ask), time.monotonic() - began
    assert queries <= 2 + took / intake_keys.LOOK_EVERY_SECONDS + took / intake_keys.FRESH_SECONDS


def test_a_key_that_was_not_found_is_looked_for_again_a_second_later() -> None:
    project = support.project()
    now = [100.0]

    async def ask(keys: Keys, database: Counting) -> None:
        for later, queries in ((0.0, 2), (0.9, 2), (1.1, 3)):
            now[0] = 100.0 + later
            with pytest.raises(UnknownKey):
                await keys.sender("a" * 32, project=project.pk)
            assert database.queries == queries
        await aside(support.key, project, public="a" * 32)
        now[0] = 101.9 + 0.3
        assert (await keys.sender("a" * 32, project=project.pk)).project_id == project.pk

    using(ask, clock=lambda: now[0])


@pytest.mark.parametrize("public", ["a\x00b", "short", "ü" * 32, "A" * 32])
def test_what_cannot_be_a_key_asks_the_database_nothing(public: str) -> None:
    key = support.key(support.project())

    async def ask(keys: Keys, _: Counting) -> None:
        await keys.sender(key.public, project=key.project_id)
        with pytest.raises(UnknownKey):
            await keys.sender(public, project=key.project_id)

    assert using(ask) == 1


def test_all_who_come_while_the_keys_are_too_old_share_one_query_and_get_its_answer() -> None:
    key = support.key(support.project())
    now = [100.0]

    async def ask(keys: Keys, _: Counting) -> None:
        assert not (await keys.sender(key.public, project=key.project_id)).off
        await aside(lambda: Key.objects.update(enabled=False))
        now[0] += 2
        found = await asyncio.gather(*(keys.sender(key.public, project=key.project_id) for _ in range(200)))
        assert {one.off for one in found} == {"key"}

    assert using(ask, clock=lambda: now[0]) == 2


def test_nobody_waits_long_for_a_database_that_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_keys, "FRESH_SECONDS", 0.3)
    monkeypatch.setattr(intake_keys, "WAIT_SECONDS", 0.3)
    key = support.key(support.project())
    took: list[float] = []

    async def ask(keys: Keys, _: Counting) -> None:
        await keys.sender(key.public, project=key.project_id)
        with other() as somebody:
            somebody.execute("BEGIN")
            somebody.execute("LOCK TABLE errors_key")
            await asyncio.sleep(0.3)
            for _again in range(10):
                began = time.monotonic()
                assert (await keys.sender(key.public, project=key.project_id)).key_id == key.pk
                took.append(time.monotonic() - began)
            somebody.execute("ROLLBACK")

    using(ask)

    assert sum(took) < 2.5, "one waits for a while, and the others do not wait for it again"
