"""Sysops beside Bugsink in one run: accepted and worked off per second, CPU and disk per event, p99 of acceptance.

python -m benchmarks.intake [--bugsink-environment FOLDER] [--events 2000] [--rounds 3] [--stored 1000000] [--only-ours]

Both take the same envelopes (22 KB, made by sentry-sdk, gzip) over the same four keep-alive connections on loopback,
one after the other in each round, while the other one stands still. Medians of the rounds.
"""

import argparse
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.intake.parties import Bugsink, Ours, Party, send, settle

GOALS = {"accepted_per_second": 4.0, "digested_per_second": 10.0, "cpu_ms": 8.0, "p99_ms": 1.0, "disk_bytes": 2.0}
MORE_IS_BETTER = ("accepted_per_second", "digested_per_second")


@dataclass(frozen=True)
class Figures:
    """One load, worked off. CPU and disk are per event."""

    accepted_per_second: float
    digested_per_second: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float
    disk_bytes: float

    def __str__(self) -> str:
        return (
            f"accepted {self.accepted_per_second:7.0f}/s  digested {self.digested_per_second:6.0f}/s  "
            f"CPU {self.cpu_ms:6.2f} ms  p50 {self.p50_ms:5.1f} ms  p99 {self.p99_ms:6.1f} ms  "
            f"disk {self.disk_bytes / 1024:5.1f} KiB"
        )


def measured(party: Party, *, count: int, issues: int) -> Figures:
    """Send `count` events and wait until the last one is worked off."""
    before, disk, cpu = party.digested(), party.disk_bytes(), party.cpu_seconds()
    load = send(party, count=count, issues=issues)
    if load["answers"] != {"200": count}:
        raise RuntimeError(f"{party.name} answered {load['answers']}")
    ended = settle(party, expected=before + count, seconds=300)
    used = party.cpu_seconds() - cpu
    return Figures(
        accepted_per_second=count / float(str(load["seconds"])),
        digested_per_second=count / (ended - float(str(load["began_at"]))),
        cpu_ms=used / count * 1000,
        p50_ms=float(str(load["p50_ms"])),
        p99_ms=float(str(load["p99_ms"])),
        disk_bytes=(party.disk_bytes() - disk) / count,
    )


def medians(rounds: list[Figures]) -> Figures:
    names = Figures.__dataclass_fields__
    return Figures(**{name: statistics.median(getattr(one, name) for one in rounds) for name in names})


def compare(ours: Figures, theirs: Figures) -> None:
    for name, goal in GOALS.items():
        mine, other = getattr(ours, name), getattr(theirs, name)
        ratio = mine / other if name in MORE_IS_BETTER else other / mine
        print(f"    {name:20} {ratio:6.1f} times better, goal {goal:g}: {'holds' if ratio >= goal else 'MISSED'}")


def rounds_of(parties: list[Party], *, rounds: int, count: int, issues: int) -> dict[str, Figures]:
    """Warm up once, then measure them in turn."""
    for party in parties:
        measured(party, count=200, issues=issues)
    kept: dict[str, list[Figures]] = {party.name: [] for party in parties}
    for _ in range(rounds):
        for party in parties:
            kept[party.name].append(measured(party, count=count, issues=issues))
            print(f"  {party.name:8} {kept[party.name][-1]}", flush=True)
    found = {name: medians(figures) for name, figures in kept.items()}
    for name, figures in found.items():
        print(f"  {name:8} {figures}   (median)", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bugsink-environment", type=Path, help="a virtual environment that has Bugsink already")
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stored", type=int, default=1_000_000, help="events stored before the last part; 0 skips it")
    parser.add_argument("--only-ours", action="store_true", help="while working on it")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        parties: list[Party] = []
        try:
            ours = Ours(Path(folder) / "sysops")
            parties.append(ours)
            if not asked.only_ours:
                parties.append(Bugsink(Path(folder) / "bugsink", environment=asked.bugsink_environment))
            found = {}
            for issues in (1, 200):
                print(f"{asked.events} events of {issues} issue(s)", flush=True)
                found[issues] = rounds_of(parties, rounds=asked.rounds, count=asked.events, issues=issues)
                if not asked.only_ours:
                    compare(found[issues]["sysops"], found[issues]["bugsink"])
            if asked.stored:
                _with_many_stored(ours, asked, found)
        finally:
            for party in parties:
                party.stop()


def _with_many_stored(ours: Ours, asked: argparse.Namespace, found: dict[int, dict[str, Figures]]) -> None:
    """Ours again with many events stored, beside the figures that Bugsink had with few."""
    ours.fill(asked.stored)
    for issues in (1, 200):
        print(f"{asked.events} events of {issues} issue(s), {asked.stored} events stored before", flush=True)
        full = rounds_of([ours], rounds=asked.rounds, count=asked.events, issues=issues)["sysops"]
        kept = full.digested_per_second / found[issues]["sysops"].digested_per_second * 100
        print(f"    digested: {kept:.0f} % of the rate without them, goal 80: {'holds' if kept >= 80 else 'MISSED'}")
        if "bugsink" in found[issues]:
            compare(full, found[issues]["bugsink"])


if __name__ == "__main__":
    main()
