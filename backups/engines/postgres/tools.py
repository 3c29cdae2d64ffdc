"""PostgreSQL's tools on this machine: found by major version, and each shown to work before it is believed."""

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from backups.engines.base import EngineError, Tools
from sysops.kernel import process

_VERSION = re.compile(r"\(PostgreSQL\) (?P<version>(?P<major>\d+)[\w.]*)")
_USUAL = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


@dataclass(frozen=True)
class Toolset:
    """A folder of tools of one version, each of which answered."""

    bin_dir: Path
    version: str
    major: int

    def __getitem__(self, name: str) -> str:
        return str(self.bin_dir / name)


def find(
    tools: Tools, names: Sequence[str], *, major: int, newer: bool = False, as_server_user: bool = False
) -> Toolset:
    """The folder in which all of `names` work and are of `major` (or, with `newer`, of it or a later one).

    Raises EngineError `tool_missing` or `version_mismatch`, saying what was found instead.
    """
    run_as = tools.os_user if as_server_user else None
    found: list[Toolset] = []
    faults: list[str] = []
    for folder in _folders(tools):
        toolset, fault = _probe(folder, tuple(names), run_as)
        if toolset:
            found.append(toolset)
        elif fault:
            faults.append(fault)
    fitting = [t for t in found if t.major == major or (newer and t.major > major)]
    if fitting:
        return min(fitting, key=lambda t: t.major)
    wanted = f"{', '.join(names)} of PostgreSQL {major}{' or newer' if newer else ''}"
    others = [f"{t.version} in {t.bin_dir}" for t in found]
    told = "; ".join([*faults, *([f"found: {', '.join(others)}"] if others else [])]) or "none found"
    raise EngineError(
        f"Needed here: {wanted}; {told}. Install them or name their folder in SYSOPS_PG_BIN_DIRS",
        code="version_mismatch" if found and not faults else "tool_missing",
        permanent=True,
    )


def major_of(restored: Path) -> int:
    """The major version of a restored cluster. Raises EngineError when there is none."""
    try:
        return int((restored / "data" / "PG_VERSION").read_text())
    except (OSError, ValueError) as exc:
        raise EngineError(f"{restored} holds no PostgreSQL cluster: {exc}", code="no_cluster") from None


def can_compress(toolset: Toolset, method: str) -> bool:
    """Whether this pg_basebackup was built with the method: it says so before it looks for a server."""
    argv = [toolset["pg_basebackup"], "-D", "/nonexistent/sysops", "-Ft", "-h", "/nonexistent", "-w"]
    result = process.run([*argv, f"--compress=client-{method}"], time_limit=15, check=False)
    return "compression specification" not in result.stderr


def _folders(tools: Tools) -> Iterator[Path]:
    seen: set[Path] = set()
    for folder in [*tools.pg_bin_dirs, *_usual_folders()]:
        if folder not in seen:
            seen.add(folder)
            yield folder


def _usual_folders() -> Iterator[Path]:
    for pattern in _USUAL:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)
    on_path = shutil.which("pg_basebackup")
    # Debian's /usr/bin tools are a script that picks a version by its own rules.
    if on_path and Path(on_path).resolve().name != "pg_wrapper":
        yield Path(on_path).parent


def _probe(folder: Path, names: tuple[str, ...], run_as: str | None) -> tuple[Toolset | None, str | None]:
    """The folder as a toolset; or, when it has all the tools but one does not work, what is wrong."""
    paths = [folder / name for name in names]
    try:
        stats = [path.stat() for path in paths]
    except OSError:
        return None, None
    try:
        versions = [_version(path, stat.st_mtime_ns, run_as) for path, stat in zip(paths, stats, strict=True)]
    except _Broken as exc:
        return None, str(exc)
    match = _VERSION.search(versions[0])
    return (Toolset(folder, match["version"], int(match["major"])), None) if match else (None, None)


class _Broken(Exception):
    """A tool that is there and does not work."""


@lru_cache(maxsize=256)
def _version(path: Path, changed_ns: int, run_as: str | None) -> str:
    """What `--version` says. A tool that cannot even say that is broken, whatever its name promises."""
    try:
        result = process.run([path, "--version"], time_limit=15, run_as=run_as, check=False)
    except process.ProcessError as exc:
        raise _Broken(str(exc)) from None
    if result.returncode != 0 or not _VERSION.search(result.stdout):
        raise _Broken(f"{path} does not work: {result.words or f'exit code {result.returncode}'}")
    return result.stdout
