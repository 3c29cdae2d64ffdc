"""A store on a disk that is really too small: a tmpfs, mounted in a namespace of the test's own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import MakeCluster

ROOT = Path(__file__).parents[2]

# Runs where mounts are its own: as root in a mount namespace, otherwise in a user namespace as well.
IN_NAMESPACE = """
import json, subprocess, sys
from pathlib import Path

place, port, password = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=True)

import django
django.setup()
from dataclasses import replace
from backups.engines.base import engines
from backups.rules import BackupType
from backups.services import config, requests, runs
from backups.workshop import here
from sysops.kernel.clock import utc_now
from tests.backups.support import TESTER, make_policy

def store_row(size):
    subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)

at = utc_now()
store = config.create_store(slug="small", name="Small", driver="local", settings={"path": str(place)}, by=TESTER, at=at)
source = config.create_source(
    slug="full-disk", name="F", engine="postgres", policy=make_policy(store=store), by=TESTER, at=at,
    settings={"host": "127.0.0.1", "port": port, "user": "sysops", "password": password, "dbname": "postgres"},
)
backup = requests.request_backup(source=source, backup_type=BackupType.FULL, by=TESTER, at=at)
runs.execute_backup(backup_id=backup.pk, workshop=here())
backup.refresh_from_db()
left = [str(p) for p in place.rglob("*") if p.is_file()]
first = [backup.status, backup.failure_code, backup.failure_reason, left]

store_row("200m")
backup.not_before = at
backup.save(update_fields=["not_before"])
runs.execute_backup(backup_id=backup.pk, workshop=here())
backup.refresh_from_db()
print(json.dumps({"first": first, "second": [backup.status, backup.attempt, backup.failure_reason]}))
"""


@pytest.mark.timeout(400)
@pytest.mark.django_db(transaction=True)
def test_a_full_disk_is_named_leaves_nothing_and_the_next_try_succeeds_when_there_is_room(
    make_cluster: MakeCluster, child_environ: dict[str, str], tmp_path: Path
) -> None:
    cluster = make_cluster()
    place = tmp_path / "store"
    place.mkdir()
    unshare = shutil.which("unshare")
    assert unshare, "This test needs unshare from util-linux"
    own_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]

    done = subprocess.run(
        [unshare, *own_user, "--mount", sys.executable, "-c", IN_NAMESPACE, place, str(cluster.port), cluster.password],
        cwd=ROOT,
        env={**child_environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    status, code, reason, left = found["first"]
    assert (status, code, left) == ("queued", "no_space", [])
    assert "room" in reason
    assert found["second"] == ["succeeded", 2, ""]
