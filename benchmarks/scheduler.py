"""2 000 policies due in the same minute: claimed by two workers at once, none twice, none lost.

.venv/bin/python -m benchmarks.scheduler [--policies 2000] [--workers 2]
"""

import argparse
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

from benchmarks.common import a_home, django_on_a_database

DUE = datetime(2026, 3, 2, 2, tzinfo=UTC)

CLAIM = """
import django, sys, time
from datetime import datetime
django.setup()
from backups.services.cadence import request_due
started = time.perf_counter()
print(request_due(at=datetime.fromisoformat(sys.argv[1])), time.perf_counter() - started)
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--policies", type=int, default=2000)
    options.add_argument("--workers", type=int, default=2)
    given = options.parse_args()
    with a_home() as home, django_on_a_database(home):
        from backups.models import Backup, CadenceSlot
        from backups.services import config
        from tests.backups.support import TESTER, make_source, make_store

        store, before = make_store(), DUE - timedelta(minutes=30)
        for n in range(given.policies):
            policy = config.create_policy(
                slug=f"p{n}",
                name=f"P{n}",
                store=store,
                cadences=(config.FULL_CADENCES[0], config.CHAIN_CADENCES[1]),
                by=TESTER,
                at=before,
            )
            make_source(policy=policy, engine="postgres")
        print(
            f"{given.policies} policies, a full and a differential of each due at {DUE:%H:%M}; {given.workers} workers"
        )
        started = time.perf_counter()
        workers = [
            subprocess.Popen([sys.executable, "-c", CLAIM, DUE.isoformat()], stdout=subprocess.PIPE, text=True)
            for _ in range(given.workers)
        ]
        answers = [worker.communicate(timeout=120)[0].split() for worker in workers]
        wall = time.perf_counter() - started
        per_source = Counter(Backup.objects.values_list("source_id", flat=True))
        twice = sum(1 for count in per_source.values() if count > 1)
        print(f"claimed by each: {[int(a[0]) for a in answers]}, longest {max(float(a[1]) for a in answers):.2f} s")
        print(f"with start of the processes {wall:.2f} s; goal ≤ 10 s")
        print(f"twice {twice}, lost {given.policies - len(per_source)}")
        full = CadenceSlot.objects.filter(outcome="requested").count()
        print(f"slots: {full} requested, {CadenceSlot.objects.filter(outcome='coalesced').count()} coalesced")


if __name__ == "__main__":
    main()
