"""Our own manifest: what it says of files that are not what they were, and what it tells a person."""

import json
import tracemalloc
from pathlib import Path

import pytest

from backups import manifest
from backups.engines.base import Cancelled, Outcome
from backups.manifest import FileRecord
from backups.stores.local import LocalStore
from tests.backups.stores.contract import FILES, KEY, write


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore({"path": str(tmp_path / "store")})


def seal(store: LocalStore, files: dict[str, bytes] | None = None) -> tuple[list[FileRecord], Path]:
    folder = store.stage(KEY)
    write(folder, files or FILES)
    records = manifest.seal(folder, description={"engine": "postgres", "source": "shop-db", "parent": None})
    return records, Path(store.commit(KEY))


def test_untouched_files_pass_with_what_was_read(store: LocalStore) -> None:
    records, _ = seal(store)

    check = manifest.verify(store, KEY, records)

    assert check.outcome is Outcome.PASSED
    assert check.figures == {"files": 4, "bytes": sum(r.size_bytes for r in records)}


def test_every_kind_of_fault_is_told_by_name(store: LocalStore) -> None:
    records, stored = seal(store, dict.fromkeys(("gone", "cut", "grown", "turned", "right"), b"0123456789"))
    (stored / "gone").unlink()
    (stored / "cut").write_bytes(b"012345678")
    (stored / "grown").write_bytes(b"0123456789!")
    (stored / "turned").write_bytes(b"0123456780")
    (stored / "stranger").touch()

    check = manifest.verify(store, KEY, records)

    assert check.outcome is Outcome.FAILED
    assert {kind: check.figures[kind] for kind in ("missing", "short", "long", "changed", "extra")} == {
        "missing": ["gone"],
        "short": ["cut"],
        "long": ["grown"],
        "changed": ["turned"],
        "extra": ["stranger"],
    }
    assert "missing: gone" in check.detail
    assert "right" not in check.detail


def test_a_backup_that_is_not_there_fails(store: LocalStore) -> None:
    records, _ = seal(store)
    store.remove(KEY)

    assert manifest.verify(store, KEY, records).outcome is Outcome.FAILED


def test_without_a_manifest_nothing_is_verified(store: LocalStore) -> None:
    seal(store)

    assert manifest.verify(store, KEY, []).outcome is Outcome.COULD_NOT


def test_the_note_explains_the_backup_to_somebody_who_has_nothing_else(store: LocalStore) -> None:
    records, stored = seal(store)
    note = json.loads((stored / manifest.SIDECAR).read_text())

    assert note["source"] == "shop-db"
    assert any("pg_verifybackup" in step for step in note["restore_by_hand"])
    assert [f["name"] for f in note["files"]] == sorted(FILES)
    assert records[-1].name == manifest.SIDECAR


def test_a_record_survives_being_kept_as_json() -> None:
    record = FileRecord("base.tar", 12, "ab" * 32)

    assert FileRecord.from_json(json.loads(json.dumps(record.as_json()))) == record


def test_whoever_watches_can_stop_the_reading(store: LocalStore) -> None:
    records, _ = seal(store)

    def stop(_done: int, _total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        manifest.verify(store, KEY, records, watch=stop)


def test_memory_stays_flat_however_large_a_file_is(store: LocalStore) -> None:
    records, _ = seal(store, {"large": bytes(64 << 20)})
    tracemalloc.start()

    check = manifest.verify(store, KEY, records)

    assert check.outcome is Outcome.PASSED
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
