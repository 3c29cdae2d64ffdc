"""The services of a window and the time it holds them; whatever the database refuses is named."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import QuerySet
from psycopg.errors import DeadlockDetected, ExclusionViolation, SerializationFailure

from catalogue.models import Service
from maintenance import selectors
from maintenance.models import Window, WindowService
from maintenance.rules import Status, Type
from maintenance.selectors import Clash

T = TypeVar("T")

_LAY = """
INSERT INTO maintenance_windowservice (window_id, service_id, direct, holds, period, state_before)
SELECT %(window)s, service, direct, %(holds)s, tstzrange(%(start)s, %(end)s), ''
FROM unnest(%(keys)s::bigint[], %(direct)s::boolean[]) AS wanted(service, direct)
"""


class Conflicts(Exception):
    """Other windows are in the way: `windows` are they, `reasons` says in words on what; nothing was written."""

    def __init__(self, clashes: Sequence[Clash]) -> None:
        self.clashes = list(clashes)
        self.windows = [clash.window for clash in clashes]
        self.reasons = [str(clash) for clash in clashes]
        named = "; ".join(self.reasons[:3]) + (f"; and {len(clashes) - 3} more" if len(clashes) > 3 else "")
        unnamed = "Another window was written at the same moment. Look again, then repeat it"
        super().__init__(f"{named or unnamed}.")


class ServiceGone(Exception):
    """A service of the window has just been deleted."""


def locked(window_id: int) -> Window:
    """The window as it is now, ours until the end of the transaction. Before its services, always."""
    return Window.objects.select_for_update(no_key=True).get(pk=window_id)


def lock_services(keys: Collection[int]) -> None:
    """Make these services ours until the end of the transaction. Raises ServiceGone.

    In the order of their keys: windows that meet wait for each other here and never in a circle.
    """
    wanted = set(keys)
    rows = Service.objects.select_for_update(no_key=True).filter(pk__in=wanted).order_by("pk")
    if len(rows.values_list("pk", flat=True)) < len(wanted):
        raise ServiceGone("A service of the window has just been deleted. Look again, then repeat it.")


def holding(window: Window) -> bool:
    """Whether the window keeps others away. An emergency never does."""
    return window.maintenance_type != Type.EMERGENCY


def period(window: Window) -> DateTimeTZRange:
    """The time the window takes: from its start, planned or real if that was earlier, to its estimated or real end."""
    begins = min(window.scheduled_start, window.actual_start or window.scheduled_start)
    ends = window.scheduled_end
    if window.status == Status.COMPLETED and window.completed_at is not None:
        # An empty range has no bounds, and would tell nobody when it was.
        ends = max(min(ends, window.completed_at), begins + timedelta(microseconds=1))
    return DateTimeTZRange(begins, ends, bounds="[)")


def refuse_clashes(window: Window, *, direct: Collection[int], reached: Collection[int]) -> None:
    """Nothing when the window may have these services in its time. Raises Conflicts."""
    if clashes := _in_the_way(window, direct=direct, reached=reached):
        raise Conflicts(clashes)


def lay(window: Window, *, direct: Collection[int], reached: Collection[int]) -> None:
    """The window's rows, new, in the order in which services are locked."""
    working_on, span = set(direct), period(window)
    keys = sorted({*direct, *reached})
    with connection.cursor() as cursor:  # one statement whatever their number: a window may reach hundreds
        cursor.execute(
            _LAY,
            {
                "window": window.pk,
                "holds": holding(window),
                "start": span.lower,
                "end": span.upper,
                "keys": keys,
                "direct": [key in working_on for key in keys],
            },
        )


def move(window: Window) -> None:
    """The window's rows at another time, all held. Raises Conflicts; its services are locked already."""
    rows = window.affected.all()
    _refuse_rows(window, rows)
    rows.update(period=period(window), holds=holding(window))


def stretch(window: Window) -> None:
    """The window's rows in more time than they had. Raises Conflicts; its services are locked already.

    Where it holds nothing, because a dependency came to be while another window had that time, that stays agreed.
    """
    _refuse_rows(window, window.affected.filter(holds=True))
    window.affected.update(period=period(window))


def _refuse_rows(window: Window, wanted: QuerySet[WindowService]) -> None:
    rows = list(wanted.values_list("service_id", "direct"))
    refuse_clashes(
        window, direct=[pk for pk, direct in rows if direct], reached=[pk for pk, direct in rows if not direct]
    )


def release(window: Window) -> None:
    """Hold nothing any more; a completed window leaves the rest of its time to others."""
    window.affected.update(holds=False, period=period(window))


def all_or_named(write: Callable[[], T], *, clashes: Callable[[], Sequence[Clash]]) -> T:
    """What `write` gives, done in one transaction. Raises Conflicts when the database holds two windows apart.

    Tried a second time when it lost a race against something that is not there any more.
    """
    for last in (False, True):
        try:
            with transaction.atomic():
                return write()
        except ServiceGone:
            if last:
                raise
        except (IntegrityError, OperationalError) as exc:
            if not isinstance(exc.__cause__, (ExclusionViolation, DeadlockDetected, SerializationFailure)):
                raise
            found = clashes() if isinstance(exc.__cause__, ExclusionViolation) else []
            if found or last:
                raise Conflicts(found) from exc
    raise AssertionError("unreachable")


def clashes_of(window: Window) -> list[Clash]:
    """Who is in the way of the window as it is in memory, by its stored services."""
    rows = list(WindowService.objects.filter(window_id=window.pk).values_list("service_id", "direct"))
    return _in_the_way(window, direct=[pk for pk, d in rows if d], reached=[pk for pk, d in rows if not d])


def _in_the_way(window: Window, *, direct: Collection[int], reached: Collection[int]) -> list[Clash]:
    if not holding(window):
        return []
    span = period(window)
    begins, ends = span.lower, span.upper
    assert isinstance(begins, datetime)
    assert isinstance(ends, datetime)
    return selectors.conflicts(direct=direct, reached=reached, start=begins, end=ends, but=window.pk)
