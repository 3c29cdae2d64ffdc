"""Our own manifest: what it says of files that are not what they were, and what it tells a person."""

import errno
import io
import json
import os
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from backups import manifest
from backups.engines.base import Cancelled, Outcome
from backups.manifest import FileRecord
from backups.stores.base import StoredFile
from backups.stores.local import LocalStore, _in_words
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


class Troubled(LocalStore):
    """A store that cannot open (or read) one file, as often as it is told."""

    errors: list[int]
    in_the_middle = False

    def open(self, key: str, name: str) -> BinaryIO:
        if name != "base.tar.gz" or not self.errors:
            return super().open(key, name)
        if not self.in_the_middle:
            number = self.errors.pop()
            with _in_words(f"read {name}"):
                raise OSError(number, os.strerror(number))
        return cast(BinaryIO, Breaking(self.errors))


class Breaking(io.BytesIO):
    """An open file that fails when it is read."""

    def __init__(self, errors: list[int]) -> None:
        super().__init__()
        self.errors = errors

    def read(self, size: int | None = -1) -> bytes:
        number = self.errors.pop()
        raise OSError(number, os.strerror(number))


OF_THIS_MACHINE = (
    errno.EACCES, errno.EPERM, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOMEM, errno.ETIMEDOUT,
)  # fmt: skip


@pytest.mark.parametrize("in_the_middle", [False, True])
@pytest.mark.parametrize(
    ("errors", "outcome"),
    [
        *[([number], Outcome.COULD_NOT) for number in OF_THIS_MACHINE],
        ([errno.EIO], Outcome.PASSED),
        ([errno.EIO, errno.EIO], Outcome.FAILED),
        ([errno.EACCES, errno.EIO], Outcome.COULD_NOT),
    ],
)
def test_a_file_that_could_not_be_read_is_not_called_corrupt_unless_the_disk_says_so_twice(
    store: LocalStore, tmp_path: Path, errors: list[int], outcome: Outcome, in_the_middle: bool
) -> None:
    records, _ = seal(store)
    troubled = Troubled({"path": str(tmp_path / "store")})
    troubled.errors, troubled.in_the_middle = list(errors), in_the_middle

    check = manifest.verify(troubled, KEY, records)

    assert check.outcome is outcome
    assert ("base.tar.gz" in check.detail) is (outcome is not Outcome.PASSED)


def test_what_is_seen_to_be_wrong_counts_although_another_file_could_not_be_read(
    store: LocalStore, tmp_path: Path
) -> None:
    records, stored = seal(store)
    (stored / "backup_manifest").unlink()
    troubled = Troubled({"path": str(tmp_path / "store")})
    troubled.errors = [errno.EACCES]

    check = manifest.verify(troubled, KEY, records)

    assert check.outcome is Outcome.FAILED
    assert check.figures["missing"] == ["backup_manifest"]
    assert list(cast(dict[str, str], check.figures["could_not_read"])) == ["base.tar.gz"]


def test_a_folder_that_may_not_be_listed_is_not_called_corrupt(store: LocalStore, tmp_path: Path) -> None:
    records, _ = seal(store)

    class Closed(LocalStore):
        def files(self, key: str) -> list[StoredFile]:
            raise PermissionError(errno.EACCES, "Permission denied")

    assert manifest.verify(Closed({"path": str(tmp_path / "store")}), KEY, records).outcome is Outcome.COULD_NOT


def test_a_link_in_the_place_of_a_file_is_a_fault(store: LocalStore) -> None:
    records, stored = seal(store)
    (stored / "base.tar.gz").unlink()
    (stored / "base.tar.gz").symlink_to("/etc/hostname")

    assert manifest.verify(store, KEY, records).outcome is Outcome.FAILED


def test_whoever_watches_is_asked_often_also_within_one_file(store: LocalStore, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []

    def watch(done: int, total: int) -> None:
        heard.append((done, total))

    records, _ = seal(store, {"large": bytes(20 << 20)})
    manifest.verify(store, KEY, records, watch=watch)
    manifest.build(tmp_path / "store", watch=watch)

    steps = [b - a for (a, _), (b, _) in pairwise(heard)]
    assert max(steps) <= 64 << 20
    assert len(heard) >= 40


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
