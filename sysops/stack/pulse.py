"""A worker's pulse for a container's health check: a file touched whenever the worker's loop sends its heartbeat.

Loaded with `celery worker --include sysops.stack.pulse`. `celery inspect ping` takes seconds of CPU each time and
its answer goes through the broker; this costs nothing and stops when the loop hangs or the broker is gone.
"""

import os
from pathlib import Path

from celery.signals import heartbeat_sent

FILE = Path(os.environ.get("TMPDIR", "/tmp")) / "sysops-worker-pulse"  # noqa: S108 (a container's own)


@heartbeat_sent.connect
def beat(**_: object) -> None:
    """Touch the file; every two seconds while the worker is well."""
    FILE.touch()
