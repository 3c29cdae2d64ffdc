"""When a cadence is due. Pure: cron in a named zone, right across daylight-saving changes.

Slots follow Debian's cron (cronsim): a job at a fixed local time that the spring change skips runs right after
the change; one that the autumn change repeats runs once. Where both a day of the month and a day of the week
are given, both must hold, as in Celery's crontab (cron itself would take either).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

_MOST_STEPS = 5000  # enough for "29 February on a Monday" many times over; bounds an impossible rule


class BadSchedule(ValueError):
    """The cron fields or the zone make no sense; the message says which."""


@dataclass(frozen=True)
class Cron:
    """Cron fields as django-celery-beat keeps them, and the zone they are meant in."""

    minute: str
    hour: str
    day_of_month: str
    month_of_year: str
    day_of_week: str
    zone: str = "UTC"

    @property
    def expression(self) -> str:
        """The five fields in cron's own order."""
        return f"{self.minute} {self.hour} {self.day_of_month} {self.month_of_year} {self.day_of_week}"

    def __str__(self) -> str:
        return f"{self.expression} {self.zone}"


def next_slot(cron: Cron, after: datetime) -> datetime | None:
    """The first slot later than `after`, in UTC; None when the rule never comes true again.

    Raises BadSchedule.
    """
    return _next_slot(cron, after.astimezone(UTC))


@lru_cache(maxsize=4096)
def _next_slot(cron: Cron, after: datetime) -> datetime | None:
    try:
        zone = ZoneInfo(cron.zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise BadSchedule(f"There is no time zone {cron.zone!r}") from None
    both_days = not cron.day_of_month.startswith("*") and not cron.day_of_week.startswith("*")
    weekday_field = "*" if both_days else cron.day_of_week
    fields = f"{cron.minute} {cron.hour} {cron.day_of_month} {cron.month_of_year} {weekday_field}"
    try:
        slots = CronSim(fields, after.astimezone(zone))
        weekdays = CronSim(f"0 0 * * {cron.day_of_week}", after).weekdays if both_days else None
    except CronSimError as exc:
        raise BadSchedule(f"{cron.expression!r} is no cron rule: {exc}") from None
    for slot in islice(slots, _MOST_STEPS):
        moment = slot.astimezone(UTC)
        if moment <= after:  # cronsim may answer with the first half of a repeated hour
            continue
        if weekdays is None or slot.isoweekday() % 7 in weekdays or slot.isoweekday() in weekdays:
            return moment
    return None


def due_slots(cron: Cron, *, first: datetime, until: datetime) -> tuple[datetime, int, datetime | None]:
    """The newest slot up to `until`, how many came before it since `first`, and the first one to come.

    `first` is a slot that is due. After an outage the newest stands for all that were missed.
    Bounded: after 5 000 missed slots counting stops.
    """
    newest, missed = first, 0
    for _ in range(_MOST_STEPS):
        following = next_slot(cron, newest)
        if following is None or following > until:
            return newest, missed, following
        newest, missed = following, missed + 1
    return until, missed, next_slot(cron, until)
