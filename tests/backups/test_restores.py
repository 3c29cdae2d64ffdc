"""Restores go to a new place, are refused for what is known bad, and leave nothing half-done."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings

from backups.engines.base import Check, Control, EngineError, Outcome
from backups.models import Backup, Restore, WrongState
from backups.places import Place
from backups.rules import BackupType
from backups.services import restores
from sysops.access.driver_settings import BadSettings
from sysops.access.models import AuditEntry
from tests.backups.support import TESTER, Hands, make_source

pytestmark = pytest.mark.django_db(transaction=True)


def ask(backup: Backup, hands: Hands, **options: object) -> Restore:
    return restores.request_restore(
        backup=backup,
        restores_dir=hands.folder / "restores",
        by=TESTER,
        at=hands.at,
        **options,  # type: ignore[arg-type]
    )


def work(restore: Restore, hands: Hands) -> Restore:
    restores.execute_restore(restore_id=restore.pk, workshop=hands.workshop)
    restore.refresh_from_db()
    return restore


def test_a_chain_is_restored_to_a_new_place_and_its_checks_are_kept(hands: Hands) -> None:
    source = make_source("shop")
    full = hands.taken(source)
    backup = hands.taken(source, BackupType.INCREMENTAL)

    restore = work(ask(backup, hands, start_server=True), hands)

    assert (restore.status, restore.connection) == ("succeeded", "host=here")
    assert restore.checks[0]["name"] == "server starts"
    assert [link.backup_id for link in hands.engine.restores[0].chain] == [str(full.pk), str(backup.pk)]
    assert restore.target.startswith(str(hands.folder / "restores" / "shop-"))


def test_a_known_bad_backup_and_what_stands_on_one_are_refused(hands: Hands) -> None:
    source = make_source()
    full = hands.taken(source)
    child = hands.taken(source, BackupType.DIFFERENTIAL)
    Backup.objects.filter(pk=full.pk).update(verification_status="failed", verification_detail="a byte was flipped")
    full.refresh_from_db()

    with pytest.raises(WrongState, match="It was found bad: a byte was flipped"):
        ask(full, hands)
    with pytest.raises(WrongState, match=f"stands on backup {full.pk}"):
        ask(child, hands)


def test_a_backup_found_bad_after_the_request_is_refused_by_the_worker(hands: Hands) -> None:
    backup = hands.taken(make_source())
    restore = ask(backup, hands)
    Backup.objects.filter(pk=backup.pk).update(verification_status="failed")

    work(restore, hands)

    assert restore.status == "failed"
    assert "found bad" in restore.failure_reason
    assert hands.engine.restores == []


@pytest.mark.parametrize("target", ["/etc/cron.d/x", "../outside", ".", "a/../../b", "nul\0byte", "x" * 2000])
def test_a_target_outside_the_restores_folder_is_refused_by_name(hands: Hands, target: str) -> None:
    backup = hands.taken(make_source())

    with pytest.raises(BadSettings) as caught:
        ask(backup, hands, target=target)

    assert set(caught.value.errors) == {"target"}


@pytest.mark.parametrize("target", ["a/b", "a/data2/inside", "x.attempt-7-1", "x.attempt-7-1.removed", "y" * 201])
def test_a_target_must_be_one_folder_directly_below_and_none_of_an_attempt(hands: Hands, target: str) -> None:
    """A restore in another one's folder would vanish with it, or be taken for part of it."""
    backup = hands.taken(make_source())

    with pytest.raises(BadSettings, match=r"directly below|Name a folder") as caught:
        ask(backup, hands, target=target)

    assert set(caught.value.errors) == {"target"}


def test_a_target_that_became_a_link_meanwhile_is_not_followed(hands: Hands) -> None:
    restore = ask(hands.taken(make_source()), hands, target="new")
    elsewhere = hands.folder / "elsewhere"
    elsewhere.mkdir()
    Path(restore.target).parent.mkdir()
    Path(restore.target).symlink_to(elsewhere)

    work(restore, hands)

    assert (restore.status, restore.attempt) == ("failed", 1)
    assert "leads elsewhere by now" in restore.failure_reason
    assert list(elsewhere.iterdir()) == []


