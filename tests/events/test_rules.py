"""How long a failed delivery waits."""

from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sysops.events.rules import LEASE, LONGEST_WAIT, MAX_ATTEMPTS, TIME_LIMIT, WORK_FOR, delay_after

chances = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(attempt=st.integers(1, MAX_ATTEMPTS - 1), chance=chances)
def test_a_wait_is_never_nothing_and_never_much_beyond_the_longest(attempt: int, chance: float) -> None:
    wait = delay_after(attempt, chance=chance)

    assert wait is not None
    assert timedelta(seconds=3) < wait <= LONGEST_WAIT


def test_each_wait_is_longer_until_it_is_given_up() -> None:
    waits = [delay_after(attempt, chance=0.5) for attempt in range(1, MAX_ATTEMPTS + 1)]

    assert waits[-1] is None
    assert all(later >= earlier for earlier, later in pairwise(wait for wait in waits if wait))
    assert timedelta(minutes=40) < sum((wait for wait in waits if wait), timedelta()) < timedelta(hours=2)


@given(attempt=st.integers(MAX_ATTEMPTS, 30_000), chance=chances)
def test_it_is_given_up_for_good(attempt: int, chance: float) -> None:
    assert delay_after(attempt, chance=chance) is None


def test_a_lease_outlives_the_task_that_holds_it() -> None:
    assert WORK_FOR < TIME_LIMIT < LEASE
