"""The intake when the database is stuck, gone or full: nothing is answered that is not kept, and nobody waits long."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from django.db import connection

from errors.intake import bulk, room, writer
from errors.intake.answers import Refusal
from errors.intake.bulk import Row
from errors.intake.database import PATIENCE_SECONDS, Away, Connection, Database
from errors.intake.outcomes import Refused
from errors.intake.waking import Waker
from errors.intake.writer import Busy, Writer
from errors.models import OutcomeCount, Spool
from errors.rules import Outcome
from sysops.kernel.clock import utc_now
from tests.errors import support

pytestmark = pytest.mark.django_db(transaction=True)


def parameters() -> Mapping[str, object]:
    given = connection.get_connection_params()
    return {name: value for name, value in given.items() if name in ("dbname", "user", "password", "host", "port")}


def nowhere() -> Mapping[str, object]:
    return {**parameters(), "host": "127.0.0.1", "port": 1}


@pytest.fixture(autouse=True)
def _patient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a database may take to answer matters to two tests alone: on a busy machine it takes its time."""
    if "within_five_seconds" not in request.node.name:
        for name in ("PATIENCE_SECONDS", "ANSWER_SECONDS", "HOLD_SECONDS"):
            monkeypatch.setattr(writer, name, 60.0)


@contextmanager
def other() -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Somebody else on the same database."""
    with psycopg.connect(**parameters(), autocommit=True) as made:  # type: ignore[arg-type]
        yield made


def row(body: bytes = b"{}\n", *, event: bool = True) -> Row:
    return (
        1,
        2,
        datetime(2027, 1, 13, 12, 0, 0, 123456, UTC),
        uuid4() if event else None,
        "envelope",
        "gzip",
        "::1",
        body,
    )


async def others() -> None:
    """Until all that was begun beside this is done."""
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))


def run(work: Callable[[Writer], Awaitable[None]], given: Callable[[], Mapping[str, object]] = parameters) -> int:
    """Do `work` with a writer; how often it committed."""
    commits: list[None] = []

    async def whole() -> None:
        database = Database(given, prepare=bulk.prepare)
        made = Writer(database, committed=lambda: commits.append(None))
        await work(made)
        await made.close()
        await database.close()

    asyncio.run(whole())
    return len(commits)


def test_rows_are_written_as_they_are_with_and_without_an_id_in_their_order() -> None:
    rows = [row(bytes(range(256)) * n, event=n % 2 == 0) for n in range(5)]

    async def work(to: Writer) -> None:
        await to.put(rows)

    run(work)

    kept = Spool.objects.order_by("pk").values_list(
        "project_id", "key_id", "received_at", "event_id", "kind", "encoding", "remote", "body"
    )
    assert [(*found[:-1], bytes(found[-1])) for found in kept] == rows


def test_what_arrives_during_a_commit_shares_the_next_one() -> None:
    async def work(to: Writer) -> None:
        await asyncio.gather(*(to.put([row()]) for _ in range(100)))

    assert run(work) == 1
    assert Spool.objects.count() == 100


def test_a_row_of_many_megabytes_is_written_too() -> None:
    async def work(to: Writer) -> None:
        await asyncio.gather(to.put([row(b"x" * 20_000_000)]), to.put([row(b"y" * 9_000_000)]), to.put([row()]))

    assert run(work) == 3


def test_a_stuck_database_fails_everybody_within_five_seconds_and_is_used_again_when_it_is_free() -> None:
    took: list[float] = []

    async def work(to: Writer) -> None:
        with other() as somebody:
            somebody.execute("BEGIN")
            somebody.execute("LOCK TABLE errors_spool")
            began = time.monotonic()
            waiting = [to.put([row()])]
            await asyncio.sleep(1)
            waiting.append(to.put([row()]))
            for one in waiting:
                with pytest.raises(Away):
                    await one
                took.append(time.monotonic() - began)
        await to.put([row()])

    run(work)

    assert max(took) < 2 * PATIENCE_SECONDS, "one wait for both"
    assert Spool.objects.count() == 1


def test_a_connection_that_is_cut_is_made_again_and_the_rows_are_kept() -> None:
    async def work(to: Writer) -> None:
        await to.put([row()])
        with other() as somebody:
            somebody.execute("BEGIN")
            somebody.execute("LOCK TABLE errors_spool")
            waiting = to.put([row()])
            await asyncio.sleep(0.2)
            with other() as killer:
                killer.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sysops intake'"
                )
            await asyncio.sleep(0.1)
        await waiting

    run(work)

    assert Spool.objects.count() == 2


def test_while_the_database_is_away_reports_are_refused_within_five_seconds() -> None:
    took: list[float] = []

    async def work(to: Writer) -> None:
        began = time.monotonic()
        with pytest.raises(Away):
            await to.put([row()])
        took.append(time.monotonic() - began)

    run(work, nowhere)

    assert took[0] < 10


def test_a_statement_that_fails_fails_its_rows_at_once_and_not_the_next_ones() -> None:
    async def work(to: Writer) -> None:
        with pytest.raises(Away):
            await to.put([(1, 2, utc_now(), None, "a kind that is far too long for its column", "gzip", "", b"")])
        await to.put([row()])

    run(work)

    assert Spool.objects.count() == 1


def test_a_row_that_postgresql_refuses_does_not_take_its_neighbours_along() -> None:
    async def work(to: Writer) -> None:
        bad: Row = (1, 2, utc_now(), None, "a kind that is far too long for its column", "gzip", "", b"")
        found = await asyncio.gather(*(to.put([one]) for one in (row(), bad, row())), return_exceptions=True)
        assert [isinstance(one, Away) for one in found] == [False, True, False]

    run(work)

    assert Spool.objects.count() == 2


def test_a_mistake_in_the_writer_fails_who_waits_and_not_who_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async def mistaken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    async def work(to: Writer) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(bulk, "insert", mistaken)
            with pytest.raises(Away):
                await to.put([row()])
        await to.put([row()])

    run(work)

    assert Spool.objects.count() == 1


def test_no_more_is_held_in_memory_than_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MOST_ROWS", 3)
    monkeypatch.setattr(writer, "MOST_BYTES", 1_000)

    async def work(to: Writer) -> None:
        big = to.put([row(b"x" * 5_000)])  # alone even one that is larger than the room
        with pytest.raises(Busy):
            to.put([row(b"x")])
        await big
        await asyncio.gather(*(to.put([row(b"x")]) for _ in range(3)))

    run(work)
    assert Spool.objects.count() == 4


def test_what_waits_when_the_server_stops_is_written_first() -> None:
    async def work(to: Writer) -> None:
        waiting = to.put([row()])
        await to.close()
        assert waiting.done()

    run(work)
    assert Spool.objects.count() == 1


def test_committed_means_on_disk_whatever_the_server_has_as_its_default() -> None:
    async def ask() -> object:
        database = Database(lambda: {**parameters(), "options": "-c synchronous_commit=off"}, prepare=bulk.prepare)

        async def show(using: Connection) -> object:
            found = await (await using.execute("SHOW synchronous_commit")).fetchone()
            return found and found[0]

        said = await database.run(show)
        await database.close()
        return said

    assert asyncio.run(ask()) == "on"


def test_reports_are_refused_while_too_many_wait_and_while_the_disk_is_nearly_full(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(room, "MOST_WAITING", 2)
    support.put_in_spool(support.project(), *[support.envelope() for _ in range(3)])

    async def ask() -> tuple[int, int]:
        database = Database(parameters, prepare=bulk.prepare)
        now = [0.0]
        look = room.Room(database, folder=tmp_path, clock=lambda: now[0])
        look.check()
        await others()
        with pytest.raises(Refusal) as backlog:
            look.check()
        monkeypatch.setattr(room, "FREE_BYTES", 1 << 60)
        monkeypatch.setattr(room, "FREE_SHARE", 1.0)
        now[0] += 10
        with pytest.raises(Refusal) as disk:
            look.check()
        await others()
        await database.close()
        assert "retry-after" in backlog.value.headers
        assert "retry-after" in disk.value.headers
        return backlog.value.status, disk.value.status

    assert asyncio.run(ask()) == (429, 503)


def test_the_disk_that_counts_is_also_the_one_the_database_is_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "postgres").symlink_to(tmp_path / "elsewhere")
    real = room.nearly_full
    monkeypatch.setattr(room, "nearly_full", lambda folder: "elsewhere" in str(folder.resolve()) or real(folder))

    async def ask() -> None:
        database = Database(parameters, prepare=bulk.prepare)
        with pytest.raises(Refusal, match="disk is nearly full"):
            room.Room(database, folder=tmp_path, clock=lambda: 0.0).check()
        await others()
        await database.close()

    asyncio.run(ask())


@pytest.mark.parametrize("why", [OSError(24, "Too many open files"), RuntimeError("can't start new thread")])
def test_a_machine_that_has_nothing_left_does_not_end_the_counting_of_the_refused(
    monkeypatch: pytest.MonkeyPatch, why: Exception
) -> None:
    project = support.project()
    monkeypatch.setattr("errors.intake.outcomes.EVERY_SECONDS", 0.05)
    connect, tried = psycopg.connect, list[None]()

    def once(**given: object) -> object:
        tried.append(None)
        if len(tried) == 1:
            raise why
        return connect(**given)  # type: ignore[arg-type]

    monkeypatch.setattr(psycopg, "connect", once)

    async def count() -> None:
        refused = Refused(parameters, clock=utc_now)
        refused.add(project=project.pk, category="error", outcome=Outcome.INVALID, reason="json")
        while len(tried) < 2:
            assert not refused._task.done()
            await asyncio.sleep(0.01)
        await refused.close()

    asyncio.run(asyncio.wait_for(count(), 20))
    assert [one.quantity for one in OutcomeCount.objects.all()] == [1]


def test_counts_of_the_refused_are_added_up_and_kept_while_they_cannot_be_stored() -> None:
    project = support.project()
    away = threading.Event()

    async def count() -> None:
        refused = Refused(lambda: nowhere() if away.is_set() else parameters(), clock=utc_now)
        for _ in range(2):
            refused.add(project=project.pk, category="error", outcome=Outcome.INVALID, reason="json")
        refused.add(project=987_654, category="error", outcome=Outcome.INVALID, reason="json")  # deleted meanwhile
        await refused.store()
        away.set()
        refused.add(project=project.pk, category="error", outcome=Outcome.INVALID, reason="json")
        await refused.store()
        away.clear()
        await refused.close()

    asyncio.run(count())
    assert [(one.project_id, one.quantity) for one in OutcomeCount.objects.all()] == [(project.pk, 3)]


def test_a_worker_is_told_at_most_once_a_second_and_of_the_last_rows_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("errors.intake.waking.EVERY_SECONDS", 0.3)
    woken: list[float] = []
    began = time.monotonic()

    def slow() -> None:
        woken.append(time.monotonic())
        time.sleep(0.1)

    async def work() -> float:
        waker = Waker(slow)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            waker.ask()
            await asyncio.sleep(0.01)
        last = time.monotonic()
        waker.ask()
        await others()
        await waker.close()
        return last

    last = asyncio.run(work())
    assert 2 <= len(woken) <= 1 + (woken[-1] - began) / 0.3
    assert woken[-1] >= last