def test_a_link_out_of_the_restores_folder_does_not_lead_out(hands: Hands) -> None:
    backup = hands.taken(make_source())
    (hands.folder / "restores").mkdir()
    (hands.folder / "restores" / "link").symlink_to("/tmp")

    with pytest.raises(BadSettings, match="outside"):
        ask(backup, hands, target="link/x")


def test_a_folder_with_something_in_it_is_refused_and_left_alone(hands: Hands) -> None:
    backup = hands.taken(make_source())
    place = hands.folder / "restores" / "full-of-things"
    place.mkdir(parents=True)
    (place / "precious").write_text("mine")

    with pytest.raises(BadSettings, match="has something in it"):
        ask(backup, hands, target="full-of-things")

    assert (place / "precious").read_text() == "mine"


def test_a_folder_that_filled_up_after_the_request_is_left_alone(hands: Hands) -> None:
    restore = ask(hands.taken(make_source()), hands, target="new")
    place = hands.folder / "restores" / "new"
    place.mkdir(parents=True)
    (place / "precious").write_text("mine")

    work(restore, hands)

    assert restore.status == "failed"
    assert (place / "precious").read_text() == "mine"


def test_two_restores_to_the_same_place_are_not_under_way_at_once(hands: Hands) -> None:
    backup = hands.taken(make_source())
    ask(backup, hands, target="here")

    with pytest.raises(BadSettings, match="under way"):
        ask(backup, hands, target="here")


def test_a_failure_is_tried_again_within_bounds(hands: Hands) -> None:
    restore = ask(hands.taken(make_source()), hands)
    hands.engine.failures = [EngineError("no room", code="no_space")] * 9
    for _ in range(4):
        work(restore, hands)
        hands.later(hours=2)

    assert (restore.status, restore.attempt, restore.failure_reason) == ("failed", 3, "no room")
    assert below(hands) == []


def below(hands: Hands) -> list[str]:
    """What lies in the folder for restores."""
    base = hands.folder / "restores"
    return sorted(path.relative_to(base).as_posix() for path in base.rglob("*"))


def test_a_restore_whose_checks_fail_has_failed_and_says_which(hands: Hands) -> None:
    hands.engine.checks = (Check("rows", Outcome.FAILED, "3 of 5"),)

    restore = work(ask(hands.taken(make_source()), hands), hands)

    assert restore.status == "failed"
    assert "rows: 3 of 5" in restore.failure_reason
    assert below(hands) == []


def test_parts_are_refused_where_the_engine_restores_wholes_only(hands: Hands) -> None:
    with pytest.raises(BadSettings) as caught:
        ask(hands.taken(make_source()), hands, paths=["a"])

    assert set(caught.value.errors) == {"paths"}


def test_a_queued_restore_can_be_cancelled(hands: Hands) -> None:
    restore = ask(hands.taken(make_source()), hands)

    restores.cancel_restore(restore=restore, by=TESTER, at=hands.at)
    work(restore, hands)

    assert (restore.status, restore.failure_reason) == ("failed", "Cancelled by tester")
    assert restore.cancel_requested_by == "tester"
    assert hands.engine.restores == []
    assert last_entry("backups.restore.cancel").before == {"status": "queued"}


def last_entry(action: str) -> AuditEntry:
    found = AuditEntry.objects.filter(action=action).order_by("pk").last()
    assert found is not None
    return found


def test_a_cancelled_restore_whose_worker_died_is_not_begun_again(hands: Hands) -> None:
    restore = ask(hands.taken(make_source()), hands)
    restore.claim(at=hands.at, host="dead-host", started_at=hands.at)
    restores.cancel_restore(restore=restore, by=TESTER, at=hands.at)
    restore.refresh_from_db()

    restores.take_back(restore, hands.workshop)

    assert (restore.status, restore.failure_reason) == ("failed", "Cancelled by tester")
    assert last_entry("backups.restore.cancel").before == {"status": "running"}


