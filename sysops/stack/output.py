"""Standard output that holds nobody up: what its reader does not take in time is dropped, and counted."""

import contextlib
import os
import sys
import threading
from typing import TextIO

MOST_BYTES = 1024 * 1024  # lines that wait for a reader
LAST_SECONDS = 2.0


class Output:
    """Writes lines in a thread. A terminal that was stopped, or a log's reader that hangs, must not stop Sysops."""

    def __init__(self, stream: TextIO | None = None, *, most_bytes: int = MOST_BYTES) -> None:
        stream = stream or sys.stdout
        self._fd = stream.fileno() if stream else None  # there is none when it was closed before we began
        self._most = most_bytes
        self._changed = threading.Condition()
        self._waiting: list[bytes] = []
        self._size = self._dropped = 0
        self._ended = False
        # A daemon, and not through the stream's own buffer: a write that hangs must not hang our end, too.
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def say(self, name: str, line: str) -> None:
        """One line of a program, with the program's name in front."""
        data = f"{name:<15} | {line}\n".encode(errors="replace")
        with self._changed:
            if self._size + len(data) > self._most:
                self._dropped += 1
                return
            self._waiting.append(data)
            self._size += len(data)
            self._changed.notify()

    def close(self, *, seconds: float = LAST_SECONDS) -> None:
        """Write what waits, for so long at most."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        while data := self._next():
            # Nobody reads any more (`sysops up | head`), the disk of the log is full, or the terminal is gone.
            with contextlib.suppress(OSError):
                self._write(data)

    def _next(self) -> bytes:
        """All that waits, or nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended)
            data, self._waiting = b"".join(self._waiting), []
            if self._dropped:
                data += f"{'sysops':<15} | {self._dropped} lines were dropped: nobody read them in time\n".encode()
            self._size = self._dropped = 0
        return data

    def _write(self, data: bytes) -> None:
        while data and self._fd is not None:
            data = data[os.write(self._fd, data) :]
