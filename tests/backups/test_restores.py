"""Restores go to a new place, are refused for what is known bad, and leave nothing half-done."""

import pytest
from django.conf import settings

from backups.engines.base import Check, EngineError, Outcome
from backups.models import Backup, Restore, WrongState
from backups.rules import BackupType
from backups.secrets import BadSettings
from backups.services import restores
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
        _empty(hands)
        hands.later(hours=2)

    assert (restore.status, restore.attempt, restore.failure_reason) == ("failed", 3, "no room")


def _empty(hands: Hands) -> None:
    """What a real engine does when it fails: it removes what it wrote."""
    for job in hands.engine.restores:
        (job.target / "data").unlink(missing_ok=True)


def test_a_restore_whose_checks_fail_has_failed_and_says_which(hands: Hands) -> None:
    hands.engine.checks = (Check("rows", Outcome.FAILED, "3 of 5"),)

    restore = work(ask(hands.taken(make_source()), hands), hands)

    assert restore.status == "failed"
    assert "rows: 3 of 5" in restore.failure_reason


def test_parts_are_refused_where_the_engine_restores_wholes_only(hands: Hands) -> None:
    with pytest.raises(BadSettings) as caught:
        ask(hands.taken(make_source()), hands, paths=["a"])

    assert set(caught.value.errors) == {"paths"}


def test_a_queued_restore_can_be_cancelled(hands: Hands) -> None:
    restore = ask(hands.taken(make_source()), hands)

    restores.cancel_restore(restore=restore, by=TESTER, at=hands.at)
    work(restore, hands)

    assert (restore.status, restore.failure_reason) == ("failed", "Cancelled by tester")
    assert hands.engine.restores == []


def test_a_restored_server_can_be_stopped_once(hands: Hands) -> None:
    restore = work(ask(hands.taken(make_source()), hands, start_server=True), hands)

    restores.stop_restored_server(restore=restore, workshop=hands.workshop, by=TESTER)
    restore.refresh_from_db()

    assert [str(p) for p in hands.engine.stopped] == [restore.target]
    with pytest.raises(WrongState, match="no running server"):
        restores.stop_restored_server(restore=restore, workshop=hands.workshop, by=TESTER)


def test_the_folder_for_restores_is_a_setting() -> None:
    assert settings.ENV.restores.name == "restores"
