"""How many reports a key and a project may send in a minute, counted in this process."""

import math
from dataclasses import dataclass

from errors.intake.keys import Sender

WINDOW_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Over:
    """A quota is used up: whose (`key` or `project`), and for how many more seconds."""

    scope: str
    seconds: int


class Quotas:
    """Counts by whole minutes of the clock, as the quotas are worded."""

    def __init__(self) -> None:
        self._minute = -1
        self._taken: dict[tuple[str, int], int] = {}

    def take(self, sender: Sender, *, now: float) -> Over | None:
        """Count one report; or who has none left, and then nothing is counted. `now` is seconds since the epoch."""
        if sender.key_quota is None and sender.project_quota is None:
            return None
        minute = int(now // WINDOW_SECONDS)
        if minute != self._minute:
            self._minute, self._taken = minute, {}
        wanted = (("key", sender.key_id, sender.key_quota), ("project", sender.project_id, sender.project_quota))
        for scope, number, quota in wanted:
            if quota is not None and self._taken.get((scope, number), 0) >= quota:
                return Over(scope, max(1, math.ceil((minute + 1) * WINDOW_SECONDS - now)))
        for scope, number, quota in wanted:
            if quota is not None:
                self._taken[scope, number] = self._taken.get((scope, number), 0) + 1
        return None
