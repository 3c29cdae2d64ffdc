"""Proving backups: every rung recorded by itself, three answers kept apart."""

from pathlib import Path

import pytest

from backups.engines.base import Check, EngineError, Outcome
from backups.models import Backup, Verification, WrongState
from backups.rules import BackupType, Rung
from backups.services import verifications
from backups.services.verifications import queue_rereads, queue_restore_tests, request_verification
from tests.backups.support import TESTER, Hands, make_policy, make_source

pytestmark = pytest.mark.django_db(transaction=True)


def stored_file(hands: Hands, backup: Backup) -> Path:
    return hands.folder / "store" / backup.key / "data"


def reread(backup: Backup, hands: Hands) -> Verification:
    row = request_verification(backup=backup, rung=Rung.REREAD, by=TESTER, at=hands.at)
    verifications.execute_verification(verification_id=row.pk, workshop=hands.workshop)
    row.refresh_from_db()
    return row


def test_a_backup_is_verified_when_all_rungs_passed_and_proven_when_it_was_restored(hands: Hands) -> None:
    backup = hands.taken(make_source())
    assert backup.verification_status == "pending"

    hands.verified(backup)

    assert (backup.verification_status, backup.proven_at) == ("passed", hands.at)
    rows = {v.rung: v for v in backup.verifications.all()}
    assert [c["name"] for c in rows["files"].checks] == ["manifest", "tool"]
    assert rows["restore"].checks[0]["detail"] == "it did"


def test_an_incremental_is_verified_by_its_files_and_proven_through_its_whole_chain_on_request(hands: Hands) -> None:
    source = make_source()
    full = hands.taken(source)
    backup = hands.verified(hands.taken(source, BackupType.INCREMENTAL))
    assert (backup.verification_status, backup.proven_at) == ("passed", None)

    request_verification(backup=backup, rung=Rung.RESTORE, by=TESTER, at=hands.at)
    hands.verified(backup)

    assert [link.backup_id for link in hands.engine.proofs[-1].chain] == [str(full.pk), str(backup.pk)]
    assert backup.proven_at == hands.at


def test_a_flipped_byte_is_found_by_the_daily_reread_and_named(hands: Hands) -> None:
    backup = hands.verified(hands.taken(make_source()))
    path = stored_file(hands, backup)
    path.chmod(0o600)
    path.write_bytes(b"dat\x00")

    assert queue_rereads(at=hands.at) == 1
    hands.verified(backup)

    assert backup.verification_status == "failed"
    assert "data" in backup.verification_detail


def test_files_that_are_gone_fail_the_verification(hands: Hands) -> None:
    backup = hands.verified(hands.taken(make_source()))
    hands.store.remove(backup.key)

    assert reread(backup, hands).status == "failed"


def test_a_check_that_could_not_look_is_never_verified(hands: Hands) -> None:
    hands.engine.checks = (
        Check("server starts", Outcome.PASSED, "it did"),
        Check("checksums", Outcome.COULD_NOT, "they are off in the source"),
    )

    backup = hands.verified(hands.taken(make_source()))

    assert (backup.verification_status, backup.proven_at) == ("could_not_verify", None)
    assert "they are off in the source" in backup.verification_detail


def test_no_check_at_all_is_never_verified(hands: Hands) -> None:
    hands.engine.checks = ()

    assert hands.verified(hands.taken(make_source())).verification_status == "could_not_verify"


def test_an_obstacle_says_nothing_of_the_backup_and_is_tried_again_within_bounds(hands: Hands) -> None:
    backup = hands.taken(make_source())
    row = backup.verifications.get(rung="files")
    hands.engine.failures = [EngineError("no room", code="no_space")] * 9

    for attempt in (1, 2, 3):
        verifications.execute_verification(verification_id=row.pk, workshop=hands.workshop)
        row.refresh_from_db()
        assert row.attempt == attempt
        hands.later(hours=2)

    assert row.status == "could_not_verify"
    assert "no room" in row.detail


def test_a_known_bad_backup_stays_known_bad_while_it_is_looked_at_again(hands: Hands) -> None:
    backup = hands.taken(make_source())
    hands.engine.checks = (Check("rows", Outcome.FAILED, "3 of 5 rows"),)
    hands.verified(backup)
    assert backup.known_bad

    request_verification(backup=backup, rung=Rung.RESTORE, by=TESTER, at=hands.at)
    backup.refresh_from_db()
    assert backup.known_bad
    hands.engine.checks = (Check("rows", Outcome.PASSED, "5 rows"),)
    hands.verified(backup)

    assert backup.verification_status == "passed"


def test_what_stands_on_a_bad_backup_is_not_proven(hands: Hands) -> None:
    source = make_source()
    full = hands.taken(source)
    child = hands.taken(source, BackupType.DIFFERENTIAL)
    Backup.objects.filter(pk=full.pk).update(verification_status="failed")

    request_verification(backup=child, rung=Rung.RESTORE, by=TESTER, at=hands.at)
    hands.verified(child)

    assert child.known_bad
    assert f"backup {full.pk}, which is known bad" in child.verification_detail
    assert hands.engine.proofs == []


def test_the_next_backup_after_a_bad_one_is_full_and_says_why(hands: Hands) -> None:
    source = make_source()
    full = hands.taken(source)
    Backup.objects.filter(pk=full.pk).update(verification_status="failed")

    backup = hands.taken(source, BackupType.INCREMENTAL)

    assert backup.backup_type == "full"
    assert f"Backup {full.pk}" in backup.type_reason


def test_asking_twice_gives_the_verification_that_waits(hands: Hands) -> None:
    backup = hands.verified(hands.taken(make_source()))

    first = request_verification(backup=backup, rung=Rung.RESTORE, by=TESTER, at=hands.at)
    second = request_verification(backup=backup, rung=Rung.RESTORE, by=TESTER, at=hands.at)

    assert first.pk == second.pk


def test_only_what_is_stored_can_be_verified(hands: Hands) -> None:
    hands.engine.failures = [EngineError("no", permanent=True)]
    backup = hands.taken(make_source())

    with pytest.raises(WrongState, match="only a stored backup"):
        request_verification(backup=backup, rung=Rung.FILES, by=TESTER, at=hands.at)


def test_the_random_restore_tests_take_as_many_of_each_source_as_its_policy_says(hands: Hands) -> None:
    import random

    two, none = (
        make_source(policy=make_policy(daily_restore_tests=2)),
        make_source(policy=make_policy(daily_restore_tests=0)),
    )
    for source in (two, none):
        for _ in range(4):
            hands.verified(hands.taken(source))

    assert queue_restore_tests(at=hands.at, chance=random.Random(1)) == 2
    assert set(Verification.objects.filter(status="pending").values_list("backup__source", flat=True)) == {two.pk}
