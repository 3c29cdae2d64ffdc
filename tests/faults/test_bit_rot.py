"""One byte of a real stored backup flipped, anywhere: found, every time."""

import random
from pathlib import Path

import pytest

from backups import manifest
from backups.engines.base import Outcome
from backups.engines.postgres.engine import PostgresEngine
from backups.rules import BackupType
from backups.services import config, requests, runs
from backups.stores.local import LocalStore
from backups.workshop import here
from sysops.kernel.clock import utc_now
from tests.backups.support import TESTER, make_policy
from tests.services import MakeCluster

PLACES = 100


@pytest.mark.timeout(400)
@pytest.mark.django_db(transaction=True)
def test_of_a_hundred_bytes_flipped_at_random_a_hundred_are_found(make_cluster: MakeCluster, tmp_path: Path) -> None:
    cluster, at = make_cluster(), utc_now()
    store_row = config.create_store(
        slug="rot", name="Rot", driver="local", settings={"path": str(tmp_path / "store")}, by=TESTER, at=at
    )
    settings = {
        "host": cluster.host,
        "port": cluster.port,
        "user": cluster.user,
        "password": cluster.password,
        "dbname": "postgres",
    }
    source = config.create_source(
        slug="rot",
        name="Rot",
        engine=PostgresEngine.name,
        settings=settings,
        policy=make_policy(store=store_row),
        by=TESTER,
        at=at,
    )
    backup = requests.request_backup(source=source, backup_type=BackupType.FULL, by=TESTER, at=at)
    runs.execute_backup(backup_id=backup.pk, workshop=here())
    backup.refresh_from_db()
    assert backup.status == "succeeded", backup.failure_reason
    store = LocalStore({"path": str(tmp_path / "store")})
    records = [manifest.FileRecord.from_json(entry) for entry in backup.manifest]
    folder = Path(backup.location)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert {path.name for path in files} == {record.name for record in records}
    assert manifest.verify(store, backup.key, records).outcome is Outcome.PASSED

    chance, found = random.Random(20261121), 0
    sizes = [path.stat().st_size for path in files]
    for _ in range(PLACES):
        (path,) = chance.choices(files, weights=sizes)
        offset = chance.randrange(path.stat().st_size)
        _flip(path, offset)
        check = manifest.verify(store, backup.key, records)
        found += check.outcome is Outcome.FAILED and path.name in check.detail
        _flip(path, offset)

    assert found == PLACES
    assert manifest.verify(store, backup.key, records).outcome is Outcome.PASSED


def _flip(path: Path, offset: int) -> None:
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))
