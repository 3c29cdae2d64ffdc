"""Where a restore lies: every attempt fills a folder of its own beside the target, and the whole of it moves there.

A worker that was cut off and wakes up late finds its own folder or nothing, never the folder of the next attempt.
"""

import contextlib
import errno
import logging
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backups.engines.base import EngineError

logger = logging.getLogger(__name__)

MARK = ".sysops-restore"  # in a folder that was moved to its target and whose success is not recorded yet
ATTEMPT_NAME = re.compile(r".*\.attempt-\d+-\d+(?:\.removed)?\Z", re.DOTALL)
LONGEST_NAME_BYTES = 200  # the attempt's name is longer, and 255 is the file systems' limit

Stop = Callable[[Path], None]


class Taken(Exception):
    """The target has something in it."""


@dataclass(frozen=True)
class Place:
    """The target of a restore and the folder of one attempt at it, on the same file system."""

    target: Path
    restore: int
    attempt: int

    @property
    def tag(self) -> str:
        """Names this attempt among all attempts of all restores."""
        return f"{self.restore}-{self.attempt}"

    @property
    def folder(self) -> Path:
        """What this attempt fills, and nobody else."""
        return self.target.with_name(f"{self.target.name}.attempt-{self.tag}")

    @property
    def _doomed(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.removed")

    @property
    def reached(self) -> bool:
        """Whether what lies in the target is what this attempt moved there."""
        return _mark(self.target) == self.tag

    @property
    def is_there(self) -> bool:
        """Whether anything of this attempt lies about."""
        return self.reached or self.folder.exists() or self._doomed.exists()

    def settle(self) -> None:
        """Move the filled folder to the target, all at once. Raises Taken or EngineError, and nothing has moved."""
        try:
            (self.folder / MARK).write_text(self.tag)
            self.folder.rename(self.target)  # replaces an empty folder, and nothing else
            _sync(self.target.parent)
        except OSError as exc:
            if exc.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise Taken(f"{self.target} has something in it by now; ask for a new folder") from None
            raise EngineError(f"{self.folder} could not be moved to {self.target}: {exc.strerror}") from None

    def keep(self) -> None:
        """The restore is recorded: from now on the target is the operator's."""
        if self.reached:
            (self.target / MARK).unlink()

    def remove(self, stop: Stop) -> None:
        """Nothing of this attempt is left, in its folder or in the target; other attempts are not touched.

        `stop` ends a server that runs in the folder it is given.
        """
        self._take_back()
        for path in (self.folder, self._doomed):
            if path.is_dir() and not path.is_symlink():
                _try(stop, path)
        with contextlib.suppress(FileNotFoundError):
            self.folder.rename(self._doomed)  # by one step: a late worker of this attempt must not settle half of it
        shutil.rmtree(self._doomed, ignore_errors=True)
        if self._doomed.exists():
            logger.warning("%s could not be removed whole; it is tried again later", self._doomed)

    def _take_back(self) -> None:
        if not self.reached:
            return
        with contextlib.suppress(OSError):
            self.target.rename(self.folder)
            if _mark(self.folder) != self.tag:  # another attempt's arrived between the look and the move
                self.folder.rename(self.target)


def _mark(folder: Path) -> str | None:
    try:
        return (folder / MARK).read_text()
    except OSError:
        return None


def _try(stop: Stop, folder: Path) -> None:
    try:
        stop(folder)
    except EngineError as exc:
        # A server notices that its data folder is gone and ends itself.
        logger.warning("A server in %s may run on for a minute: %s", folder, exc)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
