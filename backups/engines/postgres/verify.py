"""Verifying a stored physical backup where it lies, without extracting it."""

from collections.abc import Sequence
from pathlib import Path

from backups.engines.base import Check, Control, EngineError, Link, Outcome, Tools
from backups.engines.postgres import tools as pg_tools
from backups.engines.postgres.unpack import TAR_FILE, judge_verifybackup, run_verifybackup
from backups.engines.work import Work

READS_TAR_SINCE = 18
NAME = "pg_verifybackup"


def verify_files(link: Link, tools: Tools, control: Control) -> Sequence[Check]:
    """pg_verifybackup of the tar files against the backup's own manifest; WAL is parsed when it is proven."""
    figures: dict[str, object] = {"backup_id": link.backup_id}
    major = int(str(link.figures.get("server_version_num") or 0)) // 10000
    try:
        toolset = pg_tools.find(tools, [NAME], major=major)
    except EngineError as exc:
        return [Check(NAME, Outcome.COULD_NOT, str(exc), {**figures, "code": exc.code})]
    if toolset.major < READS_TAR_SINCE:
        detail = f"{NAME} {toolset.version} cannot read tar files (18 can); the restore proves this backup instead"
        return [Check(NAME, Outcome.COULD_NOT, detail, figures)]
    work = Work(control=control, tools=tools)
    work.say("verifying the stored files")
    ours = [
        f"--ignore={p.name}" for p in link.path.iterdir() if p.name != "backup_manifest" and not TAR_FILE.match(p.name)
    ]
    argv: list[str | Path] = [toolset[NAME], "--no-parse-wal", *ours, link.path]
    return [
        judge_verifybackup(run_verifybackup(argv, work=work), name=NAME, figures=figures, of=f"backup {link.backup_id}")
    ]
