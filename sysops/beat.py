"""Beat's scheduler: the rows of django-celery-beat, worked through on whatever the clock is set to."""

from datetime import datetime

from django_celery_beat.schedulers import DatabaseScheduler

from sysops.kernel.clock import utc_now


class Scheduler(DatabaseScheduler):
    """Django-celery-beat's, which a clock that is set back by an hour would stop for that hour."""

    def tick(self, *args: object, **kwargs: object) -> float:
        """Send what is due; the seconds until it is worth looking again."""
        self._forget_the_future(utc_now())
        seconds: float = super().tick(*args, **kwargs)
        return seconds

    def _forget_the_future(self, now: datetime) -> None:
        """What ran later than now ran by a clock that was wrong: it counts as run now, and all get a new order."""
        ahead = [entry for entry in (self._schedule or {}).values() if entry.last_run_at > now]
        for entry in ahead:
            entry.last_run_at = now
        if ahead:
            self._heap = None
            self._last_full_sync = datetime.now()  # noqa: DTZ005 - as the library has it
