"""What may happen to backups, held as properties."""

import random
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from backups.rules import (
    BACKUP_MOVES,
    RETRY_FIRST,
    RETRY_MOST,
    SIZE_ORDER,
    BackupType,
    Candidate,
    Due,
    Rung,
    Status,
    VerificationStatus,
    choose_base,
    coalesce,
    covers,
    may_move,
    may_try_again,
    overall,
    retry_delay,
    smoothed_rate,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
candidates = st.lists(
    st.builds(
        Candidate,
        backup_id=st.integers(1, 10**6),
        backup_type=st.sampled_from(BackupType),
        completed_at=st.datetimes(timezones=st.just(UTC)),
        usable=st.booleans(),
    ),
    max_size=8,
    unique_by=lambda c: c.backup_id,
)
dues = st.lists(
    st.builds(
        Due,
        cadence_id=st.integers(1, 1000),
        backup_type=st.sampled_from(BackupType),
        slot_at=st.just(NOON),
        keep_days=st.none() | st.integers(1, 400),
    ),
    min_size=1,
    unique_by=lambda d: d.cadence_id,
)


@given(old=st.sampled_from([Status.FAILED, Status.EXPIRED]), new=st.sampled_from(Status))
def test_what_has_failed_or_expired_never_moves(old: Status, new: Status) -> None:
    assert not may_move(BACKUP_MOVES, old, new)


@given(new=st.sampled_from(Status))
def test_a_succeeded_backup_can_only_expire(new: Status) -> None:
    assert may_move(BACKUP_MOVES, Status.SUCCEEDED, new) == (new is Status.EXPIRED)


@given(attempt=st.integers(1, 50), most=st.integers(1, 20))
def test_attempts_are_bounded_and_a_permanent_failure_is_never_tried_again(attempt: int, most: int) -> None:
    assert may_try_again(attempt=attempt, max_attempts=most, permanent=False) == (attempt < most)
    assert not may_try_again(attempt=attempt, max_attempts=most, permanent=True)


@given(attempt=st.integers(1, 200), seed=st.integers())
def test_the_wait_before_a_retry_grows_is_jittered_and_has_a_ceiling(attempt: int, seed: int) -> None:
    step = min(RETRY_MOST, RETRY_FIRST * 2 ** min(attempt - 1, 16))

    delay = retry_delay(attempt=attempt, chance=random.Random(seed))

    assert step / 2 <= delay <= step <= RETRY_MOST


def test_two_sources_that_failed_together_do_not_come_back_together() -> None:
    delays = {retry_delay(attempt=3, chance=random.Random(seed)) for seed in range(50)}

    assert len(delays) > 40


@given(requested=st.sampled_from(BackupType), stored=candidates)
def test_a_backup_stands_on_the_right_parent_or_is_full_and_says_why(
    requested: BackupType, stored: list[Candidate]
) -> None:
    base = choose_base(requested, stored)

    if requested is BackupType.FULL:
        assert (base.backup_type, base.parent_id, base.reason) == (BackupType.FULL, None, "")
    elif base.parent_id is None:
        assert base.backup_type is BackupType.FULL
        assert base.reason
    else:
        parent = next(c for c in stored if c.backup_id == base.parent_id)
        rivals = [c for c in stored if requested is BackupType.INCREMENTAL or c.backup_type is BackupType.FULL]
        assert base.backup_type is requested
        assert parent.usable
        assert all(c.completed_at <= parent.completed_at for c in rivals)
        if requested is BackupType.DIFFERENTIAL:
            assert parent.backup_type is BackupType.FULL


def test_nothing_stands_on_a_backup_that_is_known_bad() -> None:
    bad = Candidate(7, BackupType.FULL, NOON, usable=False)
    older = Candidate(3, BackupType.FULL, NOON - timedelta(days=1), usable=True)

    base = choose_base(BackupType.INCREMENTAL, [older, bad])

    assert base.backup_type is BackupType.FULL
    assert "Backup 7" in base.reason


@given(due=dues)
def test_of_cadences_that_fall_together_the_largest_type_is_taken_and_the_others_recorded(due: list[Due]) -> None:
    winner, stood_for = coalesce(due)

    assert sorted([winner, *stood_for], key=lambda d: d.cadence_id) == sorted(due, key=lambda d: d.cadence_id)
    assert all(SIZE_ORDER[winner.backup_type] >= SIZE_ORDER[d.backup_type] for d in stood_for)
    same = [d for d in due if d.backup_type is winner.backup_type]
    assert (winner.keep_days or 0) == max(d.keep_days or 0 for d in same)


def test_a_full_backup_under_way_covers_all_types_and_an_incremental_only_itself() -> None:
    assert [covers(BackupType.FULL, t) for t in BackupType] == [True, True, True]
    assert [t for t in BackupType if covers(BackupType.INCREMENTAL, t)] == [BackupType.INCREMENTAL]


rungs = st.dictionaries(st.sampled_from(Rung), st.sampled_from(VerificationStatus))


@given(found=rungs)
def test_a_backup_counts_as_verified_only_when_every_rung_that_looked_passed(
    found: dict[Rung, VerificationStatus],
) -> None:
    verdict = overall(found)

    if VerificationStatus.FAILED in found.values():
        assert verdict is VerificationStatus.FAILED
    assert (verdict is VerificationStatus.PASSED) == (set(found.values()) == {VerificationStatus.PASSED})


def test_the_rate_follows_what_is_measured_and_is_unknown_before_time_has_passed() -> None:
    assert smoothed_rate(previous=None, done_bytes=10, before_bytes=0, seconds=0) is None
    assert smoothed_rate(previous=None, done_bytes=100, before_bytes=0, seconds=2) == 50
    rate: float | None = 0.0
    for _ in range(60):
        rate = smoothed_rate(previous=rate, done_bytes=100, before_bytes=0, seconds=1)
    assert rate is not None
    assert 99 < rate <= 100
