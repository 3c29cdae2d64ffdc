"""Taking backups: claimed once, recorded whole, retried within bounds, cleaned up behind."""

import contextlib
import threading
import time
from datetime import datetime

import pytest
from django.db import OperationalError, connection, connections, transaction

from backups import rules
from backups.engines.base import Control, EngineError, ParentUnusable
from backups.models import Attempt, Backup, Source
from backups.rules import BackupType, Status
from backups.services import requests, runs
from backups.services.requests import Busy
from sysops.events.models import Event
from tests.backups.support import TESTER, Hands, make_policy, make_source

pytestmark = pytest.mark.django_db(transaction=True)


def ask(source: Source, hands: Hands, backup_type: BackupType = BackupType.FULL) -> Backup:
    return requests.request_backup(source=source, backup_type=backup_type, by=TESTER, at=hands.at)


def published(name: str) -> int:
    return Event.objects.filter(name=name).count()


def test_a_backup_is_taken_and_all_of_it_recorded(hands: Hands) -> None:
    backup = hands.taken(make_source("shop"))

    assert backup.status == Status.SUCCEEDED
    assert (backup.host, backup.engine_version, backup.attempt) == ("test-host", "fake 1", 1)
    assert backup.key.startswith(f"shop/{backup.pk}-1-")
    stored = {f.name: f.size_bytes for f in hands.store.files(backup.key)}
    assert stored["data"] == 4
    assert backup.size_bytes == sum(stored.values())
    assert {entry["name"] for entry in backup.manifest} == set(stored)
    assert backup.figures == {"rows": 3}
    assert sorted(backup.verifications.values_list("rung", flat=True)) == ["files", "restore"]
    assert published("backups.backup.succeeded") == 1
    assert list(hands.store.staged_keys()) == []


def test_a_message_delivered_twice_takes_one_backup(hands: Hands) -> None:
    backup = ask(make_source(), hands)

    hands.take(backup)
    hands.take(backup)

    assert len(hands.engine.jobs) == 1


def test_a_second_request_is_refused_while_one_is_queued_and_names_it(hands: Hands) -> None:
    source = make_source("shop")
    first = ask(source, hands)

    with pytest.raises(Busy, match=f"Backup {first.pk} of shop is queued"):
        ask(source, hands)


def test_a_policy_can_queue_one_request_behind_a_running_backup_and_not_two(hands: Hands) -> None:
    source = make_source(policy=make_policy(when_busy="queue"))
    waiting: list[Backup] = []

    def ask_twice(_: Control) -> None:
        waiting.append(ask(source, hands))
        with pytest.raises(Busy):
            ask(source, hands)
        hands.engine.during = lambda control: None

    hands.engine.during = ask_twice
    hands.taken(source)

    assert hands.take(waiting[0]).status == Status.SUCCEEDED


