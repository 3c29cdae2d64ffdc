"""What happens to an alert when it is noticed, and when maintenance ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.rules import Step, highest, next_step, rises
from notifications.rules import Level


@given(old=st.sampled_from(Level), new=st.sampled_from(Level))
def test_an_open_alert_never_falls(old: Level, new: Level) -> None:
    assert highest(highest(old, new), old) is highest(old, new)
    assert rises(old, new) == (highest(old, new) is not old)


@given(news=st.booleans(), waits=st.booleans())
def test_nothing_is_told_inside_maintenance(news: bool, waits: bool) -> None:
    assert next_step(news=news, waits=waits, in_maintenance=True) is not Step.TELL


@pytest.mark.parametrize(
    ("news", "waits", "step"),
    [
        (True, False, Step.TELL),
        (True, True, Step.TELL),
        (False, True, Step.TELL),
        (False, False, Step.NOTHING),
    ],
)
def test_outside_maintenance_what_nobody_knows_is_told(news: bool, waits: bool, step: Step) -> None:
    assert next_step(news=news, waits=waits, in_maintenance=False) is step
