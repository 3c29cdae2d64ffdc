"""Readiness, and what is in use: what is counted, what is not, and what it costs."""

from datetime import timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from backups import selectors
from backups.models import Backup, Restore, Source
from backups.rules import PROOF_AGE, BackupType, Rung
from backups.selectors import Readiness
from backups.services import verifications
from tests.backups.support import TESTER, Hands, make_policy, make_source

pytestmark = pytest.mark.django_db(transaction=True)


def ready(source: Source, hands: Hands) -> Readiness:
    (found,) = selectors.readiness([source], now=hands.at)
    return found


def proven(source: Source, hands: Hands, backup_type: BackupType = BackupType.FULL) -> Backup:
    """A stored backup of the source that a restore has proven."""
    backup = hands.taken(source, backup_type)
    verifications.request_verification(backup=backup, rung=Rung.RESTORE, by=TESTER, at=hands.at)
    return hands.verified(backup)


def test_a_source_with_a_fresh_and_proven_backup_is_ready(hands: Hands) -> None:
    backup = proven(make_source(), hands)

    found = ready(backup.source, hands)

    assert (found.state, found.words) == ("good", "Ready: fresh, proven, within RPO and RTO")
    assert found.last_proven == backup
    assert (found.proven_at, found.proof_age) == (hands.at, timedelta())


def test_a_proof_that_is_older_than_a_week_is_a_warning_that_says_how_old(hands: Hands) -> None:
    source = make_source(policy=make_policy(rpo_seconds=20 * 86_400))
    proven(source, hands)

    hands.at += PROOF_AGE
    assert ready(source, hands).state == "good"
    hands.later(days=2)

    assert (ready(source, hands).state, ready(source, hands).words) == (
        "warning",
        "Last proven by a restore 9 days ago",
    )


@pytest.mark.parametrize("gone", [{"status": "expired"}, {"verification_status": "failed"}])
def test_the_proof_of_a_backup_that_is_gone_or_known_bad_does_not_count(hands: Hands, gone: dict[str, str]) -> None:
    source = make_source()
    first = proven(source, hands)
    hands.taken(source)
    Backup.objects.filter(pk=first.pk).update(**gone)

    found = ready(source, hands)

    assert found.last_proven is None
    assert (found.state, found.words) == ("warning", "No stored backup is proven by a restore")


def test_the_proof_of_a_backup_that_stands_on_a_bad_one_does_not_count_but_an_older_one_does(hands: Hands) -> None:
    source = make_source()
    old = proven(source, hands)
    full = proven(source, hands)
    hands.later(minutes=5)
    proven(source, hands, BackupType.INCREMENTAL)
    Backup.objects.filter(pk=full.pk).update(verification_status="failed")

    assert ready(source, hands).last_proven == old


def test_a_chain_is_followed_to_its_end(hands: Hands) -> None:
    source = make_source()
    links = [hands.taken(source), *(hands.taken(source, BackupType.INCREMENTAL) for _ in range(3))]
    assert ready(source, hands).chain_state == "sound"

    Backup.objects.filter(pk=links[0].pk).update(verification_status="failed")

    assert ready(source, hands).chain_state == "broken"
    assert ready(source, hands).words.startswith(f"Backup {links[-1].pk} stands on one that is bad or gone")


def test_readiness_takes_five_queries_however_long_the_chains_and_many_the_sources(
    hands: Hands, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        source = make_source()
        proven(source, hands)
        for _ in range(4):
            proven(source, hands, BackupType.INCREMENTAL)

    with django_assert_num_queries(5):
        assert [r.state for r in selectors.readiness(now=hands.at)] == ["good"] * 3


def restore_of(backup: Backup, hands: Hands) -> None:
    Restore.objects.create(
        backup=backup, target="/somewhere", requested_by="anna", requested_at=hands.at, not_before=hands.at
    )


def test_what_a_restore_reads_is_in_use_with_all_it_stands_on_and_nothing_else(hands: Hands) -> None:
    source = make_source()
    full = hands.verified(hands.taken(source))
    middle = hands.taken(source, BackupType.INCREMENTAL)
    last = hands.taken(source, BackupType.INCREMENTAL)
    other = hands.verified(hands.taken(source))
    assert not any(map(selectors.is_in_use, (full, middle, last, other)))

    restore_of(last, hands)

    assert [selectors.is_in_use(b) for b in (full, middle, last, other)] == [True, True, True, False]
    assert selectors.in_use_ids() == {full.pk, middle.pk, last.pk}


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_what_a_backup_that_may_yet_succeed_stands_on_is_in_use(hands: Hands, status: str) -> None:
    source = make_source()
    full = hands.verified(hands.taken(source))
    child = hands.taken(source, BackupType.INCREMENTAL)
    Backup.objects.filter(pk=child.pk).update(status=status)

    assert selectors.is_in_use(full)
    assert full.pk in selectors.in_use_ids()


def test_a_waiting_reread_keeps_nothing_but_a_running_one_does(hands: Hands) -> None:
    backup = hands.verified(hands.taken(make_source()))
    reread = verifications.request_verification(backup=backup, rung=Rung.REREAD, by=TESTER, at=hands.at)
    assert not selectors.is_in_use(backup)

    reread.claim(at=hands.at, host="here")

    assert selectors.is_in_use(backup)


def test_asking_whether_one_backup_is_in_use_takes_four_queries_however_much_stands_on_it(
    hands: Hands, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    source = make_source()
    full = hands.verified(hands.taken(source))
    for _ in range(4):
        hands.taken(source, BackupType.INCREMENTAL)

    with django_assert_num_queries(4):
        assert not selectors.is_in_use(full)


def test_a_backup_that_waits_to_be_proven_is_in_use_until_it_is(hands: Hands) -> None:
    full = hands.taken(make_source())
    assert selectors.is_in_use(full)

    hands.verified(full)

    assert not selectors.is_in_use(full)
