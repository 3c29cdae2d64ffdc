"""What was taken is stored, once, whatever happens to its neighbours, to its worker or to the database."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest
import zstandard
from django.db import OperationalError, connection
from django.db.backends.postgresql.base import DatabaseWrapper

from errors import tasks
from errors.digest import event as digest_event
from errors.digest.event import load
from errors.growth import Growth
from errors.models import DigestAttempt, Event, Grouping, Issue, OutcomeCount, Project, Spool, Undigestible
from errors.rules import Kind
from errors.services import digesting, growing, spooling, storing
from errors.services import outcomes as outcome_counts
from errors.services.totals import Part
from errors.services.unpacking import Report
from tests.errors.support import (
    NOW,
    clock,
    digest_all,
    envelope,
    event,
    event_envelope,
    event_json,
    item,
    project,
    put_in_spool,
    sdk_envelopes,
)

pytestmark = pytest.mark.django_db


def ids(of: Project) -> list[UUID]:
    return list(Event.objects.filter(project=of).order_by("event_id").values_list("event_id", flat=True))


def outcomes(of: Project) -> dict[tuple[str, str], int]:
    rows = OutcomeCount.objects.filter(project=of).values_list("category", "outcome", "quantity")
    return {(category, outcome): quantity for category, outcome, quantity in rows}


def test_a_real_envelope_becomes_an_event_of_an_issue() -> None:
    shop = project()
    (body,) = sdk_envelopes(1)
    (row,) = put_in_spool(shop, body)

    assert digest_all() == 1

    stored = Event.objects.get(project=shop)
    issue = Issue.objects.get(project=shop)
    assert stored.event_id == row.event_id
    assert (issue.error_type, issue.event_count, issue.affected_accounts) == ("Trouble0", 1, 1)
    assert (issue.latest_event_id, issue.latest_received_at) == (stored.event_id, NOW)
    assert (issue.first_release, issue.last_release, issue.environment) == ("shop@2.4.1", "shop@2.4.1", "production")
    assert "_charge" in orjson.dumps(load(bytes(stored.payload))).decode()
    assert not Spool.objects.exists()
    assert not DigestAttempt.objects.exists()


def test_alike_errors_are_one_issue_and_different_ones_are_not() -> None:
    shop = project()
    put_in_spool(shop, *sdk_envelopes(12, kinds=3))

    digest_all()

    counts = Issue.objects.filter(project=shop).order_by("error_type").values_list("error_type", "event_count")
    assert list(counts) == [("Trouble0", 4), ("Trouble1", 4), ("Trouble2", 4)]


def test_a_report_sent_twice_is_stored_once() -> None:
    shop, body = project(), event_envelope()
    put_in_spool(shop, body, body)
    digest_all()

    put_in_spool(shop, body, at=NOW + timedelta(days=15))
    digest_all(at=NOW + timedelta(days=15))

    assert len(ids(shop)) == 1
    assert Issue.objects.values_list("event_count", flat=True).get(project=shop) == 1
    assert sum(OutcomeCount.objects.filter(project=shop, outcome="duplicate").values_list("quantity", flat=True)) == 2


def test_two_projects_may_use_the_same_event_id() -> None:
    one, other, body = project(), project(), event_envelope()
    put_in_spool(one, body)
    put_in_spool(other, body)

    digest_all()

    assert ids(one) == ids(other)
    assert len(ids(one)) == 1


def test_an_odd_report_among_a_hundred_is_kept_aside_with_the_reason() -> None:
    shop = project()
    good = [event_envelope() for _ in range(99)]
    odd = envelope(item("event", b'["a list"]'), event_id=uuid4())
    put_in_spool(shop, *good[:50], odd, *good[50:])

    digest_all()

    kept = Undigestible.objects.get(project=shop)
    assert len(ids(shop)) == 99
    assert "list" in kept.reason
    assert bytes(kept.body) == odd
    assert outcomes(shop) == {("error", "accepted"): 99, ("error", "undigestible"): 1}


@pytest.mark.parametrize(
    ("body", "encoding", "kind"),
    [
        (b"", "identity", Kind.ENVELOPE),
        (b"no envelope", "identity", Kind.ENVELOPE),
        (b"not gzip", "gzip", Kind.ENVELOPE),
        (b"{", "identity", Kind.STORE),
        (b"[]", "identity", Kind.SECURITY),
        (b"null", "identity", Kind.PLAIN),
    ],
)
def test_what_cannot_be_read_is_kept_as_it_came(body: bytes, encoding: str, kind: Kind) -> None:
    shop = project()
    put_in_spool(shop, body, encoding=encoding, kind=kind)

    digest_all()

    kept = Undigestible.objects.get(project=shop)
    assert (bytes(kept.body), kept.encoding, kept.kind) == (body, encoding, kind.value)
    assert kept.reason
    assert not kept.reason.startswith("Unexpected")


def test_all_events_of_an_envelope_are_stored() -> None:
    shop, answered = project(), uuid4()
    first, second, third = event("KeyError", event_id=answered), event("OSError", event_id=answered), event()
    put_in_spool(shop, envelope(*(item("event", each) for each in (first, second, third)), event_id=answered))

    digest_all()

    assert len(ids(shop)) == 3
    assert {answered, UUID(str(third["event_id"]))} < set(ids(shop))


def test_of_an_envelope_with_a_good_and_an_odd_event_the_good_one_is_stored() -> None:
    shop = project()
    put_in_spool(shop, envelope(item("event", event()), item("event", b"1"), event_id=uuid4()))

    digest_all()

    assert len(ids(shop)) == 1
    assert Undigestible.objects.filter(project=shop).count() == 1


def test_the_other_kinds_of_report_become_events_too() -> None:
    shop = project()
    put_in_spool(shop, event_json("KeyError"), kind=Kind.STORE)
    put_in_spool(shop, orjson.dumps({"message": "disk full", "type": "Backup"}), kind=Kind.PLAIN, event_id=uuid4())
    csp = {"csp-report": {"document-uri": "https://shop.example/", "violated-directive": "img-src", "blocked-uri": "x"}}
    put_in_spool(shop, orjson.dumps(csp), kind=Kind.SECURITY, event_id=uuid4())

    digest_all()

    assert len(ids(shop)) == 3
    assert not Undigestible.objects.exists()


def test_what_intake_dropped_is_counted() -> None:
    shop = project()
    dropped = item("transaction", b"", sysops_dropped="sampled_out")
    put_in_spool(shop, envelope(dropped, item("event", event()), event_id=uuid4()))

    digest_all()

    assert outcomes(shop) == {("transaction", "sampled_out"): 1, ("error", "accepted"): 1}


def test_reports_of_a_project_that_is_gone_go_too() -> None:
    shop, gone, deleted = project(), project(), project(deleted_at=NOW)
    put_in_spool(gone, event_envelope())
    put_in_spool(deleted, event_envelope())
    put_in_spool(shop, event_envelope())
    Project.objects.filter(pk=gone.pk).delete()

    digest_all()

    assert Event.objects.count() == 1
    assert not Spool.objects.exists()
    assert not Undigestible.objects.exists()


def test_what_postgresql_refuses_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    shop, refused = project(), uuid4()
    original = storing._copy

    def copy(parts: Sequence[Part]) -> None:
        for part in parts:
            for new in part.news:
                if new.event.event_id == refused:
                    object.__setattr__(new.event, "level", "much too long for its column")
        original(parts)

    monkeypatch.setattr(storing, "_copy", copy)
    put_in_spool(shop, event_envelope(), event_envelope(event_id=refused), event_envelope())

    digest_all()

    assert len(ids(shop)) == 2
    assert Undigestible.objects.get(project=shop).reason.startswith("PostgreSQL refused it: value too long")
    assert Issue.objects.values_list("event_count", flat=True).get(project=shop) == 2


def test_a_mistake_of_ours_over_one_report_costs_only_that(monkeypatch: pytest.MonkeyPatch) -> None:
    shop, original = project(), digest_event.digest

    def digest(body: bytes, **known: Any) -> object:
        if b"KeyError" in body:
            raise ZeroDivisionError("a secret of the report")
        return original(body, **known)

    monkeypatch.setattr(digest_event, "digest", digest)
    put_in_spool(shop, event_envelope(), event_envelope("KeyError"), event_envelope())

    digest_all()

    reason = Undigestible.objects.get(project=shop).reason
    assert len(ids(shop)) == 2
    assert reason.startswith("Unexpected ZeroDivisionError in test_digesting.py, line ")
    assert "secret" not in reason


@pytest.mark.django_db(transaction=True)
def test_a_database_that_goes_away_counts_against_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    shop, original = project(), outcome_counts.count
    put_in_spool(shop, event_envelope())

    def cut_off(*_: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(outcome_counts, "count", cut_off)
    for _ in range(4):
        with pytest.raises(OperationalError):
            digest_all()
    monkeypatch.setattr(outcome_counts, "count", original)

    assert digest_all() == 1
    assert len(ids(shop)) == 1


@pytest.mark.django_db(transaction=True)
def test_a_database_that_restarts_in_the_middle_leaves_no_report_suspected(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_spool(project(), event_envelope())
    connect, away = DatabaseWrapper.get_new_connection, [2]

    def cut_off(*_: object) -> None:
        def refused(wrapper: DatabaseWrapper, parameters: object) -> object:
            if away[0]:
                away[0] -= 1
                raise psycopg.OperationalError("the database system is starting up")
            return connect(wrapper, parameters)

        monkeypatch.setattr(DatabaseWrapper, "get_new_connection", refused)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(outcome_counts, "count", cut_off)
    with pytest.raises(OperationalError):
        digest_all()

    assert away == [0]
    assert not DigestAttempt.objects.exists()


def test_what_is_too_large_for_postgresql_is_its_own_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    shop, original = project(), storing.store

    def store(reports: Sequence[Report], *, at: datetime) -> None:
        if any(b"Large" in report.waiting.body and not report.problem for report in reports):
            raise OperationalError("index row size exceeds") from psycopg.errors.ProgramLimitExceeded("index row size")
        original(reports, at=at)

    monkeypatch.setattr(storing, "store", store)
    put_in_spool(shop, event_envelope(), event_envelope("Large"))

    assert digest_all() == 2
    assert len(ids(shop)) == 1
    assert Undigestible.objects.get(project=shop).reason == "PostgreSQL refused it: index row size exceeds"


def stored_together(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many reports each transaction stores from now on."""
    sizes, original = list[int](), storing.store

    def store(reports: Sequence[Report], *, at: datetime) -> None:
        sizes.append(len(reports))
        original(reports, at=at)

    monkeypatch.setattr(storing, "store", store)
    return sizes


