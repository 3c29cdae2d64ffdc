"""What happens to an alert when it is noticed, and when maintenance ends. Pure: no Django, no clock, no I/O."""

from enum import StrEnum

from notifications.rules import Level

_ORDER = (Level.INFO, Level.WARNING, Level.CRITICAL)


class Step(StrEnum):
    """What to do with an alert now."""

    NOTHING = "nothing"
    TELL = "tell"
    HOLD = "hold"


class Ending(StrEnum):
    """What kind of end an alert came to: the words that tell of it are chosen by this."""

    OVER = "over"  # what was wrong is not wrong any more
    TAKEN_CARE_OF = "taken_care_of"  # somebody saw to it; whether it is right now is not known
    PART_OF_ANOTHER = "part_of_another"  # and goes on there
    NO_LONGER_CRITICAL = "no_longer_critical"  # and goes on, less grave


def highest(old: Level, new: Level) -> Level:
    """How much an open alert matters: it rises while it is open and never falls."""
    return max(old, new, key=_ORDER.index)


def rises(old: Level, new: Level) -> bool:
    return highest(old, new) is not old


def next_step(*, news: bool, waits: bool, in_maintenance: bool) -> Step:
    """`news`: there is something nobody was told yet. `waits`: it is held back already."""
    if in_maintenance:
        return Step.HOLD if news and not waits else Step.NOTHING
    return Step.TELL if news or waits else Step.NOTHING
