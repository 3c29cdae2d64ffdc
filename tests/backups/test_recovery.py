"""What crashes leave behind is found, set right, and tried again."""

from datetime import timedelta

import pytest

from backups.engines.base import EngineError
from backups.models import Backup, Verification
from backups.rules import LEASE, BackupType, Rung, Status
from backups.services import recovery, requests, restores, retention, verifications
from backups.services.runs import fresh_key
from backups.stores.base import StoreError
from tests.backups.support import TESTER, Hands, make_policy, make_source

pytestmark = pytest.mark.django_db(transaction=True)


class Wakes:
    """Takes wake-up calls; `away` makes it the broker that is away."""

    def __init__(self) -> None:
        self.away = False
        self.sent: list[tuple[str, str]] = []

    def __call__(self, task: str, **arguments: object) -> bool:
        if not self.away:
            self.sent.append((task, str(arguments.get("subject", ""))))
        return not self.away


def died_while_running(hands: Hands, **policy: object) -> Backup:
    """A backup whose worker was killed after it had staged and stored something."""
    source = make_source("shop", policy=make_policy(**policy))
    backup = requests.request_backup(source=source, backup_type=BackupType.FULL, by=TESTER, at=hands.at)
    backup.claim(at=hands.at, host="dead-host", started_at=hands.at, key=fresh_key(backup, 1))
    backup.attempts.create(number=1, host="dead-host", started_at=hands.at)
    (hands.store.stage(backup.key) / "data").write_bytes(b"half")
    return backup


def died_after_storing(hands: Hands) -> Backup:
    """A backup whose worker was killed between storing it and recording that."""
    source = make_source("shop")
    backup = requests.request_backup(source=source, backup_type=BackupType.FULL, by=TESTER, at=hands.at)
    at = hands.at
    hands.take(backup)
    Verification.objects.filter(backup=backup).delete()
    Backup.objects.filter(pk=backup.pk).update(
        status="running", lease_until=at + LEASE, completed_at=None, manifest=[], figures={}, size_bytes=None
    )
    backup.refresh_from_db()
    return backup


def taken_back(hands: Hands) -> None:
    """What the ticks do: rows first, then files, by whoever has the stores."""
    recovery.take_back_lost(workshop=hands.workshop)
    recovery.pick_up(workshop=hands.workshop)


def test_a_lease_that_still_runs_is_left_alone(hands: Hands) -> None:
    backup = died_while_running(hands)
    hands.later(seconds=LEASE.total_seconds() - 1)

    assert recovery.take_back_lost(workshop=hands.workshop) == 0
    backup.refresh_from_db()
    assert backup.status == Status.RUNNING


