"""Our own proof of what a backup's files were: names, sizes and SHA-256, and a note that explains them by itself."""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from backups.engines.base import Check, Outcome
from backups.stores.base import NotStored, Store, StoreError

SIDECAR = "sysops-backup.json"
CHUNK_BYTES = 1 << 20
NAMED_AT_MOST = 20


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

    Constant memory. Missing, extra, short, long and changed files are named. `watch(done, total)` may raise
    (Cancelled and the like go through); a store that cannot be read at all gives "could not verify".
    """
    started = time.monotonic()
    expected = {record.name: record for record in manifest}
    total = sum(record.size_bytes for record in expected.values())
    faults: dict[str, list[str]] = {
        "missing": [],
        "extra": [],
        "short": [],
        "long": [],
        "changed": [],
        "unreadable": [],
    }
    done = 0
    if not expected:
        return Check(name, Outcome.COULD_NOT, "There is no manifest to hold the files against", {})
    try:
        present = {file.name for file in store.files(key)}
    except NotStored as exc:
        return Check(name, Outcome.FAILED, str(exc), {"files": len(expected)}, time.monotonic() - started)
    except StoreError as exc:
        outcome = Outcome.FAILED if exc.code == "symlink" else Outcome.COULD_NOT
        return Check(name, outcome, str(exc), {"files": len(expected)}, time.monotonic() - started)
    faults["extra"] = sorted(present - set(expected))
    for record in expected.values():
        fault = "missing" if record.name not in present else _fault(store, key, record, done, total, watch)
        if fault:
            faults[fault].append(record.name)
        done += record.size_bytes
    return _judged(name, faults, files=len(expected), read=done, seconds=time.monotonic() - started)


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


def _fault(store: Store, key: str, record: FileRecord, done: int, total: int, watch: Watch | None) -> str | None:
    try:
        with contextlib.closing(store.open(key, record.name)) as file:
            size, digest = _digest(file, _from(done, total, watch))
    except NotStored:
        return "missing"
    except (StoreError, OSError):
        return "unreadable"
    if size != record.size_bytes:
        return "short" if size < record.size_bytes else "long"
    return None if digest == record.sha256 else "changed"


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


def _judged(name: str, faults: Mapping[str, list[str]], *, files: int, read: int, seconds: float) -> Check:
    found = {kind: names[:NAMED_AT_MOST] for kind, names in faults.items() if names}
    figures: dict[str, object] = {"files": files, "bytes": read, **found}
    if not found:
        return Check(name, Outcome.PASSED, f"{files} files, {read} bytes: all as they were written", figures, seconds)
    said = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in found.items())
    return Check(name, Outcome.FAILED, f"The stored files are not what was written: {said}", figures, seconds)
