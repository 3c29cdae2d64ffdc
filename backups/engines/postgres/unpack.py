"""From stored tar files back to a data folder: extracted, verified link by link, and only then combined."""

import os
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from backups.engines.base import Check, EngineError, Link, Outcome
from backups.engines.postgres import reasons
from backups.engines.postgres.basebackup import MANIFEST
from backups.engines.postgres.reasons import last_lines
from backups.engines.postgres.tools import Toolset
from backups.engines.scratch import give, make_private
from backups.engines.work import Work
from sysops.kernel import process

TAR_FILE = re.compile(r"(?P<stem>base|pg_wal|\d+)\.tar(?P<packed>\.(?:gz|lz4|zst))?\Z")
_UNPACKERS = {"": (), ".gz": ("-z",), ".lz4": ("-I", "lz4"), ".zst": ("-I", "zstd")}
SPARE_BYTES = 64 << 20


class Broken(Exception):
    """The stored files cannot be turned into a data folder: carries the check that failed."""

    def __init__(self, check: Check) -> None:
        super().__init__(check.detail)
        self.check = check


def rebuild(
    chain: Sequence[Link], place: Path, *, work: Work, toolset: Toolset, checks: list[Check], durable: bool = False
) -> Path:
    """Make `place`/data (and `place`/tablespaces) from the chain; adds what was checked to `checks`.

    Every link is verified before they are combined: pg_combinebackup launders corruption. Raises Broken
    (its check is added too) when the stored files are not right.
    """
    require_room(chain, place)
    try:
        if len(chain) == 1:
            _link_ready(chain[0], place, work=work, toolset=toolset, checks=checks)
        else:
            _combine(chain, place, work=work, toolset=toolset, checks=checks, durable=durable)
    except Broken as exc:
        checks.append(exc.check)
        raise
    data = place / "data"
    # The links of the tablespaces are ours; the map would lead the server to the source's folders.
    (data / "tablespace_map").unlink(missing_ok=True)
    for name in ("standby.signal", "recovery.signal", "postmaster.pid", "postmaster.opts"):
        (data / name).unlink(missing_ok=True)
    return data


def require_room(chain: Sequence[Link], place: Path) -> None:
    """Raises EngineError `no_space`, with the figures, when what must be written does not fit."""
    sizes = [unpacked_bytes(link) for link in chain]
    needed = sum(sizes) + (max(sizes) if len(sizes) > 1 else 0) + SPARE_BYTES
    free = shutil.disk_usage(place).free
    if free < needed:
        raise EngineError(
            f"Restoring needs about {needed} bytes in {place}, and {free} are free; make room or choose another folder",
            code="no_space",
        )


def unpacked_bytes(link: Link) -> int:
    """How much the stored files of the link will take, as its own manifest says (constant memory)."""
    total = 0
    try:
        with (link.path / MANIFEST).open("rb") as file:
            for line in file:
                if match := re.search(rb'"Size": (\d+)', line):
                    total += int(match[1])
    except OSError:
        total = 0  # said by the verification of the link
    return total + sum(p.stat().st_size for p in link.path.glob("pg_wal.tar*")) + (16 << 20)


