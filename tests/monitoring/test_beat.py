"""A real scheduler is seen by what it sends."""

import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from monitoring import processes
from monitoring.rules import Status


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.django_db(transaction=True)
def test_a_running_scheduler_is_healthy_and_a_dead_one_is_noticed(
    child_environ: Mapping[str, str], tmp_path: Path
) -> None:
    assert processes.beat(timezone.now()).status is None  # nothing is scheduled before the first start

    with (tmp_path / "beat.log").open("wb") as log:
        argv = [sys.executable, "-m", "celery", "-A", "sysops", "beat", "--pidfile="]
        beat = subprocess.Popen(argv, env=dict(child_environ), stdout=log, stderr=log)
    try:
        until = time.monotonic() + 100
        while not PeriodicTask.objects.filter(interval__isnull=False, total_run_count__gt=0).exists():
            assert beat.poll() is None, (tmp_path / "beat.log").read_text()
            assert time.monotonic() < until, (tmp_path / "beat.log").read_text()
            time.sleep(0.2)
        now = timezone.now()
        found = processes.beat(now)
    finally:
        beat.kill()
        beat.wait(10)

    assert found.status is Status.HEALTHY
    assert found.details.startswith("Sent its last task")
    assert processes.beat(now + timedelta(minutes=2)).status is Status.DEGRADED
    assert processes.beat(now + timedelta(minutes=4)).status is Status.UNHEALTHY
