"""Restoring a physical backup to a new place, checked there, with a server left running if so wished."""

import time
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from backups.engines import scratch
from backups.engines.base import Check, EngineError, Outcome, Restored, RestoreJob, Tools
from backups.engines.postgres import checks as look_at
from backups.engines.postgres import server, target, tools, unpack
from backups.engines.postgres.prove import server_failed, superuser, toolset_for
from backups.engines.postgres.server import PrivateServer
from backups.engines.postgres.tools import Toolset
from backups.engines.scratch import make_private
from backups.engines.work import Work


def restore(job: RestoreJob) -> Restored:
    """The cluster in `folder`/data, with what was checked. Raises EngineError when it is not right."""
    work = Work(control=job.control, tools=job.tools)
    toolset = toolset_for(job.chain[-1], job.tools)
    made: list[Check] = []
    with target.new(job) as place:
        try:
            data = unpack.rebuild(job.chain, place, work=work, toolset=toolset, checks=made, durable=True)
        except unpack.Broken as exc:
            raise EngineError(f"The backup is not right: {exc}", code="backup_corrupt", permanent=True) from None
        figures = job.chain[-1].figures
        settings = server.needed_settings(server.control_data(data, work=work, toolset=toolset))
        target.keep_source_configuration(data)
        made += check_in_place(place, work=work, toolset=toolset, figures=figures, settings=settings)
        finish(job, place, work=work, toolset=toolset, settings=settings)
    return Restored(made)


def check_in_place(
    place: Path, *, work: Work, toolset: Toolset, figures: Mapping[str, object], settings: Mapping[str, str]
) -> list[Check]:
    """Start the restored cluster on a private socket, look at it, stop it; raises EngineError when a check failed."""
    data, beside = place / "data", place / ".check"
    make_private(beside, work.tools.os_user)
    work.say("starting the restored server")
    made: list[Check] = []
    started = time.monotonic()
    try:
        with server.running(
            data, beside=beside, work=work, toolset=toolset, superuser=superuser(figures),
            settings={**settings, **server.QUIET, "autovacuum": "off"},
        ) as restored:  # fmt: skip
            seconds = time.monotonic() - started
            made.append(
                Check("server_starts", Outcome.PASSED, "The restored server came up and left recovery", {}, seconds)
            )
            before = _with_amcheck(restored)
            made += look_at.look(restored, figures=figures, work=work, toolset=toolset)
            _drop_amcheck(restored, keep=before)
    except server.ServerDied as exc:
        made.append(server_failed(exc, time.monotonic() - started))
    finally:
        target.remove_folder(beside)
    made.append(look_at.checksums(data, work=work, toolset=toolset))
    wrong = [check for check in made if check.outcome is Outcome.FAILED]
    said = "; ".join(f"{check.name}: {check.detail}" for check in wrong)
    if wrong:
        raise EngineError(f"What was restored is not right: {said}", code="backup_corrupt", permanent=True)
    if made[0].outcome is not Outcome.PASSED:
        raise EngineError(made[0].detail, code="cannot_here")
    return made


def finish(job: RestoreJob, place: Path, *, work: Work, toolset: Toolset, settings: Mapping[str, str]) -> None:
    """A configuration of its own, everything on the disk, and every path as it will be at the target."""
    (place / "data" / "postmaster.opts").unlink(missing_ok=True)  # how it was started here, to be checked
    target.write_configuration(place, target=job.target, settings=settings, os_user=work.tools.os_user)
    target.make_durable(place / "data", work=work, toolset=toolset)
    target.point_tablespaces(place, job.target)


def start_server(job: RestoreJob) -> str:
    """Leave the cluster at `job.target` running; how to connect to it."""
    work = Work(control=job.control, tools=job.tools)
    toolset = tools.find(job.tools, ["postgres", "pg_ctl"], major=tools.major_of(job.target), as_server_user=True)
    dbname = str(job.source.settings.get("dbname") or "postgres")
    return target.start(
        job.target, superuser=superuser(job.chain[-1].figures), dbname=dbname, work=work, toolset=toolset
    )


def stop_server(target_dir: Path, tools_here: Tools) -> None:
    """No server runs on the restored cluster afterwards. Raises EngineError when that is not so, or not certain."""
    data = target_dir / "data"
    if not data.exists():
        return
    if scratch.server_of(data) is None:
        scratch.require_gone(data)
        return
    toolset = tools.find(tools_here, ["pg_ctl"], major=tools.major_of(target_dir), as_server_user=True)
    target.stop(target_dir, toolset, os_user=tools_here.os_user)


def server_is_gone(target_dir: Path) -> bool:
    """Whether it is certain that no server runs on the restored cluster. Changes nothing."""
    data = target_dir / "data"
    if scratch.server_of(data) is not None:
        return False
    try:
        scratch.require_gone(data)
    except EngineError:
        return False
    return True


def _databases(restored: PrivateServer) -> list[str]:
    with psycopg.connect(restored.conninfo(), autocommit=True) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1").fetchall()
    return [str(name) for (name,) in rows]


def _with_amcheck(restored: PrivateServer) -> set[str]:
    """The databases that have the extension of their own."""
    found = set()
    for name in _databases(restored):
        with psycopg.connect(restored.conninfo(name), autocommit=True) as connection:
            if connection.execute("SELECT FROM pg_extension WHERE extname = 'amcheck'").fetchone() is not None:
                found.add(name)
    return found


def _drop_amcheck(restored: PrivateServer, *, keep: set[str]) -> None:
    """What pg_amcheck installed for its work does not stay in a restored database."""
    for name in _databases(restored):
        if name not in keep:
            with psycopg.connect(restored.conninfo(name), autocommit=True) as connection:
                connection.execute(sql.SQL("DROP EXTENSION IF EXISTS amcheck"))
