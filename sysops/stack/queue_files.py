"""Starts Valkey on files it can load: `python -I -S queue_files.py FOLDER SOCKET SERVER [ARGUMENT …]`.

Runs by itself in the place of the server, without Sysops on the path, and then becomes it: the supervisor takes the
exit status of every child of its own, so it cannot look into the files itself.

Valkey is the judge of its files, by a trial start that listens on SOCKET only. Its wheel brings no `valkey-check-aof`,
and what the server does under that name calls its own healthy files damaged, and a cut end too, which Valkey loads.
Files are only moved away when Valkey starts without them and not with them: a full disk or a wrong option costs no
queue.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

FILES = "appendonlydir"
EMPTY = "trial"
KEPT = 2
LAST_LINES = 20
LOOK_SECONDS = 0.02
STOP_SECONDS = 10.0
LAUNCH = Path(__file__).with_name("launch.py")
# Somebody ended it, or the machine had no memory: that says nothing about the files.
NO_VERDICT = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT}


def main(arguments: list[str]) -> None:
    """Move away what SERVER cannot load from FOLDER, then become SERVER."""
    folder, trial, *server = arguments
    try:
        if (Path(folder) / FILES).exists():
            mend(Path(folder), trial=Path(trial), server=server)
    except OSError as exc:
        _say(f"Whether the queue's files can be loaded could not be found out: {exc}")
    os.execvp(server[0], server)  # noqa: S606 (becoming it is the point)


def mend(folder: Path, *, trial: Path, server: list[str]) -> None:
    """Move the files away if it is they that the server refuses."""
    status, said = _ends(folder, trial=trial, server=server)
    if status is None or status in NO_VERDICT or not _starts_empty(folder, trial=trial, server=server):
        return
    for line in said.splitlines()[-LAST_LINES:]:
        _say(line)
    aside = folder / f"{FILES}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    (folder / FILES).rename(aside)
    for old in sorted(folder.glob(f"{FILES}.damaged-*"))[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    _say(
        "The queue's files are damaged and cannot be loaded (the lines above say why); starting with an empty queue. "
        f"Nothing is lost: all work is in the database and is sent again within minutes. The files are kept in {aside}"
    )


def _starts_empty(folder: Path, *, trial: Path, server: list[str]) -> bool:
    empty = folder / EMPTY
    shutil.rmtree(empty, ignore_errors=True)
    empty.mkdir(mode=0o700)
    try:
        return _ends(empty, trial=trial, server=server)[0] is None
    finally:
        shutil.rmtree(empty, ignore_errors=True)


def _ends(folder: Path, *, trial: Path, server: list[str]) -> tuple[int | None, str]:
    """The exit status and the words of a server that is to load what lies in `folder`; None for one that answers."""
    said: list[str] = []
    with subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", str(LAUNCH), "0", "SIGKILL", "-", "-", *server),
            *("--dir", str(folder), "--unixsocket", str(trial), "--auto-aof-rewrite-percentage", "0"),
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as child:  # fmt: skip
        reader = threading.Thread(target=lambda: said.append(child.stdout.read() if child.stdout else ""), daemon=True)
        reader.start()
        try:
            while child.poll() is None and not _answers(trial):
                time.sleep(LOOK_SECONDS)
            status = child.poll()
        finally:
            _stop(child)
            trial.unlink(missing_ok=True)
        reader.join()
    return status, "".join(said)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        try:
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _stop(child: "subprocess.Popen[str]") -> None:
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()  # what we become knows nothing of it


if __name__ == "__main__":
    main(sys.argv[1:])
