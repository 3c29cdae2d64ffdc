"""The local folder as a store: the contract, and what only a file system can get wrong."""

import errno
import os
from pathlib import Path

import pytest

from backups.stores.base import NotStored, StoreError
from backups.stores.local import LocalStore
from tests.backups.stores.contract import FILES, KEY, StoreContract, put, write


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore({"path": str(tmp_path / "store")})


class TestLocalStore(StoreContract):
    pass


def test_a_relative_folder_is_refused() -> None:
    with pytest.raises(StoreError, match="absolute path"):
        LocalStore({"path": "backups"})


def test_staged_files_lie_on_the_disk_they_are_stored_on(store: LocalStore, tmp_path: Path) -> None:
    staged = store.stage(KEY)

    assert staged.is_relative_to(tmp_path / "store")
    assert staged.stat().st_dev == (tmp_path / "store").stat().st_dev


def test_every_file_and_folder_is_on_the_disk_before_the_backup_is_visible(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def remember(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    write(store.stage(KEY), FILES)
    monkeypatch.setattr(os, "fsync", remember)
    location = store.commit(KEY)

    staged = str(tmp_path / "store" / ".staging" / KEY)
    assert {f"{staged}/{name}" for name in FILES} | {f"{staged}/16384", staged} <= set(synced)
    assert synced[-2:] == [str(Path(location).parent), str(Path(staged).parent)]


def test_a_crash_in_the_middle_of_removing_leaves_nothing_visible_and_is_cleared_later(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store)
    with monkeypatch.context() as patch:
        patch.setattr("backups.stores.local._remove_tree", _crash)
        with pytest.raises(KeyboardInterrupt):
            store.remove(KEY)

    assert list(store.keys()) == []
    with pytest.raises(NotStored):
        store.files(KEY)
    store.discard("any/key")
    assert list((tmp_path / "store" / ".trash").iterdir()) == []


def _crash(_path: Path) -> None:
    raise KeyboardInterrupt


def test_a_link_in_place_of_a_folder_or_file_is_not_followed(store: LocalStore, tmp_path: Path) -> None:
    put(store)
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere / "0199-1", FILES)
    (tmp_path / "store" / "linked").symlink_to(elsewhere)
    stored = tmp_path / "store" / KEY
    (stored / "link").symlink_to("/etc/passwd")

    with pytest.raises(StoreError, match="symbolic link"):
        store.files("linked/0199-1")
    with pytest.raises(StoreError, match="symbolic link"):
        store.open(KEY, "link")
    with pytest.raises(StoreError, match="symbolic link"):
        store.files(KEY)
    with pytest.raises(StoreError, match="symbolic link"):
        store.remove("linked/0199-1")
    assert (elsewhere / "0199-1" / "base.tar.gz").exists()


def test_a_folder_that_cannot_be_written_is_said_so_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StoreError, match="Could not write to"):
        LocalStore({"path": str(tmp_path / "file" / "store")}).check()


def test_a_full_disk_is_called_no_space(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small disk of its own only root could mount: the operating system's answer is given in its stead."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write(store.stage(KEY), FILES)
    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(StoreError, match="the disk is full") as caught:
        store.commit(KEY)
    assert (caught.value.code, caught.value.permanent) == ("no_space", False)
    assert list(store.keys()) == []


def test_its_check_removes_nothing_but_what_it_wrote_itself(store: LocalStore, tmp_path: Path) -> None:
    put(store)
    trash = tmp_path / "store" / ".trash" / "removed"
    trash.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))

    store.check()

    assert sorted(tmp_path.rglob("*")) == before