@pytest.mark.usefixtures("database_grace")
def test_while_the_database_has_just_come_back_no_worker_is_taken_for_dead(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = died_while_running(hands)
    hands.later(hours=1)

    monkeypatch.setattr(recovery, "LEASE", timedelta(days=1))
    assert recovery.take_back_lost(workshop=hands.workshop) == 0
    monkeypatch.setattr(recovery, "LEASE", timedelta(0))
    assert recovery.take_back_lost(workshop=hands.workshop) == 1
    backup.refresh_from_db()
    assert backup.status == Status.INTERRUPTED


def test_a_backup_whose_worker_died_is_cleaned_up_queued_again_and_succeeds(hands: Hands) -> None:
    backup = died_while_running(hands)
    hands.later(minutes=2)

    taken_back(hands)
    backup.refresh_from_db()

    assert (backup.status, backup.failure_code) == (Status.QUEUED, "lost_lease")
    assert "dead-host died or was cut off" in backup.failure_reason
    assert backup.attempts.get().outcome == "interrupted"
    assert list(hands.store.staged_keys()) == []
    assert hands.take(backup).status == Status.SUCCEEDED
    assert backup.attempt == 2


def test_what_was_stored_whole_but_never_recorded_is_adopted_and_verified(hands: Hands) -> None:
    backup = died_after_storing(hands)
    hands.later(minutes=2)

    taken_back(hands)

    backup.refresh_from_db()
    assert (backup.status, backup.attempt, backup.figures) == (Status.SUCCEEDED, 1, {"rows": 3})
    assert list(hands.store.keys()) == [backup.key]
    assert hands.verified(backup).verification_status == "passed"


def test_sysops_restored_from_its_own_backup_keeps_that_backup(hands: Hands) -> None:
    """Its newest backup holds its own row as running, under the key it then was stored with."""
    backup = died_after_storing(hands)
    older = hands.taken(make_source("other"))
    hands.later(hours=5)

    taken_back(hands)
    recovery.sweep_files(workshop=hands.workshop)

    backup.refresh_from_db()
    assert backup.status == Status.SUCCEEDED
    assert sorted(hands.store.keys()) == sorted([backup.key, older.key])


def test_something_in_the_store_that_is_not_whole_is_not_adopted(hands: Hands) -> None:
    backup = died_after_storing(hands)
    (hands.folder / "store" / backup.key / "data").unlink()
    hands.later(minutes=2)

    taken_back(hands)

    backup.refresh_from_db()
    assert backup.status == Status.QUEUED


def test_a_backup_another_database_made_under_the_same_numbers_is_never_touched(hands: Hands) -> None:
    """After a re-install, or with two Sysops on one folder, ids come again."""
    backup = died_while_running(hands)
    foreign = f"shop/{backup.pk}-1-ffffff00000001"
    half = f"shop/{backup.pk}-1-ffffff00000002"
    (hands.store.stage(foreign) / "data").write_bytes(b"theirs")
    hands.store.commit(foreign)
    (hands.store.stage(half) / "data").write_bytes(b"theirs, being written")
    hands.later(minutes=2)

    taken_back(hands)
    recovery.sweep_files(workshop=hands.workshop)
    hands.engine.failures = [EngineError("no")] * 2
    backup.refresh_from_db()
    hands.take(backup)

    assert (list(hands.store.keys()), list(hands.store.staged_keys())) == ([foreign], [half])


def test_a_row_that_cannot_be_helped_holds_up_no_other(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    poison, other = died_while_running(hands), make_source()
    lost = requests.request_backup(source=other, backup_type=BackupType.FULL, by=TESTER, at=hands.at)
    hands.later(minutes=3)
    store = hands.store

    class Broken(type(store)):  # type: ignore[misc]
        def discard(self, key: str) -> None:
            if key == poison.key:
                raise StoreError("Stale file handle")
            super().discard(key)

    monkeypatch.setattr(Hands, "store", property(lambda hands: Broken({"path": str(hands.folder / "store")})))
    wakes = Wakes()

    recovery.sweep(workshop=hands.workshop, wake=wakes)
    assert recovery.pick_up(workshop=hands.workshop) == 0

    assert ("backups.take", str(lost.pk)) in wakes.sent
    assert any(task == "backups.pick_up" for task, _ in wakes.sent)
    monkeypatch.undo()
    recovery.pick_up(workshop=hands.workshop)
    poison.refresh_from_db()
    assert poison.status == Status.QUEUED


def test_a_backup_cancelled_while_it_was_interrupted_ends_cancelled_and_leaves_nothing(hands: Hands) -> None:
    backup = died_after_storing(hands)
    hands.later(minutes=2)
    recovery.take_back_lost(workshop=hands.workshop)

    requests.cancel_backup(backup=backup, by=TESTER, at=hands.at)
    recovery.pick_up(workshop=hands.workshop)

    backup.refresh_from_db()
    assert (backup.status, backup.failure_code) == (Status.FAILED, "cancelled")
    assert list(hands.store.keys()) == []


def test_a_backup_that_keeps_killing_its_worker_fails_after_its_attempts(hands: Hands) -> None:
    backup = died_while_running(hands, max_attempts=1)
    hands.later(minutes=2)

    taken_back(hands)
    backup.refresh_from_db()

    assert (backup.status, backup.failure_code) == (Status.FAILED, "lost_lease")


def test_a_verification_whose_worker_died_is_looked_at_again(hands: Hands) -> None:
    backup = hands.taken(make_source())
    row = backup.verifications.get(rung="files")
    row.claim(at=hands.at, host="dead-host", started_at=hands.at)
    hands.later(minutes=2)

    recovery.take_back_lost(workshop=hands.workshop)
    hands.later(minutes=5)
    hands.verified(backup)

    row.refresh_from_db()
    assert (row.status, row.attempt) == ("passed", 2)


def test_a_restore_whose_worker_died_is_removed_and_done_again(hands: Hands) -> None:
    backup = hands.taken(make_source())
    restore = restores.request_restore(
        backup=backup, restores_dir=hands.folder / "restores", by=TESTER, at=hands.at, target="new"
    )
    restore.claim(at=hands.at, host="dead-host", started_at=hands.at)
    half = hands.folder / "restores" / f"new.attempt-{restore.pk}-1"
    half.mkdir(parents=True)
    (half / "half").write_text("half")
    hands.later(minutes=2)

    recovery.take_back_lost(workshop=hands.workshop)
    hands.later(minutes=5)
    restores.execute_restore(restore_id=restore.pk, workshop=hands.workshop)

    restore.refresh_from_db()
    assert (restore.status, restore.attempt) == ("succeeded", 2)
    assert not half.exists()


def test_a_restore_that_died_before_it_wrote_removes_nothing(hands: Hands) -> None:
    backup = hands.taken(make_source())
    restore = restores.request_restore(
        backup=backup, restores_dir=hands.folder / "restores", by=TESTER, at=hands.at, target="new"
    )
    restore.claim(at=hands.at, host="dead-host", started_at=hands.at)
    place = hands.folder / "restores" / "new"
    place.mkdir(parents=True)
    (place / "precious").write_text("mine")
    hands.later(minutes=2)

    recovery.take_back_lost(workshop=hands.workshop)

    assert (place / "precious").read_text() == "mine"


def test_what_waits_is_published_again_when_its_message_was_lost(hands: Hands) -> None:
    backup = requests.request_backup(source=make_source(), backup_type=BackupType.FULL, by=TESTER, at=hands.at)
    wakes = Wakes()

    recovery.sweep(workshop=hands.workshop, wake=wakes)
    assert wakes.sent == [], "its first message is still on its way"
    hands.later(minutes=3)
    recovery.sweep(workshop=hands.workshop, wake=wakes)
    recovery.sweep(workshop=hands.workshop, wake=wakes)

    assert wakes.sent == [("backups.take", str(backup.pk))]


def test_with_the_broker_away_nothing_is_marked_as_sent(hands: Hands) -> None:
    backup = requests.request_backup(source=make_source(), backup_type=BackupType.FULL, by=TESTER, at=hands.at)
    wakes = Wakes()
    wakes.away = True
    hands.later(minutes=3)
    recovery.sweep(workshop=hands.workshop, wake=wakes)

    wakes.away = False
    recovery.sweep(workshop=hands.workshop, wake=wakes)

    assert wakes.sent == [("backups.take", str(backup.pk))]


def test_rereads_queued_as_rows_only_are_woken_by_the_sweeper(hands: Hands) -> None:
    backup = hands.verified(hands.taken(make_source()))
    verifications.queue_rereads(at=hands.at)
    wakes = Wakes()

    recovery.sweep(workshop=hands.workshop, wake=wakes)

    row = Verification.objects.get(backup=backup, rung=Rung.REREAD.value)
    assert wakes.sent == [("backups.verify", str(row.pk))]


def test_staged_files_that_no_running_row_stands_behind_are_removed_and_others_left(hands: Hands) -> None:
    running = died_while_running(hands)
    orphan = fresh_key(running, 9)
    strange = "another-sysops/17-1-ffffff00000000"
    for key in (orphan, strange):
        (hands.store.stage(key) / "data").write_bytes(b"x")

    recovery.sweep_files(workshop=hands.workshop)

    assert sorted(hands.store.staged_keys()) == sorted([running.key, strange])


def test_retention_removes_records_and_frees_what_is_past_its_time(hands: Hands) -> None:
    source = make_source()
    old = hands.verified(hands.taken(source))
    hands.later(days=31)
    fresh = hands.verified(hands.taken(source))

    assert retention.apply(workshop=hands.workshop) == 1

    old.refresh_from_db()
    assert (old.status, old.removed_at) == (Status.EXPIRED, hands.at)
    assert old.removal.reason == "Past its retention"
    assert list(hands.store.keys()) == [fresh.key]


def test_retention_never_removes_what_is_held_needed_or_the_last_good_one(hands: Hands) -> None:
    source = make_source()
    held = hands.verified(hands.taken(source))
    requests.hold_backup(backup=held, reason="court order", by=TESTER, at=hands.at)
    full = hands.verified(hands.taken(source))
    last = hands.verified(hands.taken(source, BackupType.DIFFERENTIAL))
    hands.later(days=300)

    assert retention.apply(workshop=hands.workshop) == 0

    reasons = {d.backup_id: d.reason for d in retention.preview(at=hands.at)}
    assert reasons == {
        held.pk: "Held",
        full.pk: "The last proven backup of its source",
        last.pk: "The last good backup of its source",
    }


def test_a_removal_that_was_cut_off_is_finished_later(hands: Hands) -> None:
    source = make_source()
    old = hands.verified(hands.taken(source))
    Backup.objects.filter(pk=old.pk).update(status="expired")

    assert retention.finish_removals(workshop=hands.workshop) == 1

    assert list(hands.store.keys()) == []
    assert retention.finish_removals(workshop=hands.workshop) == 0


def test_a_released_backup_goes_when_its_time_is_over(hands: Hands) -> None:
    source = make_source()
    held = hands.verified(hands.taken(source))
    requests.hold_backup(backup=held, reason="audit", by=TESTER, at=hands.at)
    hands.later(days=31)
    hands.verified(hands.taken(source))
    assert retention.apply(workshop=hands.workshop) == 0

    requests.release_backup(backup=held, by=TESTER, at=hands.at)

    assert retention.apply(workshop=hands.workshop) == 1
    assert timedelta(days=30) < hands.at - held.requested_at