def test_of_two_requests_at_the_same_instant_one_is_refused(hands: Hands) -> None:
    source = make_source()
    start, outcomes = threading.Barrier(2), []

    def request() -> None:
        start.wait()
        try:
            ask(source, hands)
            outcomes.append("queued")
        except Busy:
            outcomes.append("busy")
        finally:
            connections.close_all()

    for _ in range(10):
        outcomes.clear()
        threads = [threading.Thread(target=request) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["busy", "queued"]
        Backup.objects.update(status="failed")


def test_a_failure_is_tried_again_later_with_its_reason_and_told_once(hands: Hands) -> None:
    source = make_source()
    hands.engine.failures = [EngineError("Connection refused", code="connection_refused")] * 2
    backup = ask(source, hands)

    hands.take(backup)
    assert (backup.status, backup.failure_code, backup.attempt) == (Status.QUEUED, "connection_refused", 1)
    assert backup.not_before > hands.at
    hands.take(backup)
    assert backup.attempt == 1, "not before its time"

    hands.later(hours=1)
    hands.take(backup)
    source.refresh_from_db()
    assert (source.failing_tries, source.failing_reason) == (2, "Connection refused")
    assert published("backups.source.failing") == 1

    hands.later(hours=1)
    hands.take(backup)
    source.refresh_from_db()
    assert (backup.status, backup.failure_reason, source.failing_since) == (Status.SUCCEEDED, "", None)
    assert published("backups.source.recovered") == 1
    assert list(backup.attempts.values_list("number", "outcome", "code")) == [
        (1, "failed", "connection_refused"),
        (2, "failed", "connection_refused"),
        (3, "succeeded", ""),
    ]


def test_attempts_are_bounded_by_the_policy_and_the_end_is_published(hands: Hands) -> None:
    source = make_source(policy=make_policy(max_attempts=2))
    hands.engine.failures = [EngineError("No room", code="no_space")] * 9
    backup = ask(source, hands)

    for _ in range(4):
        hands.take(backup)
        hands.later(hours=2)

    assert (backup.status, backup.attempt, backup.failure_reason) == (Status.FAILED, 2, "No room")
    assert published("backups.backup.failed") == 1
    assert published("backups.source.failing") == 1
    assert list(hands.store.staged_keys()) == []
    assert list(hands.store.keys()) == []


def test_what_only_a_person_can_cure_is_not_tried_again(hands: Hands) -> None:
    hands.engine.failures = [EngineError("PostgreSQL 12 is too old", code="version_mismatch", permanent=True)]

    backup = hands.taken(make_source())

    assert (backup.status, backup.attempt) == (Status.FAILED, 1)


def test_a_surprise_is_recorded_cleaned_up_and_raised(hands: Hands) -> None:
    hands.engine.failures = [RuntimeError("boom")]
    backup = ask(make_source(), hands)

    with pytest.raises(RuntimeError, match="boom"):
        hands.take(backup)

    backup.refresh_from_db()
    assert (backup.status, backup.failure_code) == (Status.QUEUED, "unexpected")
    assert "boom" not in backup.failure_reason
    assert list(hands.store.staged_keys()) == []


def test_an_incremental_stands_on_the_last_backup_and_a_differential_on_the_last_full(hands: Hands) -> None:
    source = make_source()
    full = hands.taken(source)
    first = hands.taken(source, BackupType.INCREMENTAL)
    second = hands.taken(source, BackupType.INCREMENTAL)
    difference = hands.taken(source, BackupType.DIFFERENTIAL)

    assert [b.parent_id for b in (full, first, second, difference)] == [None, full.pk, first.pk, full.pk]
    parent = hands.engine.jobs[2].parent
    assert parent is not None
    assert parent.backup_id == str(first.pk)


def test_with_nothing_to_stand_on_it_becomes_a_full_one_and_says_why(hands: Hands) -> None:
    backup = hands.taken(make_source(), BackupType.INCREMENTAL)

    assert (backup.requested_type, backup.backup_type) == ("incremental", "full")
    assert "no stored backup" in backup.type_reason


def test_a_parent_the_engine_cannot_use_makes_it_full_within_the_same_try(hands: Hands) -> None:
    source = make_source()
    hands.taken(source)
    hands.engine.failures = [ParentUnusable("The server is another one now", code="system_mismatch")]

    backup = hands.taken(source, BackupType.DIFFERENTIAL)

    assert (backup.status, backup.backup_type, backup.attempt, backup.parent_id) == ("succeeded", "full", 1, None)
    assert backup.type_reason == "The server is another one now"


def test_a_parent_that_is_gone_from_the_store_makes_it_full(hands: Hands) -> None:
    source = make_source()
    full = hands.taken(source)
    hands.store.remove(full.key)

    backup = hands.taken(source, BackupType.DIFFERENTIAL)

    assert (backup.status, backup.backup_type) == ("succeeded", "full")
    assert "is not in the store" in backup.type_reason


def test_a_queued_backup_is_cancelled_at_once(hands: Hands) -> None:
    backup = ask(make_source(), hands)

    requests.cancel_backup(backup=backup, by=TESTER, at=hands.at)
    hands.take(backup)

    assert (backup.status, backup.failure_reason) == (Status.FAILED, "Cancelled by tester")
    assert hands.engine.jobs == []


def test_a_running_backup_hears_that_it_is_cancelled_and_leaves_nothing(hands: Hands) -> None:
    source = make_source()
    backup = ask(source, hands)

    def cancel_and_wait(control: Control) -> None:
        requests.cancel_backup(backup=backup, by=TESTER, at=hands.at)
        deadline = time.monotonic() + 60
        while not control.cancelled() and time.monotonic() < deadline:
            time.sleep(0.05)

    hands.engine.during = cancel_and_wait
    hands.take(backup)

    assert (backup.status, backup.failure_code) == (Status.FAILED, "cancelled")
    assert list(hands.store.staged_keys()) == []
    source.refresh_from_db()
    assert source.failing_since is None, "a cancelled backup is no failure"


def test_a_worker_that_lost_its_lease_may_not_record_and_removes_what_it_stored(hands: Hands) -> None:
    backup = ask(make_source(), hands)

    def somebody_takes_over(_: Control) -> None:
        Backup.objects.filter(pk=backup.pk).update(attempt=7, key="another/7")

    hands.engine.during = somebody_takes_over
    hands.take(backup)

    assert (backup.status, backup.attempt) == (Status.RUNNING, 7)
    assert list(hands.store.keys()) == []
    assert not Attempt.objects.filter(backup=backup, outcome="succeeded").exists()


def test_the_work_goes_on_and_is_recorded_when_the_database_drops_the_connection(hands: Hands) -> None:
    backup = ask(make_source(), hands)

    def drop_connections(_: Control) -> None:
        mine = connection.settings_dict["NAME"]
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            pid = cursor.fetchone()[0]
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s"
                " AND pid <> pg_backend_pid()",
                [mine, pid],
            )

    hands.engine.during = drop_connections
    hands.take(backup)

    assert backup.status == Status.SUCCEEDED