def _combine(
    chain: Sequence[Link], place: Path, *, work: Work, toolset: Toolset, checks: list[Check], durable: bool
) -> None:
    folders = []
    for number, link in enumerate(chain):
        folder = place / f"link-{number}"
        make_private(folder, work.tools.os_user)
        _link_ready(link, folder, work=work, toolset=toolset, checks=checks)
        folders.append(folder)
    work.say("combining")
    started = time.monotonic()
    spaces = place / "tablespaces"
    argv: list[str | Path] = [toolset["pg_combinebackup"], "-o", place / "data", "--no-manifest"]
    if toolset.major >= 18:
        argv.append("--link")  # the links are ours to use up: no second copy of every file
    if not durable:
        argv.append("--no-sync")
    for oid, old in tablespaces(folders[-1] / "data").items():
        spaces.mkdir(exist_ok=True, mode=0o700)
        give(spaces, work.tools.os_user)
        argv.append(f"--tablespace-mapping={old}={spaces / oid}")
    result = work.run([*argv, *(folder / "data" for folder in folders)], as_server_user=True)
    seconds = time.monotonic() - started
    if result.returncode < 0 or (result.returncode and reasons.cannot_look(result.words)):
        raise reasons.obstacle(f"combining: {last_lines(result.words) or f'signal {-result.returncode}'}")
    if result.returncode != 0:
        raise Broken(Check("combine", Outcome.FAILED, last_lines(result.words), {"links": len(chain)}, seconds))
    checks.append(
        Check(
            "combine", Outcome.PASSED, f"{len(chain)} links combined into one cluster", {"links": len(chain)}, seconds
        )
    )
    for folder in folders:
        shutil.rmtree(folder)


def tablespaces(data: Path) -> dict[str, str]:
    """Where the links of the tablespaces lead, by oid."""
    folder = data / "pg_tblspc"
    return {p.name: os.readlink(p) for p in sorted(folder.iterdir()) if p.is_symlink()} if folder.is_dir() else {}


def _link_ready(link: Link, place: Path, *, work: Work, toolset: Toolset, checks: list[Check]) -> None:
    _extract(link, place, work=work)
    checks.append(verify_plain(link, place / "data", work=work, toolset=toolset))
    if checks[-1].outcome is Outcome.FAILED:
        raise Broken(checks.pop())


def _extract(link: Link, place: Path, *, work: Work) -> None:
    data = place / "data"
    make_private(data, work.tools.os_user)
    files = sorted(link.path.iterdir(), key=lambda p: (not p.name.startswith("base."), p.name))
    total = sum(path.stat().st_size for path in files)
    done = 0
    for path in files:
        work.say("extracting", done, total)
        done += path.stat().st_size
        match = TAR_FILE.match(path.name)
        if match:
            _untar(link, path, _destination(match["stem"], place, work), match["packed"] or "", work=work)
    _no_stray_links(data)
    for space in sorted((place / "tablespaces").glob("*")):
        link_path = data / "pg_tblspc" / space.name
        link_path.unlink(missing_ok=True)
        link_path.parent.mkdir(exist_ok=True, mode=0o700)
        link_path.symlink_to(space)
    try:
        _copy(link.path / MANIFEST, data / MANIFEST)
    except OSError as exc:
        said = str(exc.strerror)
        if not isinstance(exc, FileNotFoundError) and not reasons.disk_failed(said):
            raise reasons.obstacle(str(exc)) from None
        raise Broken(_unreadable(link, MANIFEST, said)) from None
    give(data / MANIFEST, work.tools.os_user)


def _copy(source: Path, copy: Path) -> None:
    """Tried again when the disk could not read it."""
    try:
        shutil.copyfile(source, copy)
    except OSError as exc:
        if not reasons.disk_failed(str(exc.strerror)):
            raise
        shutil.copyfile(source, copy)


def _destination(stem: str, place: Path, work: Work) -> Path:
    if stem == "base":
        return place / "data"
    user = work.tools.os_user
    if stem == "pg_wal":
        path = place / "data" / "pg_wal"
    else:
        (place / "tablespaces").mkdir(exist_ok=True, mode=0o700)
        give(place / "tablespaces", user)
        path = place / "tablespaces" / stem
    if not path.is_dir():
        make_private(path, user)
    return path


