"""Proving a physical backup: restored into scratch, started, looked at, removed."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from backups.engines import scratch
from backups.engines.base import Check, EngineError, Link, Outcome, ProveJob, Tools
from backups.engines.postgres import checks as look_at
from backups.engines.postgres import server, tools, unpack
from backups.engines.postgres.tools import Toolset
from backups.engines.work import Work

NEEDED = (
    "postgres",
    "pg_verifybackup",
    "pg_combinebackup",
    "pg_controldata",
    "pg_waldump",
    "pg_amcheck",
    "pg_checksums",
    "initdb",
    "pg_ctl",
)
CANNOT = frozenset({"tool_missing", "version_mismatch"})


def prove(job: ProveJob) -> Sequence[Check]:
    """Every check with its figures. Nothing is left of it, whatever happens."""
    work = Work(control=job.control, tools=job.tools)
    made: list[Check] = []
    try:
        toolset = toolset_for(job.chain[-1], job.tools)
        with scratch.folder(job.tools, job.chain[-1].backup_id) as place:
            _prove_in(place, job, work, toolset, made)
    except unpack.Broken:
        pass  # its check is among those made
    except EngineError as exc:
        if exc.code not in CANNOT:
            raise
        made.append(Check("restore", Outcome.COULD_NOT, str(exc), {"code": exc.code}))
    return made


def _prove_in(place: Path, job: ProveJob, work: Work, toolset: Toolset, made: list[Check]) -> None:
    data = unpack.rebuild(job.chain, place, work=work, toolset=toolset, checks=made)
    figures = job.chain[-1].figures
    settings = {**server.needed_settings(server.control_data(data, work=work, toolset=toolset)), **server.QUIET}
    work.say("starting the restored server")
    started = time.monotonic()
    try:
        with server.running(
            data, beside=place, work=work, toolset=toolset, superuser=superuser(figures),
            settings={**settings, **server.THROW_AWAY},
        ) as restored:  # fmt: skip
            made.append(_server_started(time.monotonic() - started))
            made += look_at.look(restored, figures=figures, work=work, toolset=toolset)
            database = str(job.source.settings.get("dbname") or "postgres")
            made += look_at.custom(restored, job.custom_checks, database=database, work=work)
    except server.ServerDied as exc:
        made.append(server_failed(exc, time.monotonic() - started))
    made.append(look_at.checksums(data, work=work, toolset=toolset))


def toolset_for(link: Link, tools_here: Tools) -> Toolset:
    """The tools of the backup's own major version: no other can start what it holds. Raises EngineError."""
    major = int(str(link.figures.get("server_version_num") or 0)) // 10000
    if not major:
        raise EngineError("The backup's record does not say its PostgreSQL version", code="version_mismatch")
    return tools.find(tools_here, NEEDED, major=major, as_server_user=True)


def superuser(figures: Mapping[str, object]) -> str:
    """A role that can sign in to the restored server and see everything."""
    return str(figures.get("superuser") or "postgres")


def _server_started(seconds: float) -> Check:
    return Check("server_starts", Outcome.PASSED, "The restored server came up and left recovery", {}, seconds)


def server_failed(exc: server.ServerDied, seconds: float) -> Check:
    """A restored server that does not come up is a failure, unless this machine could never have run it."""
    if exc.cannot_here:
        return Check("server_starts", Outcome.COULD_NOT, f"The tools here cannot run this cluster: {exc}", {}, seconds)
    return Check("server_starts", Outcome.FAILED, f"The restored server did not come up: {exc}", {}, seconds)
