"""Our own proof of what a backup's files were: names, sizes and SHA-256, and a note that explains them by itself."""

import contextlib
import errno
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeVar

from backups.engines.base import Check, Outcome
from backups.stores.base import NotStored, Store, StoreError

SIDECAR = "sysops-backup.json"
CHUNK_BYTES = 1 << 20
NAMED_AT_MOST = 20
# The disk, or the file system that checks it, has lost what was written (ext4 and XFS say the latter two).
DISK_ERRORS = frozenset({errno.EIO, errno.EBADMSG, getattr(errno, "EUCLEAN", errno.EIO)})

T = TypeVar("T")


@dataclass(frozen=True)
class FileRecord:
    """One file as it was when the backup was made."""

    name: str
    size_bytes: int
    sha256: str

    def as_json(self) -> dict[str, object]:
        """As it is kept with the backup's record."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, object]) -> "FileRecord":
        """From what `as_json` gave."""
        return cls(str(kept["name"]), int(str(kept["size_bytes"])), str(kept["sha256"]))


Watch = Callable[[int, int], None]


def build(directory: Path, *, watch: Watch | None = None) -> list[FileRecord]:
    """Every file below `directory`, by name. `watch(done, total)` hears of the bytes read and may raise."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())
    total, done = sum(path.stat().st_size for path in paths), 0
    records = []
    for path in paths:
        with path.open("rb") as file:
            size, digest = _digest(file, _from(done, total, watch))
        done += size
        records.append(FileRecord(path.relative_to(directory).as_posix(), size, digest))
    return records


def verify(
    store: Store, key: str, manifest: Iterable[FileRecord], *, watch: Watch | None = None, name: str = "manifest"
) -> Check:
    """Read every stored file of the backup from the first byte to the last and hold it against the manifest.

    Constant memory. Missing, extra, short, long and changed files are named, and fail. What could not be read for
    reasons of this machine (rights, handles, time-outs …) says nothing of the backup: "could not verify". What the
    disk cannot read fails when it cannot read it a second time either. What `watch(done, total)` raises goes through.
    """
    started = time.monotonic()
    expected = {record.name: record for record in manifest}
    total = sum(record.size_bytes for record in expected.values())
    if not expected:
        return Check(name, Outcome.COULD_NOT, "There is no manifest to hold the files against", {})
    looked = _Looked(files=len(expected))
    try:
        present = _twice(lambda: {file.name for file in store.files(key)})
    except NotStored as exc:
        return Check(name, Outcome.FAILED, str(exc), {"files": len(expected)}, time.monotonic() - started)
    except (StoreError, OSError) as exc:
        outcome = Outcome.FAILED if _of_the_files(exc) else Outcome.COULD_NOT
        return Check(name, outcome, str(exc), {"files": len(expected)}, time.monotonic() - started)
    for extra in sorted(present - set(expected)):
        looked.fault("extra", extra)
    for record in expected.values():
        if record.name not in present:
            looked.fault("missing", record.name)
        else:
            _look(store, key, record, looked, _from(looked.read, total, watch))
        looked.read += record.size_bytes
    return looked.check(name, time.monotonic() - started)


def seal(directory: Path, *, description: Mapping[str, object], watch: Watch | None = None) -> list[FileRecord]:
    """The manifest of the files in `directory`, with the note that explains them written beside them.

    The note (`sysops-backup.json`) lets a person understand and restore the backup when Sysops' own database
    is gone; it lists the other files, and its own record is in the answer. Call it before the store's commit.
    """
    (directory / SIDECAR).unlink(missing_ok=True)
    records = build(directory, watch=watch)
    note = {
        "what": "A backup made by Sysops. The files beside this note are its parts; `files` gives their SHA-256.",
        **description,
        "restore_by_hand": restore_by_hand(str(description.get("engine", ""))),
        "files": [record.as_json() for record in records],
    }
    data = (json.dumps(note, indent=2, ensure_ascii=False, default=str) + "\n").encode()
    (directory / SIDECAR).write_bytes(data)
    return [*records, FileRecord(SIDECAR, len(data), hashlib.sha256(data).hexdigest())]


def restore_by_hand(engine: str) -> list[str]:
    """The steps for a person who has only these files and the engine's own tools."""
    return _BY_HAND.get(engine, [f"Use the tools of the engine {engine!r} named in `engine_version`."])


