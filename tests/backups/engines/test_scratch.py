"""Scratch folders: private, found again when their owner died, short enough for a socket."""

import os
import socket
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from backups.engines import scratch
from backups.engines.base import EngineError, Link, Tools
from backups.engines.postgres import restore
from backups.engines.postgres.engine import PostgresEngine
from sysops.stack import places
from tests.backups.engines.helpers import all_passed, prove, spec, take
from tests.services import Home, SourceCluster


def test_a_folder_is_private_while_it_lives_and_gone_afterwards(tools: Tools) -> None:
    with scratch.folder(tools, "run-1") as path:
        assert path.stat().st_mode & 0o777 == 0o700
        (path / "data").mkdir()
        (path / "data" / "file").touch()

    assert not path.exists()


def test_a_folder_goes_also_when_the_work_fails(tools: Tools) -> None:
    with pytest.raises(RuntimeError), scratch.folder(tools, "run-1") as path:
        raise RuntimeError("boom")

    assert not path.exists()


def test_the_sweeper_takes_only_what_nobody_holds(tools: Tools) -> None:
    dead = tools.scratch_dir / f"{scratch.PREFIX}dead-0a0b0c0d"
    dead.mkdir()
    (dead / scratch.LOCK).touch()
    other = tools.scratch_dir / "somebody-elses"
    other.mkdir()

    with scratch.folder(tools, "alive") as path:
        removed = scratch.sweep_scratch(tools, ())
        assert path.exists()

    assert removed == [dead.name]
    assert other.exists()
    other.rmdir()


def test_a_long_path_gets_its_socket_elsewhere_and_leaves_nothing_there(
    cluster: SourceCluster, tools: Tools, place: Path, tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = home.dir / "elsewhere"  # of our own: other sessions use the machine's
    elsewhere.mkdir(mode=0o1777)
    elsewhere.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    long = places.private_dir(place / ("long" * 30), home.user)
    link: Link = take(PostgresEngine(), spec(cluster), tmp_path, tools)

    checks = prove(PostgresEngine(), spec(cluster), [link], Tools(tools.pg_bin_dirs, tools.os_user, long))

    assert all_passed(checks), checks
    assert list(elsewhere.iterdir()) == []
    assert list(long.iterdir()) == []


def test_an_os_user_that_does_not_exist_is_said(tools: Tools) -> None:
    with (
        pytest.raises(EngineError, match="no OS user 'no-such-user'"),
        scratch.folder(Tools(tools.pg_bin_dirs, "no-such-user", tools.scratch_dir), "run-1"),
    ):
        pass


def test_a_pid_file_that_names_somebody_elses_process_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n")

    assert scratch.server_of(tmp_path) is None
    scratch.end_server(tmp_path)


@pytest.mark.parametrize(("seconds_after_boot", "certain"), [(-60, True), (60, False)])
def test_a_server_whose_sockets_went_with_a_reboot_is_gone_and_one_out_of_sight_is_not(
    tmp_path: Path, seconds_after_boot: int, certain: bool
) -> None:
    """Its folder of sockets lay in /tmp, which is empty after a boot; another container's is not to be seen either."""
    data, began = tmp_path / "data", int(psutil.boot_time()) + seconds_after_boot
    data.mkdir()
    (data / "postmaster.pid").write_text(f"4194303\n{data}\n{began}\n5432\n{tmp_path}/no-such-folder\n\n1 2\nready\n")

    assert restore.server_is_gone(tmp_path) is certain


def test_a_server_whose_number_is_another_process_by_now_is_gone(tmp_path: Path) -> None:
    (data := tmp_path / "data").mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / ".s.PGSQL.5432"))  # the file stays, and nobody listens
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n{int(time.time())}\n5432\n{tmp_path}\n\n1 2\nready\n")

    assert restore.server_is_gone(tmp_path)
