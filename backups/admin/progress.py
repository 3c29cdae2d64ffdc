"""Work under way as pages show it: backups, verifications and restores alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from django.db.models import Count, Q, QuerySet
from django.urls import reverse

from backups import selectors
from backups.api.serializers import progress_of
from backups.models import Backup, Restore, Verification
from backups.rules import RestoreStatus, Rung, Status, VerificationStatus
from sysops.kernel.clock import utc_now
from sysops.kernel.words import ago_words, size_words, span_words

MOST = 20  # rows of each kind on one page

Row = Backup | Verification | Restore
Tone = Literal["run", "wait", "warn"]

_CANCELS = {Backup: "backups.request", Restore: "backups.restore"}


@dataclass(frozen=True)
class Work:
    """One piece of work that runs or waits, in words and figures; what was not measured is None."""

    key: str
    title: str
    url: str
    tone: Tone
    words: str
    percent: float | None
    figures: tuple[str, ...]
    exact: str
    started_at: datetime | None
    cancel_url: str
    cancel_right: str

    @property
    def running(self) -> bool:
        return self.tone == "run"


@dataclass(frozen=True)
class UnderWay:
    """What runs and what waits, and how much more of it waits than is listed."""

    works: Sequence[Work]
    unlisted: int

    @property
    def words(self) -> str:
        """One line for those who cannot see the bars."""
        running = sum(work.running for work in self.works)
        waiting = len(self.works) - running + self.unlisted
        if not running and not waiting:
            return "Nothing runs now"
        return f"{running} running, {waiting} waiting"


def under_way(*, now: datetime) -> UnderWay:
    """All work that runs, and the first that waits for a worker now; what waits for its time is elsewhere."""
    rows: list[Row] = []
    unlisted = 0
    for found in (
        _first(selectors.for_lists(), Status.RUNNING.value, [Status.QUEUED.value, Status.INTERRUPTED.value], now),
        _first(
            Verification.objects.select_related("backup__source").defer("checks", "backup__manifest"),
            VerificationStatus.RUNNING.value,
            [VerificationStatus.PENDING.value],
            now,
        ),
        _first(
            Restore.objects.select_related("backup__source").defer("checks", "backup__manifest"),
            RestoreStatus.RUNNING.value,
            [RestoreStatus.QUEUED.value],
            now,
        ),
    ):
        rows += found[0]
        unlisted += found[1]
    works = [work_of(row) for row in rows]
    return UnderWay(sorted(works, key=lambda work: (not work.running, work.key)), unlisted)


def _first(rows: QuerySet[Row], running: str, waiting: list[str], now: datetime) -> tuple[list[Row], int]:
    """Two queries, whatever there is: how many, and the first of them."""
    wanted = rows.filter(Q(status=running) | Q(status__in=waiting, not_before__lte=now))
    total = wanted.aggregate(n=Count("pk"))["n"]
    listed = list(wanted.order_by("-lease_until", "pk")[:MOST]) if total else []
    return listed, total - len(listed)


def work_of(row: Row) -> Work:
    """One row that runs or waits."""
    progress = progress_of(row)
    name = row._meta.model_name or ""
    running = row.status == type(row).RUNNING.value
    percent = progress["percent"]
    cancellable = type(row) in _CANCELS and not row.cancel_requested_by
    return Work(
        key=f"{name}-{row.pk}",
        title=_title(row),
        url=reverse(f"admin:backups_{name}_change", args=[row.pk]),
        tone="run" if running else "warn" if row.attempt else "wait",
        words=_words(row, running),
        percent=percent if isinstance(percent, float) else None,
        figures=_figures(progress) if running else (),
        exact=_exact(progress) if running else "",
        started_at=row.started_at if running else None,
        cancel_url=reverse(f"admin:backups_{name}_cancel", args=[row.pk]) if cancellable else "",
        cancel_right=_CANCELS.get(type(row), ""),
    )


def _title(row: Row) -> str:
    if isinstance(row, Backup):
        return f"{row.backup_type.capitalize()} backup {row.pk} of {row.source.name}"
    if isinstance(row, Restore):
        return f"Restore {row.pk} of backup {row.backup_id} of {row.backup.source.name}"
    deep = "Proving" if row.rung == Rung.RESTORE.value else "Checking the files of"
    return f"{deep} backup {row.backup_id} of {row.backup.source.name}"


def _words(row: Row, running: bool) -> str:
    if row.cancel_requested_by:
        return f"Being cancelled by {row.cancel_requested_by}"
    if running:
        again = f", attempt {row.attempt}" if row.attempt > 1 else ""
        return f"{(row.phase or 'starting').capitalize()} on {row.host}{again}"
    if row.status == Status.INTERRUPTED.value:
        return "Its worker died; it is picked up again"
    now = utc_now()
    if row.not_before > now:
        return f"Attempt {row.attempt + 1} {ago_words(row.not_before, now=now)}"
    return "Waiting for a worker"


def _figures(progress: dict[str, object]) -> tuple[str, ...]:
    """What was measured, in words: how much of how much, how fast, how long yet."""
    done, total = progress["done_bytes"], progress["total_bytes"]
    rate, left = progress["rate_bytes_per_second"], progress["remaining_seconds"]
    words = []
    if isinstance(done, int):
        words.append(f"{size_words(done)} of {size_words(total)}" if isinstance(total, int) else size_words(done))
    if isinstance(rate, int | float):
        words.append(f"{size_words(rate)}/s")
    if isinstance(left, int):
        words.append(f"{span_words(left)} left")
    return tuple(words) or ("Not measured yet",)


def _exact(progress: dict[str, object]) -> str:
    done, total = progress["done_bytes"], progress["total_bytes"]
    return f"{done:,} of {total:,} bytes" if isinstance(done, int) and isinstance(total, int) else ""