_BY_HAND = {
    "postgres": [
        "Take this backup and every backup it stands on (follow `parent` up to the one of type full).",
        "For each: make an empty folder with mode 0700; extract base.tar* into it, pg_wal.tar* into its pg_wal folder "
        "and copy backup_manifest into it. A file <oid>.tar* is a tablespace: extract it into a folder of its own "
        "and let pg_tblspc/<oid> be a symbolic link to that folder.",
        "Check each with: pg_verifybackup <folder>",
        "With more than one: pg_combinebackup <full folder> … <newest folder> -o <new folder> (oldest first; -T for "
        "tablespaces). With one: use its folder as it is.",
        "Remove tablespace_map when you made the links yourself. Look through postgresql.conf and "
        "postgresql.auto.conf: archive_command and primary_conninfo still point at the old surroundings.",
        "Start a server of the same major version: pg_ctl -D <folder> start; wait until pg_is_in_recovery() is false.",
        "Check: pg_amcheck --all --install-missing --heapallindexed; stop; pg_checksums --check -D <folder>.",
    ],
    "postgres-dump": [
        "Start an empty PostgreSQL server of the same or a newer major version.",
        "Roles: psql -f globals.sql postgres (passwords are not in it).",
        "Data: pg_restore --create --exit-on-error -d postgres database.dump",
        "Check: pg_amcheck --all --install-missing --heapallindexed",
    ],
}


@dataclass
class _Looked:
    """What was seen of the stored files, fault by fault."""

    files: int
    read: int = 0
    faults: dict[str, list[str]] = field(default_factory=dict)
    obstacles: dict[str, str] = field(default_factory=dict)  # file: why it could not be looked at

    def fault(self, kind: str, name: str) -> None:
        self.faults.setdefault(kind, []).append(name)

    def check(self, name: str, seconds: float) -> Check:
        found = {kind: names[:NAMED_AT_MOST] for kind, names in self.faults.items()}
        figures: dict[str, object] = {"files": self.files, "bytes": self.read, **found}
        said = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in found.items())
        if self.obstacles:
            named = dict(list(self.obstacles.items())[:NAMED_AT_MOST])
            figures["could_not_read"] = named
            unseen = "; ".join(f"{file} could not be read: {why}" for file, why in named.items())
            said = f"{said}; {unseen}" if said else unseen
        if found:
            return Check(name, Outcome.FAILED, f"The stored files are not what was written: {said}", figures, seconds)
        if self.obstacles:
            return Check(name, Outcome.COULD_NOT, said, figures, seconds)
        detail = f"{self.files} files, {self.read} bytes: all as they were written"
        return Check(name, Outcome.PASSED, detail, figures, seconds)


def _look(store: Store, key: str, record: FileRecord, looked: _Looked, watch: Callable[[int], None] | None) -> None:
    def read() -> tuple[int, str]:
        with contextlib.closing(store.open(key, record.name)) as file:
            return _digest(file, watch)

    try:
        size, digest = _twice(read)
    except NotStored:
        looked.fault("missing", record.name)
    except (StoreError, OSError) as exc:
        if _of_the_files(exc):
            looked.fault("unreadable", record.name)
        else:
            looked.obstacles[record.name] = str(exc)
    else:
        if size != record.size_bytes:
            looked.fault("short" if size < record.size_bytes else "long", record.name)
        elif digest != record.sha256:
            looked.fault("changed", record.name)


def _twice(read: Callable[[], T]) -> T:
    """What `read` gives; asked a second time when the disk said that it could not, which may pass."""
    try:
        return read()
    except (StoreError, OSError) as exc:
        if not _of_the_disk(exc):
            raise
    return read()


def _of_the_disk(exc: StoreError | OSError) -> bool:
    if isinstance(exc, OSError):
        return exc.errno in DISK_ERRORS
    return exc.code == "disk"


def _of_the_files(exc: StoreError | OSError) -> bool:
    """Whether it tells of the stored files, and not of what this machine may, or has left."""
    return _of_the_disk(exc) or (isinstance(exc, StoreError) and exc.code in ("symlink", "bad_name"))


def _from(done: int, total: int, watch: Watch | None) -> Callable[[int], None] | None:
    return (lambda size: watch(done + size, total)) if watch else None


def _digest(file: BinaryIO, watch: Callable[[int], None] | None) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        if watch:
            watch(size)
    return size, digest.hexdigest()
