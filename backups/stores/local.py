"""Backups in a folder of this machine (or one mounted here)."""

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, ClassVar

from backups.stores.base import NotStored, StoredFile, StoreError

STAGING = ".staging"
TRASH = ".trash"
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")

_CODES = {
    errno.ENOSPC: ("no_space", "the disk is full; free some room or choose another folder"),
    errno.EDQUOT: ("no_space", "the disk quota is used up; raise it or choose another folder"),
    errno.EACCES: ("permission", "this user may not; give the worker's user the right to the folder"),
    errno.EPERM: ("permission", "this user may not; give the worker's user the right to the folder"),
    errno.EROFS: ("read_only", "the file system is read-only; mount it writable"),
    errno.EIO: ("disk", "the disk reported an error; look at its health"),
}


class LocalStore:
    """A folder: `<path>/<source>/<backup>/…`. What is not finished lies in `<path>/.staging`, on the same disk.

    A backup becomes visible by one rename of a folder whose files are on the disk already, and vanishes by
    one rename, so that nobody ever sees half of one.
    """

    name: ClassVar[str] = "local"
    label: ClassVar[str] = "Local folder"
    settings_schema: ClassVar[Mapping[str, object]] = {
        "type": "object",
        "properties": {
            "path": {
                "type": "string",
                "title": "Folder",
                "description": "Absolute path of the folder.",
                "pattern": "^/",
            }
        },
        "required": ["path"],
        "additionalProperties": False,
    }

    def __init__(self, settings: Mapping[str, object]) -> None:
        path = Path(str(settings["path"]))
        if not path.is_absolute():
            raise StoreError(f"The folder of a local store must be an absolute path, not {path}", permanent=True)
        self._root = path

    def stage(self, key: str) -> Path:
        folder = self._staged(key)
        with _in_words(f"prepare {folder}"):
            self._empty_trash()
            self._throw_away(folder)
            folder.mkdir(parents=True, mode=0o700)
        return folder

    def commit(self, key: str, *, watch: Callable[[], None] | None = None) -> str:
        staged, final = self._staged(key), self._stored(key)
        with _in_words(f"store {final}"):
            if _is_folder(final):
                if _is_folder(staged):
                    raise StoreError(f"{final} is stored already", code="exists", permanent=True)
                return str(final)  # an earlier commit got this far before its caller died
            if not _is_folder(staged):
                raise NotStored(f"Nothing is staged for {key}", code="not_stored", permanent=True)
            for _ in _walk(staged, sync=True):
                if watch:
                    watch()
            _make_durable(final.parent)
            os.rename(staged, final)
            _sync(final.parent)
            _sync(staged.parent)
        return str(final)

    def discard(self, key: str) -> None:
        with _in_words(f"clear the staging folder of {key}"):
            self._throw_away(self._staged(key))
            self._empty_trash()

    def files(self, key: str) -> list[StoredFile]:
        folder = self._existing(key)
        with _in_words(f"list {folder}"):
            found = [StoredFile(path.relative_to(folder).as_posix(), size) for path, size in _walk(folder)]
        return sorted(found, key=lambda file: file.name)

    def open(self, key: str, name: str) -> BinaryIO:
        path = self._existing(key)
        parts = name.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise StoreError(f"{name!r} is not a name of a stored file", code="bad_name", permanent=True)
        for part in parts:
            path /= part
            if path.is_symlink():
                raise StoreError(f"{path} is a symbolic link; a store holds none", code="symlink", permanent=True)
        with _in_words(f"read {path}"):
            try:
                return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise NotStored(f"{key} has no file {name}", code="not_stored", permanent=True) from None

    def local(self, key: str) -> AbstractContextManager[Path]:
        return contextlib.nullcontext(self._existing(key))

    def remove(self, key: str) -> None:
        final = self._stored(key)
        with _in_words(f"remove {final}"):
            self._throw_away(final)
            self._empty_trash()
            with contextlib.suppress(OSError):
                final.parent.rmdir()  # only when it is empty

    def keys(self) -> Iterator[str]:
        with _in_words(f"list {self._root}"):
            found = list(_keys(self._root))
        yield from found

    def staged_keys(self) -> Iterator[str]:
        with _in_words(f"list {self._root / STAGING}"):
            found = list(_keys(self._root / STAGING))
        yield from found

    def free_bytes(self) -> int | None:
        return self._disk()[2]

    def total_bytes(self) -> int | None:
        return self._disk()[0]

    def _disk(self) -> tuple[int, int, int]:
        place = self._root
        while not place.exists() and place != place.parent:
            place = place.parent
        with _in_words(f"ask for the room in {place}"):
            return shutil.disk_usage(place)

    def check(self) -> None:
        with _in_words(f"write to {self._root}"):
            _make_durable(self._root)
            probe = self._root / f".check-{os.getpid()}-{secrets.token_hex(4)}"
            said = secrets.token_bytes(64)
            try:
                with probe.open("xb") as file:
                    file.write(said)
                    file.flush()
                    os.fsync(file.fileno())
                if probe.read_bytes() != said:
                    raise StoreError(f"{self._root} gave back something else than was written", code="disk")
            finally:
                probe.unlink(missing_ok=True)

    def _stored(self, key: str) -> Path:
        source, backup = _parts(key)
        return self._inside(self._root / source, backup)

    def _staged(self, key: str) -> Path:
        source, backup = _parts(key)
        return self._inside(self._root / STAGING / source, backup)

    def _inside(self, parent: Path, name: str) -> Path:
        for path in (self._root / STAGING, parent, parent / name):
            if path.is_symlink():
                raise StoreError(f"{path} is a symbolic link; a store holds none", code="symlink", permanent=True)
        return parent / name

    def _existing(self, key: str) -> Path:
        folder = self._stored(key)
        if not _is_folder(folder):
            raise NotStored(f"Nothing is stored as {key} in {self._root}", code="not_stored", permanent=True)
        return folder

    def _throw_away(self, folder: Path) -> None:
        """Out of sight by one rename; the files go afterwards, and a crash between the two is swept later."""
        trash = self._root / TRASH
        trash.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            os.rename(folder, trash / secrets.token_hex(8))
            _sync(folder.parent)

    def _empty_trash(self) -> None:
        trash = self._root / TRASH
        with contextlib.suppress(FileNotFoundError):
            for entry in list(os.scandir(trash)):
                _remove_tree(Path(entry.path))


