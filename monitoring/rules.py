"""When something measured is healthy. Pure: no Django, no clock, no I/O."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

DATABASE_SECONDS = (1.0, 3.0)  # degraded from, unhealthy from
BROKER_SECONDS = (0.1, 0.5)
API_SECONDS = 0.5
API_ERROR_PERCENT = 5.0
BEAT_AGE = (timedelta(seconds=60), timedelta(seconds=180))
WORKER_AGE = (timedelta(seconds=25), timedelta(seconds=45))
FREE_PERCENT = (20.0, 5.0)

# A worker that vanished without a good-bye is missed this long; after that it is history.
MISSED_FOR = timedelta(hours=24)

# Each bucket is 2^(1/8) wider than the one before, so buckets of many minutes and processes add up.
BUCKETS_PER_DOUBLING = 8
SHORTEST_SECONDS = 1e-6


class Status(StrEnum):
    """How a part is. Not known is None, never one of these."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass
class Tally:
    """The requests one process answered in one minute."""

    minute: datetime
    process: str
    count: int = 0
    errors: int = 0
    buckets: dict[int, int] = field(default_factory=dict)

    def add(self, *, seconds: float, failed: bool) -> None:
        number = bucket(seconds)
        self.count += 1
        self.errors += failed
        self.buckets[number] = self.buckets.get(number, 0) + 1


_ORDER = (Status.HEALTHY, Status.DEGRADED, Status.UNHEALTHY)


def worst(statuses: Iterable[Status | None]) -> Status:
    """The worst that is known; healthy when nothing bad is."""
    return max((status for status in statuses if status), key=_ORDER.index, default=Status.HEALTHY)


def judge(value: float, limits: tuple[float, float]) -> Status:
    """The status of a figure that is worse the larger it is."""
    degraded, unhealthy = limits
    if value >= unhealthy:
        return Status.UNHEALTHY
    return Status.DEGRADED if value >= degraded else Status.HEALTHY


def judge_age(age: timedelta, limits: tuple[timedelta, timedelta]) -> Status:
    """The status of something last heard of `age` ago; exactly at a limit is still in time."""
    degraded, unhealthy = limits
    if age > unhealthy:
        return Status.UNHEALTHY
    return Status.DEGRADED if age > degraded else Status.HEALTHY


def judge_room(free_percent: float) -> Status:
    """The status of a place to write to with this much room left."""
    degraded, unhealthy = FREE_PERCENT
    if free_percent < unhealthy:
        return Status.UNHEALTHY
    return Status.DEGRADED if free_percent < degraded else Status.HEALTHY


def judge_api(*, p95_seconds: float, error_percent: float) -> Status:
    """The status of the API by what its callers met."""
    late, failing = p95_seconds > API_SECONDS, error_percent > API_ERROR_PERCENT
    return Status.UNHEALTHY if failing else Status.DEGRADED if late else Status.HEALTHY


def bucket(seconds: float) -> int:
    """The number of the bucket this duration falls into."""
    return math.ceil(math.log2(max(seconds, SHORTEST_SECONDS)) * BUCKETS_PER_DOUBLING)


def add_up(many: Iterable[Mapping[int, int] | Mapping[str, int]]) -> dict[int, int]:
    """One set of buckets from many; keys come back from JSON as text."""
    total: dict[int, int] = {}
    for buckets in many:
        for number, count in buckets.items():
            total[int(number)] = total.get(int(number), 0) + count
    return total


def percentile(buckets: Mapping[int, int], share: float) -> float | None:
    """The duration that `share` (0–1) of all stayed within, or None when nothing was measured."""
    wanted = share * sum(buckets.values())
    if wanted <= 0:
        return None
    for number in sorted(buckets):
        if wanted <= buckets[number]:
            low, high = 2 ** ((number - 1) / BUCKETS_PER_DOUBLING), 2 ** (number / BUCKETS_PER_DOUBLING)
            return float(low + (high - low) * wanted / buckets[number])
        wanted -= buckets[number]
    return float(2 ** (max(buckets) / BUCKETS_PER_DOUBLING))


def trend(percents: Sequence[float]) -> str | None:
    """Where a series of minute samples is going, or None while there are fewer than ten."""
    if len(percents) < 10:
        return None
    third = len(percents) // 3
    change = sum(percents[-third:]) / third - sum(percents[:third]) / third
    if abs(change) < 5:
        return "stable"
    return "increasing" if change > 0 else "decreasing"