@pytest.mark.parametrize("committed", [True, False])
def test_an_answer_to_the_commit_that_got_lost_loses_neither_the_record_nor_the_files(
    hands: Hands, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """The database dies at the wrong millisecond: the first try of the record is durable, or it is rolled back."""
    backup, real, tries = ask(make_source(), hands), runs.record_stored, []

    def interrupted(row: Backup, taken: runs.Taken, *, at: datetime) -> None:
        real(row, taken, at=at)
        tries.append(row.status)
        if len(tries) == 1 and not committed:
            raise OperationalError("server closed the connection unexpectedly")
        if len(tries) == 1:
            transaction.on_commit(lose_the_answer)

    def lose_the_answer() -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(runs, "record_stored", interrupted)
    hands.take(backup)

    assert backup.status == Status.SUCCEEDED
    assert list(hands.store.keys()) == [backup.key]
    assert backup.verifications.count() == 2


def test_a_failing_backup_and_a_request_for_the_same_source_do_not_block_each_other(hands: Hands) -> None:
    source = make_source(policy=make_policy(max_attempts=1))
    problems: list[Exception] = []

    def keep_asking() -> None:
        try:
            for _ in range(30):
                with contextlib.suppress(Busy):
                    ask(source, hands)
        except Exception as exc:
            problems.append(exc)
        finally:
            connections.close_all()

    for _ in range(3):
        hands.engine.failures = [EngineError("no")] * 50
        asking = threading.Thread(target=keep_asking)
        asking.start()
        for _ in range(8):
            for pk in Backup.objects.filter(status="queued").values_list("pk", flat=True):
                runs.execute_backup(backup_id=pk, workshop=hands.workshop)
        asking.join()

    assert problems == []


def test_a_secret_that_cannot_be_opened_fails_for_good_and_says_so(hands: Hands) -> None:
    source = make_source(sealed_settings="broken")

    backup = hands.taken(source)

    assert (backup.status, backup.failure_code, backup.attempt) == (Status.FAILED, "not_set_up", 1)


def test_a_chain_has_a_longest_length(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "LONGEST_CHAIN", 3)
    source = make_source()

    kinds = [hands.taken(source, BackupType.INCREMENTAL) for _ in range(4)]

    assert [b.backup_type for b in kinds] == ["full", "incremental", "incremental", "full"]
    assert "the longest allowed" in kinds[-1].type_reason


def test_two_workers_with_the_same_message_take_it_once(hands: Hands) -> None:
    backup = ask(make_source(), hands)
    start = threading.Barrier(2)

    def work() -> None:
        start.wait()
        try:
            runs.execute_backup(backup_id=backup.pk, workshop=hands.workshop)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    backup.refresh_from_db()
    assert (backup.status, backup.attempt, len(hands.engine.jobs)) == (Status.SUCCEEDED, 1, 1)
