"""What every store must do. A driver's tests inherit StoreContract and give it a `store` fixture.

Nothing here assumes that stored files lie on this machine, except `stage` and `local`, which say so.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backups import manifest
from backups.engines.base import Outcome
from backups.stores.base import NotStored, Store, StoreError

KEY = "shop-db/0199-1"
OTHER = "shop-db/0199-2"
FILES = {"base.tar.gz": b"base" * 1000, "backup_manifest": b"{}", "16384/inner.tar": b"\x00\xff" * 300}


def put(store: Store, key: str = KEY, files: dict[str, bytes] | None = None) -> str:
    """Stage the files and commit them."""
    write(store.stage(key), files or FILES)
    return store.commit(key)


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def read(store: Store, key: str, name: str) -> bytes:
    with store.open(key, name) as file:
        return file.read()


class StoreContract:
    """Inherit it, and give a fixture `store` that returns an empty store."""

    def test_it_has_a_name_a_label_and_a_schema_of_its_settings(self, store: Store) -> None:
        assert store.name
        assert store.label
        assert store.settings_schema["type"] == "object"

    def test_a_new_staging_folder_is_empty(self, store: Store) -> None:
        write(store.stage(KEY), FILES)

        assert list(store.stage(KEY).iterdir()) == []

    def test_what_was_committed_is_read_back_byte_for_byte(self, store: Store) -> None:
        put(store)

        assert {file.name: read(store, KEY, file.name) for file in store.files(KEY)} == FILES
        assert {file.name: file.size_bytes for file in store.files(KEY)} == {n: len(d) for n, d in FILES.items()}

    def test_files_come_in_the_order_of_their_names(self, store: Store) -> None:
        put(store)

        assert [file.name for file in store.files(KEY)] == sorted(FILES)

    def test_commit_says_where_the_backup_is(self, store: Store) -> None:
        assert "0199-1" in put(store)

    def test_a_commit_can_be_stopped_between_files_and_then_stores_nothing(self, store: Store) -> None:
        write(store.stage(KEY), FILES)
        asked: list[int] = []

        def stop() -> None:
            asked.append(1)
            if len(asked) == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.commit(KEY, watch=stop)

        assert list(store.keys()) == []

    def test_nothing_staged_is_visible_before_commit(self, store: Store) -> None:
        write(store.stage(KEY), FILES)

        assert list(store.keys()) == []
        with pytest.raises(NotStored):
            store.files(KEY)

    def test_committing_again_after_a_crash_finds_it_done(self, store: Store) -> None:
        location = put(store)

        assert store.commit(KEY) == location
        assert read(store, KEY, "backup_manifest") == b"{}"

    def test_committing_what_was_never_staged_is_an_error(self, store: Store) -> None:
        with pytest.raises(StoreError):
            store.commit(KEY)

    def test_a_stored_backup_is_never_overwritten(self, store: Store) -> None:
        put(store)
        write(store.stage(KEY), {"base.tar.gz": b"other"})

        with pytest.raises(StoreError, match="stored already"):
            store.commit(KEY)
        assert read(store, KEY, "base.tar.gz") == FILES["base.tar.gz"]

    def test_discard_forgets_what_was_staged_and_may_be_repeated(self, store: Store) -> None:
        write(store.stage(KEY), FILES)

        store.discard(KEY)
        store.discard(KEY)

        assert list(store.staged_keys()) == []
        with pytest.raises(StoreError):
            store.commit(KEY)

    def test_discard_leaves_the_stored_backup_alone(self, store: Store) -> None:
        put(store)

        store.discard(KEY)

        assert read(store, KEY, "backup_manifest") == b"{}"

    def test_remove_takes_one_backup_and_may_be_repeated(self, store: Store) -> None:
        put(store, KEY)
        put(store, OTHER)

        store.remove(KEY)
        store.remove(KEY)

        assert list(store.keys()) == [OTHER]

    def test_keys_lists_everything_stored_in_order(self, store: Store) -> None:
        for key in ("b/2", "a/9", "b/1"):
            put(store, key)
        write(store.stage("a/unfinished"), FILES)

        assert list(store.keys()) == ["a/9", "b/1", "b/2"]
        assert list(store.staged_keys()) == ["a/unfinished"]

    def test_what_is_not_stored_is_said_to_be_not_stored(self, store: Store) -> None:
        put(store)

        with pytest.raises(NotStored):
            store.open(OTHER, "base.tar.gz")
        with pytest.raises(NotStored):
            store.open(KEY, "no-such-file")
        with pytest.raises(NotStored), store.local(OTHER):
            pass

    def test_a_stored_backup_can_be_had_as_a_folder(self, store: Store) -> None:
        put(store)

        with store.local(KEY) as folder:
            assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == FILES

    @pytest.mark.parametrize(
        "key", ["", "a", "a/b/c", "../b", "a/..", "a/../b", "/a/b", "a//b", ".staging/x", "a/b\0", "a/ b"]
    )
    def test_a_key_that_is_no_key_is_refused(self, store: Store, key: str) -> None:
        for call in (store.stage, store.commit, store.discard, store.files, store.remove):
            with pytest.raises(StoreError, match="not a key"):
                call(key)

    @pytest.mark.parametrize("name", ["", "..", "../0199-2/base.tar.gz", "/etc/passwd", "a/../../x", "a\0b"])
    def test_a_file_name_that_leads_elsewhere_is_refused(self, store: Store, name: str) -> None:
        put(store, KEY)
        put(store, OTHER)

        with pytest.raises(StoreError):
            store.open(KEY, name)

    def test_a_symbolic_link_is_not_stored(self, store: Store, tmp_path: Path) -> None:
        folder = store.stage(KEY)
        (tmp_path / "secret").write_text("x")
        (folder / "link").symlink_to(tmp_path / "secret")

        with pytest.raises(StoreError, match="symbolic link"):
            store.commit(KEY)
        assert list(store.keys()) == []

    def test_it_knows_its_free_room_or_says_that_it_does_not(self, store: Store) -> None:
        free, total = store.free_bytes(), store.total_bytes()

        assert free is None or free > 0
        assert total is None or (free is not None and total >= free)

    def test_its_check_passes_and_leaves_nothing(self, store: Store) -> None:
        store.check()

        assert list(store.keys()) == []
        assert list(store.staged_keys()) == []

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(place=st.integers(min_value=0), bit=st.integers(0, 7))
    def test_one_flipped_bit_anywhere_is_found(self, store: Store, place: int, bit: int) -> None:
        key = "flip/1"
        store.remove(key)
        folder = store.stage(key)
        write(folder, FILES)
        records = manifest.seal(folder, description={"engine": "postgres"})
        name, offset = _somewhere(records, place)
        flip(folder / name, offset, bit)
        store.commit(key)

        check = manifest.verify(store, key, records)

        assert check.outcome is Outcome.FAILED
        assert check.figures["changed"] == [name]


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """Change one bit of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        old = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([old ^ (1 << bit)]))


def _somewhere(records: list[manifest.FileRecord], place: int) -> tuple[str, int]:
    """The file and the offset of the byte number `place`, counted through all files and around."""
    place %= sum(record.size_bytes for record in records)
    for record in records:
        if place < record.size_bytes:
            return record.name, place
        place -= record.size_bytes
    raise AssertionError("unreachable")