def test_small_bodies_that_unpack_to_much_are_not_held_in_memory_together(monkeypatch: pytest.MonkeyPatch) -> None:
    shop, sizes = project(), stored_together(monkeypatch)
    monkeypatch.setattr(digesting, "MEMORY", 2_000_000)
    bomb = envelope(item("attachment", bytes(1_000_000), filename="a"))
    put_in_spool(shop, *[zstandard.compress(bomb)] * 5, encoding="zstd", event_id=uuid4())

    assert digest_all() == 5
    assert sizes == [2, 2, 1]


def test_slow_reports_are_stored_before_the_time_is_up_and_the_rest_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    shop, sizes, original = project(), stored_together(monkeypatch), digest_event.digest

    def slow(body: bytes, **known: Any) -> object:
        time.sleep(0.6)
        return original(body, **known)

    monkeypatch.setattr(digest_event, "digest", slow)
    monkeypatch.setattr(digesting, "WORK", 0.5)
    put_in_spool(shop, *[event_envelope() for _ in range(3)])

    done = digesting.digest(now=clock(), seconds=0.5)

    assert done == 1
    assert sizes == [1]
    assert Spool.objects.count() == 2
    assert not DigestAttempt.objects.exists()


def test_a_deadlock_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shop, original, failures = project(), storing.store, [psycopg.errors.DeadlockDetected("deadlock")]
    put_in_spool(shop, event_envelope())

    def store(*found: object, **more: object) -> None:
        if failures:
            raise OperationalError("deadlock detected") from failures.pop()
        original(*found, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(storing, "store", store)

    assert digest_all() == 1
    assert len(ids(shop)) == 1


def test_a_batch_takes_as_many_statements_as_one_event(monkeypatch: pytest.MonkeyPatch) -> None:
    def statements(events: int, kinds: int) -> int:
        put_in_spool(shop, *[event_envelope(f"Trouble{number % kinds}") for number in range(events)])
        count = 0
        with monkeypatch.context() as patch:
            for name in ("execute", "executemany", "copy"):
                method = getattr(psycopg.Cursor, name)

                def counted(self: object, *given: object, method: object = method, **more: object) -> object:
                    nonlocal count
                    count += 1
                    return method(self, *given, **more)  # type: ignore[operator]

                patch.setattr(psycopg.Cursor, name, counted)
            digest_all()
        return count

    shop = project()
    statements(40, kinds=20)  # so that all of them are known

    assert statements(1, kinds=1) == statements(100, kinds=1) == statements(100, kinds=20)


def test_the_growth_of_each_issue_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = project()
    told: list[Growth] = []
    original = growing.settle

    def settle(growths: Sequence[Growth], *, at: datetime) -> None:
        told.extend(growths)
        original(growths, at=at)

    monkeypatch.setattr(growing, "settle", settle)
    user = [{"id": str(number)} for number in range(3)]
    put_in_spool(
        shop, event_envelope(user=user[0]), event_envelope("KeyError"), event_envelope(user=user[1], release="1.0")
    )
    digest_all()
    first = {growth.issue.error_type: growth for growth in told}
    told.clear()
    put_in_spool(shop, event_envelope(user=user[1]), event_envelope(user=user[2]))
    digest_all()

    new, (again,) = first["ValueError"], told
    assert (new.new, new.events_before, new.accounts_before, len(new.events)) == (True, 0, 0, 2)
    assert new.releases == {"", "1.0"}
    assert (again.new, again.events_before, again.accounts_before, len(again.events)) == (False, 2, 2, 2)
    assert (again.issue.event_count, again.issue.affected_accounts) == (4, 3)


@pytest.mark.django_db(transaction=True)
def test_only_one_digests_at_a_time() -> None:
    put_in_spool(project(), event_envelope())
    settings = connection.get_connection_params()
    with psycopg.connect(
        dbname=settings["dbname"],
        user=settings["user"],
        password=settings["password"],
        host=settings["host"],
        port=settings["port"],
    ) as other:
        other.execute("SELECT pg_advisory_lock(%s, 0)", [digesting._LOCK])

        assert digest_all() == 0
        other.execute("SELECT pg_advisory_unlock(%s, 0)", [digesting._LOCK])

    assert digest_all() == 1


def test_reports_whose_transaction_ended_late_are_found_in_the_same_run(monkeypatch: pytest.MonkeyPatch) -> None:
    shop, original = project(), digesting._work_off
    (late,) = put_in_spool(shop, event_envelope())
    early = put_in_spool(shop, event_envelope())
    Spool.objects.filter(pk=late.pk).delete()

    def work_off(*given: object, **more: object) -> int:
        done = original(*given, **more)  # type: ignore[arg-type]
        if late.pk:
            late.save(force_insert=True)
            late.pk = None
        return done

    monkeypatch.setattr(digesting, "_work_off", work_off)

    assert early[0].pk > 0
    assert digest_all() == 2


def test_a_report_from_inside_waits_in_the_spool_and_wakes_a_digest(
    woken: list[str], django_capture_on_commit_callbacks: object
) -> None:
    shop = project()

    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        made = spooling.spool(shop, kind=Kind.PLAIN, body=b'{"message": "disk full"}', at=NOW)

    assert woken == ["intake.digest"]
    digest_all()
    assert ids(shop) == [made]


def test_the_sweep_wakes_a_digest_only_while_something_waits(woken: list[str]) -> None:
    tasks.sweep()
    put_in_spool(project(), event_envelope())
    tasks.sweep()

    tasks.digest()

    assert woken == ["intake.digest"]
    assert not Spool.objects.exists()


def test_a_digest_that_could_not_finish_wakes_the_next_one(monkeypatch: pytest.MonkeyPatch, woken: list[str]) -> None:
    monkeypatch.setattr(digesting, "BATCH", 1)
    monkeypatch.setattr(tasks, "DIGEST_FOR", 1e-9)
    put_in_spool(project(), event_envelope(), event_envelope())
    original = digesting._left_behind
    monkeypatch.setattr(digesting, "_left_behind", lambda *given, **more: original(*given, **more) + 1)

    tasks.digest()

    assert woken == ["intake.digest"]


WORKER = """
import os, signal, sys
import django
django.setup()
from errors.services import digesting, outcomes, storing, unpacking
from tests.errors.support import clock
{patch}
digesting.digest(now=clock(), seconds=60)
"""
DIES_BEFORE_THE_COMMIT = """
digesting.BATCH = 20
done = []
def kill(sent, original=outcomes.count):
    original(sent)
    done.append(1)
    if len(done) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
outcomes.count = kill
"""
DIES_OF_A_REPORT = """
def digest(body, original=unpacking.digesting.digest, **known):
    if b"Killer" in body:
        os._exit(9)
    return original(body, **known)
unpacking.digesting.digest = digest
"""


def work(patch: str, environ: dict[str, str]) -> int:
    """How a worker of its own ended over the spool."""
    script = textwrap.dedent(WORKER).replace("{patch}", patch)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])},
        cwd=root,
        timeout=110,
        check=False,
    )
    return done.returncode