def _parts(key: str) -> tuple[str, str]:
    parts = key.split("/")
    if len(parts) != 2 or not all(_PART.match(part) for part in parts):
        raise StoreError(f"{key!r} is not a key: <source>/<backup>, plain names", code="bad_key", permanent=True)
    return parts[0], parts[1]


def _keys(folder: Path) -> Iterator[str]:
    for source in _folders(folder):
        for backup in _folders(folder / source):
            yield f"{source}/{backup}"


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if _PART.match(e.name) and e.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _walk(folder: Path, *, sync: bool = False) -> Iterator[tuple[Path, int]]:
    """Every file below with its size; with `sync` each is on the disk when it comes. Raises on anything else."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            path, mode = Path(entry.path), entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                yield from _walk(path, sync=sync)
            elif stat.S_ISREG(mode):
                if sync:
                    _sync(path)
                yield path, entry.stat(follow_symlinks=False).st_size
            else:
                kind = "a symbolic link" if stat.S_ISLNK(mode) else "no plain file"
                raise StoreError(f"{path} is {kind}; a store holds plain files only", code="symlink", permanent=True)
    if sync:
        _sync(folder)


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _make_durable(folder: Path) -> None:
    """The folder and what is above it exist, also after a power failure."""
    missing = [folder, *folder.parents]
    missing = [path for path in missing if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in missing:
        _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_tree(path: Path) -> None:
    """Two workers may empty the same trash: what the other one removed first is no error."""
    if _is_folder(path):
        with contextlib.suppress(FileNotFoundError), os.scandir(path) as entries:
            for entry in list(entries):
                _remove_tree(Path(entry.path))
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _in_words(doing: str) -> Iterator[None]:
    """Turn what the operating system says into a StoreError with the remedy."""
    try:
        yield
    except OSError as exc:
        code, remedy = _CODES.get(exc.errno or 0, ("store", exc.strerror or "it failed"))
        raise StoreError(f"Could not {doing}: {remedy}", code=code) from exc