def test_an_attempt_fills_a_folder_of_its_own_and_the_target_appears_whole(hands: Hands) -> None:
    restore = ask(hands.taken(make_source()), hands, target="new")
    seen: list[list[str]] = []
    hands.engine.during = lambda control: seen.append(below(hands))

    work(restore, hands)

    mine = f"new.attempt-{restore.pk}-1"
    assert seen == [[mine, f"{mine}/data"]]
    assert below(hands) == ["new", "new/data"]
    assert hands.engine.restores[0].target == Path(restore.target)


def test_a_target_that_filled_up_during_the_restore_is_left_alone(hands: Hands) -> None:
    restore = ask(hands.taken(make_source()), hands, target="new")
    place = Path(restore.target)

    def fill(_: Control) -> None:
        place.mkdir()
        (place / "precious").write_text("mine")

    hands.engine.during = fill
    work(restore, hands)

    assert restore.status == "failed"
    assert "something in it by now" in restore.failure_reason
    assert below(hands) == ["new", "new/precious"]


def overtaken(restore: Restore, hands: Hands) -> None:
    """While an attempt sleeps, its lease runs out, it is taken back, and the next attempt succeeds."""
    hands.engine.during = lambda control: None
    hands.engine.starting = lambda job: None
    Restore.objects.filter(pk=restore.pk).update(lease_until=hands.at)
    hands.later(minutes=5)
    restores.take_back(Restore.objects.get(pk=restore.pk), hands.workshop)
    restores.clear_up(workshop=hands.workshop)
    hands.later(minutes=5)
    restores.execute_restore(restore_id=restore.pk, workshop=hands.workshop)
    assert Restore.objects.get(pk=restore.pk).status == "succeeded"


@pytest.mark.parametrize("asleep", ["while it restores", "before it starts the server"])
def test_an_attempt_that_wakes_up_late_leaves_the_winners_result_alone(hands: Hands, asleep: str) -> None:
    """As after a pause of the virtual machine: its own heartbeat has not told it yet that the lease is lost."""
    restore = ask(hands.taken(make_source()), hands, target="new", start_server=True)
    if asleep == "while it restores":
        hands.engine.during = lambda control: overtaken(restore, hands)
    else:
        hands.engine.starting = lambda job: overtaken(restore, hands)

    work(restore, hands)

    assert (restore.status, restore.attempt, restore.failure_reason) == ("succeeded", 2, "")
    assert below(hands) == ["new", "new/data"]
    assert hands.engine.stopped.count(Path(restore.target)) == 0, "the winner's server runs on"


def test_an_attempt_that_was_taken_back_neither_reaches_the_target_nor_starts_a_server(hands: Hands) -> None:
    restore = ask(hands.taken(make_source()), hands, target="new", start_server=True)
    hands.engine.during = lambda control: restores.take_back(Restore.objects.get(pk=restore.pk), hands.workshop)

    work(restore, hands)

    assert (restore.status, restore.attempt) == ("queued", 1)
    assert (hands.engine.started, below(hands)) == ([], [])


def test_a_restore_cancelled_in_its_last_moment_does_not_reach_the_target(hands: Hands) -> None:
    restore = ask(hands.taken(make_source()), hands, target="new", start_server=True)
    hands.engine.during = lambda control: restores.cancel_restore(restore=restore, by=TESTER, at=hands.at)

    work(restore, hands)

    assert (restore.status, restore.failure_reason) == ("failed", "Cancelled by tester")
    assert (hands.engine.started, below(hands)) == ([], [])


WORKER = """
import django, sys, time
from pathlib import Path
django.setup()
from backups.services import restores
from tests.backups.support import FakeEngine, Hands
folder, pk, at = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
hands = Hands(folder)
hands.at = hands.at.fromisoformat(at)
def wait(control):
    (folder / "begun").touch()
    while not (folder / "go on").exists():
        time.sleep(0.05)
hands.engine.during = wait
restores.execute_restore(restore_id=pk, workshop=hands.workshop)
"""


