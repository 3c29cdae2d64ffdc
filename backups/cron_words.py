"""Cron rules as people say them. Pure. What has no plain words keeps its five fields."""

from backups.schedule import Cron

_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NAMES = {name[:3].lower(): name for name in _DAYS}
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def cron_words(cron: Cron) -> str:
    """The rule in words with its zone ("every day at 02:00 UTC")."""
    times, days = _times(cron), _days(cron)
    if times is None or days is None:
        return f"at the times of the cron rule {cron.expression} ({cron.zone})"
    often, clock = times
    if clock:
        return f"{days or 'every day'} at {clock} {cron.zone}"
    return f"{often}, {days} ({cron.zone})" if days else f"{often} ({cron.zone})"


def _times(cron: Cron) -> tuple[str, str] | None:
    """Either how often within the day, or the times of day."""
    minute, hour = cron.minute, cron.hour
    step = _step(minute)
    if step and hour == "*":
        return ("every minute" if step == 1 else f"every {step} minutes"), ""
    if not minute.isdigit():
        return None
    past = "on the hour" if int(minute) == 0 else f"at {int(minute)} minutes past"
    step = _step(hour)
    if step == 1:
        return f"every hour {past}", ""
    if step:
        return f"every {step} hours {past}", ""
    if all(part.isdigit() for part in hour.split(",")):
        return "", " and ".join(f"{int(part):02}:{int(minute):02}" for part in hour.split(","))
    return None


def _days(cron: Cron) -> str | None:
    """Which days, empty for all of them."""
    week, month_day, month = cron.day_of_week, cron.day_of_month, cron.month_of_year
    if week == month_day == month == "*":
        return ""
    if month_day == month == "*":
        names = _weekdays(week)
        return f"every {names}" if names else None
    if week != "*" or not month_day.isdigit():
        return None
    if month == "*":
        return f"on day {int(month_day)} of every month"
    if month.isdigit() and 1 <= int(month) <= 12:
        return f"every {int(month_day)} {_MONTHS[int(month) - 1]}"
    return None


def _weekdays(field: str) -> str:
    if field.lower() in ("1-5", "mon-fri"):
        return "weekday"
    found = []
    for part in field.lower().split(","):
        if part in _NAMES:
            found.append(_NAMES[part])
        elif part.isdigit() and int(part) <= 7:
            found.append(_DAYS[int(part)])
        else:
            return ""
    return " and ".join(found)


def _step(field: str) -> int | None:
    """The n of `*/n`; 1 for `*`."""
    if field == "*":
        return 1
    head, _, step = field.partition("/")
    return int(step) if head == "*" and step.isdigit() and int(step) > 0 else None
