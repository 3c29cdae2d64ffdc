"""What a backup store is: where finished backups lie. Local today, objects (S3) by the same six calls."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar, Protocol

from sysops.kernel.registry import Registry


class StoreError(Exception):
    """The store could not do it; `permanent` says that trying again cannot help, `code` is a stable word."""

    def __init__(self, message: str, *, code: str = "store", permanent: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.permanent = permanent


class NotStored(StoreError):
    """Nothing is stored under this key."""


@dataclass(frozen=True)
class StoredFile:
    """A file of a stored backup: `name` is relative, with forward slashes."""

    name: str
    size_bytes: int


class Store(Protocol):
    """A place for backups. A key is "<source>/<backup id>-<attempt>"; both parts are safe as file names.

    Work happens in a staging folder on this machine; `commit` makes all of it visible under the key at
    once, or nothing. Everything may be called again after a crash.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    settings_schema: ClassVar[Mapping[str, object]]

    def __init__(self, settings: Mapping[str, object]) -> None: ...

    def stage(self, key: str) -> Path:
        """An empty folder on this machine to fill; what an earlier attempt left in it is gone."""
        ...

    def commit(self, key: str, *, watch: Callable[[], None] | None = None) -> str:
        """Make the staged files durable and visible; returns the location in words people can follow.

        `watch` is called between files and may raise: then nothing is stored.
        """
        ...

    def discard(self, key: str) -> None:
        """Remove the staged files of the key; nothing there is no error."""
        ...

    def files(self, key: str) -> list[StoredFile]:
        """What is stored under the key, by name. Raises NotStored."""
        ...

    def open(self, key: str, name: str) -> BinaryIO:
        """One stored file, to be read from the start. Raises NotStored."""
        ...

    def local(self, key: str) -> AbstractContextManager[Path]:
        """A folder on this machine with the stored files, to be read only; fetched first where need be."""
        ...

    def remove(self, key: str) -> None:
        """Remove what is stored under the key; nothing there is no error."""
        ...

    def keys(self) -> Iterator[str]:
        """The keys of everything stored, in order."""
        ...

    def staged_keys(self) -> Iterator[str]:
        """The keys of everything staged on this machine."""
        ...

    def free_bytes(self) -> int | None:
        """Room left, or None where the store has no such figure."""
        ...

    def total_bytes(self) -> int | None:
        """Room in all, or None where the store has no such figure."""
        ...

    def check(self) -> None:
        """Write, read and remove a small thing. Raises StoreError with the reason and the remedy."""
        ...


stores: Registry[type[Store]] = Registry("backup store", group="sysops.backup_stores")
