"""A Sysops full backup beside bare pg_basebackup: same server, same options, same file system, taken in turns.

    .venv/bin/python -m benchmarks.backup_ratio [--gigabytes 1.0] [--runs 5] [--compression none|gzip]

Prints each pair, the median ratio, and the highest memory of the worker's processes while it worked (without the tool
it runs, which is the same on both sides). Sysops' time is the record's own: from the claim to the record of success,
hashing of every file included; the verification that follows is waited for and not counted.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import threading
import time
from datetime import datetime
from pathlib import Path

import psutil

from benchmarks.common import a_cluster, a_home
from tests.running import Sysops, until
from tests.services import Home, SourceCluster, free_port


def fill(cluster: SourceCluster, gigabytes: float) -> int:
    """Rows until the database is as large; its size in bytes."""
    cluster.execute("CREATE TABLE filler (id bigint, a text, b text)")
    goal = gigabytes * 1e9
    step = 500_000
    while (size := int(str(cluster.execute("SELECT pg_database_size('postgres')")[0][0]))) < goal:
        cluster.execute(
            "INSERT INTO filler SELECT g, md5(g::text), repeat(md5(random()::text), 4)"
            f" FROM generate_series(1, {step}) g"
        )
    cluster.execute("CREATE INDEX ON filler (id)")
    cluster.execute("CHECKPOINT")
    return size


def bare(cluster: SourceCluster, home: Home, folder: Path, compression: str) -> float:
    """Seconds of pg_basebackup itself, with the options Sysops gives it."""
    target = folder / "bare"
    argv = [
        str(cluster.bin_dir / "pg_basebackup"),
        *("-h", cluster.host, "-p", str(cluster.port), "-U", cluster.user, "-D", str(target), "-Ft", "-X", "stream"),
        *("--manifest-checksums=SHA256", "--checkpoint=fast", "--no-password", "--progress"),
        *(() if compression == "none" else (f"--compress=client-{compression}:1",)),
    ]
    started = time.perf_counter()
    subprocess.run(
        argv, check=True, env={**os.environ, "PGPASSWORD": cluster.password}, stderr=subprocess.DEVNULL, timeout=900
    )
    seconds = time.perf_counter() - started
    shutil.rmtree(target)
    return seconds


class Memory:
    """The highest resident memory of each of the worker's processes, without the tools they run."""

    def __init__(self, sysops: Sysops) -> None:
        self.sysops = sysops
        self.highest = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            for process in self.sysops.processes("worker", "backups@"):
                try:
                    self.highest = max(self.highest, process.memory_info().rss)
                except psutil.Error:
                    continue


def ours(sysops: Sysops) -> float:
    """Seconds of a Sysops full backup, by its own record."""
    pk = sysops.ask("big")
    shown = sysops.wait_status(pk, "succeeded", "failed", seconds=900)
    assert shown["status"] == "succeeded", shown
    started, ended = (datetime.fromisoformat(str(shown[name])) for name in ("started_at", "completed_at"))

    def verified() -> bool:
        verification = sysops.backup(pk)["verification"]
        assert isinstance(verification, dict)
        return verification["status"] in ("passed", "failed")

    until(verified, seconds=900, what="verified")
    shutil.rmtree(str(shown["location"]))
    return (ended - started).total_seconds()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--gigabytes", type=float, default=1.0)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--compression", choices=["none", "gzip"], default="gzip")
    given = options.parse_args()
    with a_home() as home, a_cluster(home, "big") as cluster:
        size = fill(cluster, given.gigabytes)
        sysops = Sysops.below(home.dir / "up", port=free_port())
        sysops.start()
        try:
            sysops.sign_in()
            sysops.add_source("big", cluster, compression=given.compression)
            bare(cluster, home, home.dir, given.compression)  # warm-up, not counted
            ratios = []
            with Memory(sysops) as memory:
                for _ in range(given.runs):
                    alone, with_us = bare(cluster, home, home.dir, given.compression), ours(sysops)
                    ratios.append(with_us / alone)
                    print(
                        f"pg_basebackup {alone:7.2f} s   Sysops {with_us:7.2f} s   ratio {ratios[-1]:.3f}", flush=True
                    )
        finally:
            sysops.stop()
    print(f"database {size / 1e9:.2f} GB, compression {given.compression}, {given.runs} pairs")
    print(f"median ratio {statistics.median(ratios):.3f} (min {min(ratios):.3f}, max {max(ratios):.3f}); goal ≤ 1.15")
    print(f"highest resident memory of a worker process {memory.highest / 1e6:.0f} MB; goal < 200 MB")


if __name__ == "__main__":
    main()