@pytest.mark.django_db(transaction=True)
def test_a_worker_killed_in_the_middle_of_a_batch_loses_and_doubles_nothing(child_environ: dict[str, str]) -> None:
    shop = project()
    rows = put_in_spool(shop, *[event_envelope(f"Trouble{number % 3}", user={"id": "7"}) for number in range(60)])

    assert work(DIES_BEFORE_THE_COMMIT, child_environ) == -signal.SIGKILL
    assert Spool.objects.count() == 40
    digest_all()

    assert ids(shop) == sorted(row.event_id for row in rows if row.event_id)
    assert list(Issue.objects.filter(project=shop).values_list("event_count", "affected_accounts")) == [(20, 1)] * 3
    assert list(Grouping.objects.filter(project=shop).values_list("events_kept", flat=True)) == [20] * 3
    assert outcomes(shop) == {("error", "accepted"): 60}


@pytest.mark.timeout(400)
@pytest.mark.django_db(transaction=True)
def test_a_report_that_kills_its_worker_is_set_apart_and_its_neighbours_are_stored(
    child_environ: dict[str, str],
) -> None:
    shop = project()
    put_in_spool(shop, *[event_envelope() for _ in range(9)], event_envelope("Killer"))
    put_in_spool(shop, *[event_envelope() for _ in range(9)])

    ends = [work(DIES_OF_A_REPORT, child_environ) for _ in range(6)]

    assert ends == [9, 9, 9, 9, 9, 0]
    assert len(ids(shop)) == 18
    kept = Undigestible.objects.get(project=shop)
    assert kept.reason == "Its worker died each time it was digested."
    assert b"Killer" in bytes(kept.body)
    assert not Spool.objects.exists()
    assert not DigestAttempt.objects.exists()