def _untar(link: Link, path: Path, into: Path, packed: str, *, work: Work) -> None:
    """As the servers' OS user, reading our open file: the store may be closed to that user."""
    argv: list[str | Path] = ["tar", "-x", *_UNPACKERS[packed], "-f", "-", "-C", into, "--no-same-owner"]
    result = work.run(argv, as_server_user=True, stdin=path)
    if result.returncode > 0 and reasons.disk_failed(result.words):
        result = work.run(argv, as_server_user=True, stdin=path)
    if result.returncode == 0:
        return
    said = last_lines(result.words)
    if "No space left" in result.words:
        raise EngineError(f"No room left in {into} while extracting {path.name}", code="no_space")
    if result.returncode < 0 or reasons.cannot_look(result.words):
        raise reasons.obstacle(f"{path.name} into {into}: {said or f'tar died of signal {-result.returncode}'}")
    if "Cannot exec" in said or "not found" in said:
        raise EngineError(f"{path.name} cannot be unpacked here: {said}", code="tool_missing", permanent=True)
    raise Broken(_unreadable(link, path.name, said))


def _unreadable(link: Link, name: str, said: str) -> Check:
    detail = f"{name} of backup {link.backup_id} cannot be unpacked: {said}"
    return Check("unpack", Outcome.FAILED, detail, {"backup_id": link.backup_id, "file": name})


def _no_stray_links(data: Path) -> None:
    """No symbolic link of the source stays: it would lead a restored server to live folders of this machine."""
    for folder, names, files in os.walk(data):
        for name in [*names, *files]:
            path = Path(folder, name)
            if path.is_symlink():
                path.unlink()


def verify_plain(link: Link, data: Path, *, work: Work, toolset: Toolset) -> Check:
    """pg_verifybackup of one extracted link, its WAL parsed too."""
    work.say(f"verifying {link.backup_type} backup {link.backup_id}")
    figures: dict[str, object] = {"backup_id": link.backup_id, "type": str(link.backup_type)}
    argv: list[str | Path] = [toolset["pg_verifybackup"], "--exit-on-error", data]
    result = run_verifybackup(argv, work=work, as_server_user=True)
    return judge_verifybackup(result, name="verify_link", figures=figures, of=f"backup {link.backup_id}")


def run_verifybackup(argv: list[str | Path], *, work: Work, as_server_user: bool = False) -> process.Result:
    """What it said; of its second run, when the disk failed it in the first."""
    result = work.run(argv, as_server_user=as_server_user)
    if result.returncode > 0 and reasons.disk_failed(f"{result.stdout}\n{result.stderr}"):
        result = work.run(argv, as_server_user=as_server_user)
    return result


_FAULTS = re.compile(
    "present on disk but not|present in (?:the manifest|archive)|has size|should contain|checksum|CRC is incorrect|"
    "control file|not a regular file|not expected in a tar|duplicate path|backup manifest|could not decompress|"
    "tar archive|tar member"
)


def judge_verifybackup(result: process.Result, *, name: str, figures: dict[str, object], of: str) -> Check:
    """What a run of pg_verifybackup showed: its words are read, its exit code alone is not believed.

    What it says of files is a fault of the backup; that it could not run or open something here is none.
    """
    lines = [line for line in f"{result.stdout}\n{result.stderr}".splitlines() if line.strip()]
    if result.returncode < 0:
        detail = f"pg_verifybackup died of signal {-result.returncode} and says nothing of {of}"
        return Check(name, Outcome.COULD_NOT, detail, figures, result.seconds)
    if result.returncode == 0 and any("successfully verified" in line for line in lines):
        return Check(name, Outcome.PASSED, f"pg_verifybackup: {of} is as its manifest says", figures, result.seconds)
    unseen = [line for line in lines if reasons.cannot_look(line)]
    faults = [line for line in lines if line not in unseen and _FAULTS.search(line)]
    if not lines or (unseen and not faults):
        said = last_lines("\n".join(unseen)) or f"it ended with {result.returncode} and said nothing"
        detail = f"pg_verifybackup could not look at {of}: {said}"
        return Check(name, Outcome.COULD_NOT, detail, figures, result.seconds)
    said = last_lines("\n".join(faults or lines))
    return Check(name, Outcome.FAILED, f"pg_verifybackup of {of}: {said}", figures, result.seconds)
