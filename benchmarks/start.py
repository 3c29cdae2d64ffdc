"""How long `sysops up` takes to be ready, first and later, and what the idle stack holds in memory.

    .venv/bin/python -m benchmarks.start

Memory is given twice: the sum of each process's resident set, which counts a page shared by several processes once for
each of them, and the sum of proportional sets, which counts it once.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator

import psutil

from benchmarks.common import a_home
from tests.running import Sysops
from tests.services import free_port


def ready_after(sysops: Sysops) -> float:
    started = time.perf_counter()
    sysops.start()
    return time.perf_counter() - started


def held(processes: Iterable[psutil.Process]) -> Iterator[tuple[int, int]]:
    """The resident and proportional bytes of each; some end while we look."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found = process.memory_full_info()
            yield found.rss, found.pss


def main() -> None:
    with a_home() as home:
        sysops = Sysops.below(home.dir / "up", port=free_port())
        print(f"first start: ready after {ready_after(sysops):.1f} s")
        sysops.sign_in()
        started = time.perf_counter()
        sysops.wait_status("1", "succeeded", seconds=120)
        while sysops.backup("1")["verification"]["status"] != "passed":  # type: ignore[index]
            time.sleep(0.2)
        print(f"first backup succeeded and proven {time.perf_counter() - started:.1f} s after that")
        sysops.stop()
        print(f"later start: ready after {ready_after(sysops):.1f} s; goal < 15 s")
        time.sleep(30)
        supervisor = psutil.Process(sysops.process.pid)
        found = list(held([supervisor, *supervisor.children(recursive=True)]))
        rss, pss = sum(rss for rss, _ in found) / 1e6, sum(pss for _, pss in found) / 1e6
        print(f"idle, {len(found)} processes: proportional {pss:.0f} MB, resident summed {rss:.0f} MB; goal < 900 MB")
        started = time.perf_counter()
        sysops.stop()
        print(f"stopped after {time.perf_counter() - started:.1f} s; goal < 30 s")


if __name__ == "__main__":
    main()
