"""Machine and traffic figures: measured now, and over the last hour where samples exist."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import psutil

from monitoring.health import Reading
from monitoring.models import RequestMinute, ResourceSample
from monitoring.requests import counter
from monitoring.rules import Tally, add_up, judge_api, percentile, trend
from sysops.env import current

History = Sequence[ResourceSample]

HOUR = timedelta(hours=1)
WINDOW = timedelta(minutes=5)
ENOUGH_REQUESTS = 20  # below that, one odd request would decide
CPU_SECONDS = 0.1


def machine() -> Sequence[Reading]:
    """What this machine has in use now; a probe, because a hung file system hangs whoever asks for its size."""
    cpu = psutil.cpu_percent(interval=CPU_SECONDS)
    memory, disk, network = (
        psutil.virtual_memory(),
        psutil.disk_usage(str(current().data_dir)),
        psutil.net_io_counters(),
    )
    figures = {
        "cpu": (cpu, cpu),
        "memory": (memory.total - memory.available, memory.percent),
        "disk": (disk.total - disk.free, 100 * (disk.total - disk.free) / disk.total),
        "network": {
            "bytes_in": network.bytes_recv,
            "bytes_out": network.bytes_sent,
            "packets_in": network.packets_recv,
            "packets_out": network.packets_sent,
        },
    }
    return [Reading("resources", None, "Measured", figures=figures)]


def history(at: datetime) -> History:
    """This machine's minute samples of the last hour, oldest first; its worker writes them."""
    samples = ResourceSample.objects.filter(host=current().host_name, minute__gte=at - HOUR)
    return list(samples.order_by("minute", "pk"))


def resources(measured: Mapping[str, object], *, history: History) -> dict[str, object]:
    """Resources as the API shows them; null is what was not measured, or has no history yet."""
    series: dict[str, tuple[list[float], list[float]]] = {
        "cpu": ([s.cpu_percent for s in history], [s.cpu_percent for s in history]),
        "memory": _shares([(s.memory_used_bytes, s.memory_total_bytes) for s in history]),
        "disk": _shares([(s.disk_used_bytes, s.disk_total_bytes) for s in history]),
    }
    found: dict[str, object] = {}
    for name, (values, percents) in series.items():
        now = measured.get(name)
        value, percent = now if isinstance(now, tuple) else (None, None)
        most = max([*values, value]) if values and value is not None else max(values, default=None)
        found[name] = {"current": value, "max": most, "percentage": _rounded(percent), "trend": trend(percents)}
    unknown = dict.fromkeys(("bytes_in", "bytes_out", "packets_in", "packets_out"))
    return {**found, "network": measured.get("network", unknown)}


def traffic(at: datetime) -> list[Tally]:
    """The API requests of the last hour, all processes together: what is stored and what this one still counts."""
    rows = RequestMinute.objects.filter(minute__gt=at - HOUR)
    tallies = {
        (row.minute, row.process): Tally(
            minute=row.minute, process=row.process, count=row.count, errors=row.errors, buckets=add_up([row.buckets])
        )
        for row in rows
    }
    tallies |= {(tally.minute, tally.process): tally for tally in counter.waiting() if tally.minute > at - HOUR}
    return list(tallies.values())


def api(traffic: Sequence[Tally], *, at: datetime) -> Reading:
    """What the callers of the API met in the last five minutes."""
    count, p95, errors = _window(traffic, at=at)
    minutes = int(WINDOW.total_seconds() // 60)
    if p95 is None or errors is None:
        return Reading("api", None, f"No request in the last {minutes} minutes", last_check=at)
    figures = {"requests": count, "error_rate_percent": _rounded(errors), "window_seconds": WINDOW.total_seconds()}
    if count < ENOUGH_REQUESTS:
        words = f"Only {count} requests in the last {minutes} minutes: too few to judge by"
        return Reading("api", None, words, response_time_seconds=p95, figures=figures, last_check=at)
    words = f"95 % of {count} requests within {1000 * p95:.0f} ms, {errors:.1f} % failed"
    status = judge_api(p95_seconds=p95, error_percent=errors)
    return Reading("api", status, words, response_time_seconds=p95, figures=figures, last_check=at)


def performance(traffic: Sequence[Tally], *, at: datetime) -> dict[str, object]:
    """The four figures of API.md, and in `notes` why one of them is not known."""
    notes = {"uptime_percent": "Sysops does not keep a history of its own uptime yet"}
    _, p95, errors = _window(traffic, at=at)
    if p95 is None:
        notes["response_time_seconds"] = notes["error_rate_percent"] = "No request in the last five minutes"
    first = min((tally.minute for tally in traffic), default=at)
    span = (at - first).total_seconds()
    hourly = sum(tally.count for tally in traffic) * HOUR.total_seconds() / span if span >= 60 else None
    if hourly is None:
        notes["throughput_per_hour"] = "Counted for less than a minute so far"
    elif span < 3300:
        notes["throughput_per_hour"] = f"Rate of the last {span / 60:.0f} minutes: no older counts"
    return {
        "response_time_seconds": p95,
        "throughput_per_hour": None if hourly is None else round(hourly),
        "error_rate_percent": _rounded(errors),
        "uptime_percent": None,
        "notes": notes,
    }


def unknown_performance(why: str) -> dict[str, object]:
    """The four figures when none can be known."""
    names = ("response_time_seconds", "throughput_per_hour", "error_rate_percent", "uptime_percent")
    return {**dict.fromkeys(names), "notes": dict.fromkeys(names, why)}


def _window(traffic: Sequence[Tally], *, at: datetime) -> tuple[int, float | None, float | None]:
    """Count, p95 and share of errors of the last five minutes."""
    recent = [tally for tally in traffic if tally.minute > at - WINDOW]
    count = sum(tally.count for tally in recent)
    p95 = percentile(add_up(tally.buckets for tally in recent), 0.95)
    errors = 100 * sum(tally.errors for tally in recent) / count if count else None
    return count, p95, errors


def _shares(pairs: Sequence[tuple[int, int]]) -> tuple[list[float], list[float]]:
    return [float(used) for used, _ in pairs], [100 * used / total for used, total in pairs if total]


def _rounded(value: object) -> float | None:
    return round(value, 2) if isinstance(value, int | float) else None
