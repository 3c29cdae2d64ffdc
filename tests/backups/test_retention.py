"""Which stored backups may go: held as properties over random chains."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from backups.retention import Stored, decide, keep_until

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@st.composite
def histories(draw: st.DrawFn) -> list[Stored]:
    """Backups of a few sources, each standing on an earlier one of its source or on nothing."""
    made: list[Stored] = []
    for number in range(draw(st.integers(0, 14))):
        source = draw(st.integers(1, 3))
        earlier = [b.backup_id for b in made if b.source_id == source]
        completed = NOW - timedelta(days=60) + timedelta(days=number * 4)
        made.append(
            Stored(
                backup_id=number + 1,
                source_id=source,
                parent_id=draw(st.none() | st.sampled_from(earlier)) if earlier else None,
                completed_at=completed,
                delete_after=completed + timedelta(days=draw(st.sampled_from([1, 30, 400]))),
                good=draw(st.sampled_from([True, True, True, False])),
                passed=draw(st.booleans()),
                proven=draw(st.booleans()),
                held=draw(st.sampled_from([False, False, False, True])),
                busy=draw(st.sampled_from([False, False, False, True])),
            )
        )
    return made


def removed(history: list[Stored]) -> set[int]:
    return {d.backup_id for d in decide(history, now=NOW) if d.remove}


def ancestors(backup: Stored, known: dict[int, Stored]) -> list[Stored]:
    found = []
    while backup.parent_id is not None:
        backup = known[backup.parent_id]
        found.append(backup)
    return found


@given(history=histories())
def test_nothing_goes_before_its_time_or_while_held_or_in_use(history: list[Stored]) -> None:
    for backup in history:
        if backup.delete_after > NOW or backup.held or backup.busy:
            assert backup.backup_id not in removed(history)


@given(history=histories())
def test_nothing_goes_that_a_kept_backup_stands_on(history: list[Stored]) -> None:
    known = {b.backup_id: b for b in history}
    gone = removed(history)
    for backup in history:
        if backup.backup_id not in gone:
            assert not {a.backup_id for a in ancestors(backup, known)} & gone


@given(history=histories())
def test_the_last_good_backup_of_every_source_stays_whatever_its_age(history: list[Stored]) -> None:
    known = {b.backup_id: b for b in history}
    gone = removed(history)
    for source in {b.source_id for b in history}:
        sound = [b for b in history if b.source_id == source and all(x.good for x in [b, *ancestors(b, known)])]
        if sound:
            assert max(sound, key=lambda b: b.completed_at).backup_id not in gone


@given(history=histories())
def test_the_newest_proven_and_the_newest_verified_chain_of_every_source_stay_too(history: list[Stored]) -> None:
    known = {b.backup_id: b for b in history}
    gone = removed(history)
    for source in {b.source_id for b in history}:
        chains = {b: [b, *ancestors(b, known)] for b in history if b.source_id == source}
        sound = {b: chain for b, chain in chains.items() if all(x.good for x in chain)}
        proven = [b for b in sound if b.proven]
        verified = [b for b, chain in sound.items() if all(x.passed for x in chain)]
        for wanted in (proven, verified):
            if wanted:
                newest = max(wanted, key=lambda b: b.completed_at)
                assert not {x.backup_id for x in chains[newest]} & gone


@given(history=histories())
def test_children_go_before_their_parents_and_every_decision_has_a_reason(history: list[Stored]) -> None:
    known = {b.backup_id: b for b in history}
    order = [d.backup_id for d in decide(history, now=NOW) if d.remove]
    for place, backup_id in enumerate(order):
        assert not {a.backup_id for a in ancestors(known[backup_id], known)} & set(order[:place])
    assert all(d.reason for d in decide(history, now=NOW))


def test_what_is_past_its_time_and_not_needed_does_go() -> None:
    old = Stored(1, 1, None, NOW - timedelta(days=40), NOW - timedelta(days=10), good=True)
    fresh = Stored(2, 1, None, NOW - timedelta(days=1), NOW + timedelta(days=29), good=True)

    assert removed([old, fresh]) == {1}


def test_when_all_runs_have_failed_for_months_the_last_good_one_is_still_there() -> None:
    good = Stored(1, 1, None, NOW - timedelta(days=200), NOW - timedelta(days=170), good=True)
    bad = Stored(2, 1, None, NOW - timedelta(days=100), NOW - timedelta(days=70), good=False)

    assert removed([good, bad]) == {2}


def test_when_backups_stop_the_proven_one_outlives_the_newer_one_nobody_has_looked_at() -> None:
    proven = Stored(1, 1, None, NOW - timedelta(days=90), NOW - timedelta(days=60), good=True, passed=True, proven=True)
    verified = Stored(2, 1, None, NOW - timedelta(days=80), NOW - timedelta(days=50), good=True, passed=True)
    unseen = Stored(3, 1, None, NOW - timedelta(days=70), NOW - timedelta(days=40), good=True)

    assert {d.backup_id: d.reason for d in decide([proven, verified, unseen], now=NOW) if not d.remove} == {
        1: "The last proven backup of its source",
        2: "The last verified backup of its source",
        3: "The last good backup of its source",
    }


def test_a_proof_is_worth_nothing_once_something_below_it_is_known_bad() -> None:
    rotten = Stored(1, 1, None, NOW - timedelta(days=90), NOW - timedelta(days=60), good=False, passed=True)
    on_it = Stored(2, 1, 1, NOW - timedelta(days=80), NOW - timedelta(days=50), good=True, passed=True, proven=True)

    assert removed([rotten, on_it]) == {1, 2}


def test_a_cadence_can_keep_its_backups_longer_than_the_policy_but_not_shorter() -> None:
    assert keep_until(NOW, online_days=30, keep_days=365) == NOW + timedelta(days=365)
    assert keep_until(NOW, online_days=30, keep_days=28) == NOW + timedelta(days=30)
    assert keep_until(NOW, online_days=30, keep_days=None) == NOW + timedelta(days=30)