def test_a_worker_process_stopped_for_longer_than_its_lease_leaves_the_winners_result_alone(
    hands: Hands, child_environ: dict[str, str]
) -> None:
    restore = ask(hands.taken(make_source()), hands, target="new", start_server=True)
    words = [sys.executable, "-c", WORKER, str(hands.folder), str(restore.pk), hands.at.isoformat()]
    worker = subprocess.Popen(words, cwd=Path(__file__).parents[2], env=child_environ)
    try:
        deadline = time.monotonic() + 60
        while not (hands.folder / "begun").exists():
            assert worker.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(worker.pid, signal.SIGSTOP)
        overtaken(restore, hands)
        (hands.folder / "go on").touch()
        os.kill(worker.pid, signal.SIGCONT)
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()

    restore.refresh_from_db()
    assert (restore.status, restore.attempt, restore.failure_reason) == ("succeeded", 2, "")
    assert below(hands) == ["new", "new/data"]


def test_an_attempt_that_fails_late_leaves_the_winners_result_alone(hands: Hands) -> None:
    restore = ask(hands.taken(make_source()), hands, target="new")

    def wake_up_to_a_fault(control: Control) -> None:
        overtaken(restore, hands)
        raise EngineError("the disk went away")

    hands.engine.during = wake_up_to_a_fault
    work(restore, hands)

    assert (restore.status, restore.attempt, restore.failure_reason) == ("succeeded", 2, "")
    assert below(hands) == ["new", "new/data"]


def test_a_restore_that_died_after_it_reached_its_target_is_removed_and_done_again(hands: Hands) -> None:
    restore = ask(hands.taken(make_source()), hands, target="new")
    restore.claim(at=hands.at, host="dead-host", started_at=hands.at)
    place = Place(Path(restore.target), restore.pk, restore.attempt)
    place.folder.mkdir(parents=True)
    (place.folder / "half").write_text("of the dead one")
    place.settle()
    restores.take_back(restore, hands.workshop)
    hands.later(hours=1)

    work(restore, hands)

    assert (restore.status, restore.attempt) == ("succeeded", 2)
    assert below(hands) == ["new", "new/data"]


def test_what_another_attempt_moved_there_between_look_and_move_is_given_back(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(hands.folder / "restores" / "new", 7, 1)
    place.target.mkdir(parents=True)
    (place.target / "of attempt 2").touch()
    monkeypatch.setattr(Place, "reached", True)

    place.remove(lambda folder: None)

    assert below(hands) == ["new", "new/of attempt 2"]


def test_what_a_dead_worker_left_of_a_restore_that_failed_is_cleared_up(hands: Hands) -> None:
    restore = ask(hands.taken(make_source()), hands, target="new")
    restore.claim(at=hands.at, host="dead-host", started_at=hands.at)
    place = Place(Path(restore.target), restore.pk, restore.attempt)
    place.folder.mkdir(parents=True)
    assert restores.clear_up(workshop=hands.workshop) == 0, "it may still be at work"
    restores.cancel_restore(restore=restore, by=TESTER, at=hands.at)
    restores.take_back(Restore.objects.get(pk=restore.pk), hands.workshop)

    assert restores.clear_up(workshop=hands.workshop) == 1
    assert restores.clear_up(workshop=hands.workshop) == 0
    assert below(hands) == []


def test_a_server_that_does_not_start_leaves_nothing_at_the_target(hands: Hands) -> None:
    restore = ask(hands.taken(make_source()), hands, target="new", start_server=True)

    def refuse(_: object) -> None:
        raise EngineError("port taken", permanent=True)

    hands.engine.starting = refuse
    work(restore, hands)

    assert (restore.status, restore.failure_reason, restore.connection) == ("failed", "port taken", "")
    assert below(hands) == []


def test_the_folder_for_restores_is_a_setting() -> None:
    assert settings.ENV.restores.name == "restores"
