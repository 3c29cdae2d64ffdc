"""The three answers of pg_verifybackup: it is right, it is wrong, it could not look."""

from pathlib import Path

import pytest

from backups.engines.base import Check, EngineError, Link, Outcome, Tools
from backups.engines.postgres import reasons
from backups.engines.postgres.engine import PostgresEngine
from backups.engines.postgres.unpack import judge_verifybackup
from sysops.kernel.process import Result
from tests.backups.engines.helpers import control, copied, flip_byte, largest_file, prove, spec, take
from tests.services import SourceCluster

GOOD = "backup successfully verified"


def judged(said: str, code: int) -> Check:
    result = Result(("pg_verifybackup",), code, 1.0, said if not code else "", said if code else "")
    return judge_verifybackup(result, name="x", figures={}, of="backup 7")


@pytest.mark.parametrize(
    ("said", "code", "outcome"),
    [
        (GOOD, 0, Outcome.PASSED),
        ("", 0, Outcome.COULD_NOT),
        (GOOD, -11, Outcome.COULD_NOT),
        ("", 1, Outcome.COULD_NOT),
        ('pg_verifybackup: error: "base/1/2" is present in the manifest but not on disk', 1, Outcome.FAILED),
        ('pg_verifybackup: error: "base/1/2" is present on disk but not in the manifest', 1, Outcome.FAILED),
        ('pg_verifybackup: error: "base/1/2" has size 5 on disk but size 8 in the manifest', 1, Outcome.FAILED),
        ('pg_verifybackup: error: checksum mismatch for file "base/1/2"', 1, Outcome.FAILED),
        ("pg_verifybackup: error: could not decompress data: invalid stored block lengths", 1, Outcome.FAILED),
        ('pg_verifybackup: error: could not open file "backup_manifest": No such file or directory', 1, Outcome.FAILED),
        ('pg_verifybackup: error: could not read file "base/1/2": Input/output error', 1, Outcome.FAILED),
        ('pg_verifybackup: error: WAL parsing failed for timeline 1', 1, Outcome.FAILED),
        ("pg_verifybackup: error: something nobody has ever heard", 1, Outcome.FAILED),
        ('pg_verifybackup: error: could not open file "x/backup_manifest": Permission denied', 1, Outcome.COULD_NOT),
        ('pg_verifybackup: error: could not open file "base/1/2": Stale file handle', 1, Outcome.COULD_NOT),
        ('pg_verifybackup: error: could not open file "base/1/2": Too many open files in system', 1, Outcome.COULD_NOT),
        ('pg_verifybackup: error: could not read file "base/1/2": Connection timed out', 1, Outcome.COULD_NOT),
        ("pg_verifybackup: error: out of memory", 1, Outcome.COULD_NOT),
        (
            "pg_waldump: error: could not find a valid record after 0/2000028\n"
            "pg_verifybackup: error: WAL parsing failed for timeline 1",
            1,
            Outcome.FAILED,
        ),
        (
            'pg_verifybackup: error: program "pg_waldump" is needed by pg_verifybackup but was not found in the same '
            'directory as "pg_verifybackup"',
            1,
            Outcome.COULD_NOT,
        ),
        (
            'pg_waldump: error: could not open directory "pg_wal": Permission denied\n'
            "pg_verifybackup: error: WAL parsing failed for timeline 1",
            1,
            Outcome.COULD_NOT,
        ),
        (
            'pg_verifybackup: error: could not open file "base/1/3": Permission denied\n'
            'pg_verifybackup: error: checksum mismatch for file "base/1/2"',
            1,
            Outcome.FAILED,
        ),
    ],
)  # fmt: skip
def test_its_words_are_read_and_not_its_exit_code(said: str, code: int, outcome: Outcome) -> None:
    assert judged(said, code).outcome is outcome


@pytest.fixture(scope="module")
def full(cluster: SourceCluster, tools_for_session: Tools, tmp_path_factory: pytest.TempPathFactory) -> Link:
    return take(PostgresEngine(), spec(cluster), tmp_path_factory.mktemp("answers"), tools_for_session)


def saying(tools: Tools, folder: Path, tool: str, script: str) -> Tools:
    """The tools, one of them a script that may `exec $real "$@"`."""
    bin_dir = folder / "bin"
    bin_dir.mkdir()
    for path in tools.pg_bin_dirs[0].iterdir():
        (bin_dir / path.name).symlink_to(path)
    (bin_dir / tool).unlink()
    real = tools.pg_bin_dirs[0] / tool
    head = f'#!/bin/sh\nreal={real}\ncase "$*" in *--version*) exec $real "$@";; esac\n'
    (bin_dir / tool).write_text(head + script)
    (bin_dir / tool).chmod(0o755)
    return Tools((bin_dir,), tools.os_user, tools.scratch_dir)


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("echo 'error: could not open file \"base.tar.gz\": Permission denied' >&2; exit 1", Outcome.COULD_NOT),
        ("echo 'error: could not read file \"base.tar.gz\": Input/output error' >&2; exit 1", Outcome.FAILED),
        (
            'test -e "$0.once" && exec $real "$@"; touch "$0.once"\n'
            "echo 'error: could not read file \"base.tar.gz\": Input/output error' >&2; exit 1",
            Outcome.PASSED,
        ),
    ],
    ids=["closed", "broken disk", "disk that failed once"],
)
def test_the_real_tool_is_asked_a_second_time_when_the_disk_fails_it(
    full: Link, tools: Tools, place: Path, script: str, outcome: Outcome
) -> None:
    (check,) = PostgresEngine().verify_files(full, saying(tools, place, "pg_verifybackup", script), control())

    assert check.outcome is outcome


def test_the_real_tool_answers_passed_and_failed(full: Link, tools: Tools, tmp_path: Path) -> None:
    damaged = copied(full, tmp_path)
    flip_byte(largest_file(damaged))

    answers = [PostgresEngine().verify_files(link, tools, control())[0].outcome for link in (full, damaged)]

    assert answers == [Outcome.PASSED, Outcome.FAILED]


def test_a_proof_that_this_machine_cannot_finish_says_nothing_of_the_backup(
    cluster: SourceCluster, full: Link, tools: Tools, place: Path
) -> None:
    """It is tried again, and in the end called "could not verify"."""
    script = "echo 'pg_checksums: error: could not open file \"base/1/2\": Too many open files' >&2; exit 1"

    checks = prove(PostgresEngine(), spec(cluster), [full], saying(tools, place, "pg_checksums", script))

    assert {c.outcome for c in checks if c.name == "checksums"} == {Outcome.COULD_NOT}
    assert Outcome.FAILED not in {c.outcome for c in checks}


def test_an_obstacle_carries_its_code() -> None:
    error: EngineError = reasons.obstacle("tar: data: Cannot write: No space left on device")

    assert (error.code, error.permanent) == ("no_space", False)
