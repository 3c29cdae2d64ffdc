"""Real processes are killed, frozen and cut off while backups run; nothing may be lost, stuck or left behind.

One running Sysops serves all of these; each test leaves it able to take the next backup.
"""

import concurrent.futures
import signal
from pathlib import Path

import psycopg
import pytest

from backups.engines.scratch import server_of
from tests.running import Sysops, until
from tests.services import SourceCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RATE = 2048  # kB/s: a backup of the slow source takes about 20 s, time enough to break something
SLOW = {"max_rate_kilobytes_per_second": RATE, "compression": "none"}


@pytest.fixture(scope="module", autouse=True)
def sources(sysops: Sysops, cluster: SourceCluster) -> None:
    """`slow` can be interrupted in the middle; `quick` is done in a second."""
    sysops.add_source("slow", cluster, **SLOW)
    sysops.add_source("quick", cluster)


def verdict(sysops: Sysops, pk: str) -> object:
    shown = sysops.backup(pk)["verification"]
    assert isinstance(shown, dict)
    return shown["status"]


def next_one_succeeds(sysops: Sysops) -> None:
    sysops.wait_status(sysops.ask("quick"), "succeeded")


def test_the_first_start_has_backed_up_sysops_itself_and_proven_it(sysops: Sysops) -> None:
    def proven() -> bool:
        shown = sysops.get("backup-sources/sysops")["readiness"]
        assert isinstance(shown, dict)
        return bool(shown["state"] == "good" and shown["last_proven_backup"] == shown["last_good_backup"])

    until(proven, seconds=150, what="Sysops' own database is backed up and proven")


def test_a_killed_worker_process_costs_one_attempt(sysops: Sysops) -> None:
    pk = sysops.ask("slow")
    sysops.wait_copying(pk)

    for child in sysops.processes("worker", "backups@")[1:]:
        child.kill()

    shown = sysops.wait_status(pk, "succeeded", seconds=150)
    assert shown["attempt"] == 2
    sysops.assert_clean()


def test_a_killed_worker_is_restarted_and_its_backup_taken_again(sysops: Sysops) -> None:
    pk = sysops.ask("slow")
    sysops.wait_copying(pk)

    sysops.kill("worker", "backups@")

    until(lambda: sysops.backup(pk)["attempt"] == 2, seconds=90, what="a second attempt")
    assert sysops.wait_status(pk, "succeeded", seconds=90)["failure_reason"] is None
    sysops.assert_clean()


def test_a_killed_beat_comes_back(sysops: Sysops) -> None:
    before = sysops.processes("beat")[0].pid

    sysops.kill("celery", "beat")

    until(lambda: sysops.processes("celery", "beat"), seconds=90, what="beat is back")
    assert sysops.processes("celery", "beat")[0].pid != before
    next_one_succeeds(sysops)


def test_a_killed_broker_that_comes_back_empty_loses_no_backup(sysops: Sysops) -> None:
    pk = sysops.ask("slow")
    sysops.wait_copying(pk)
    waiting = sysops.ask("quick")
    sysops.wait_status(waiting, "succeeded")

    sysops.processes("valkey-server")[0].suspend()  # else the next one may be reading while the files are emptied
    for file in (sysops.data_dir / "valkey").rglob("*.aof"):
        file.write_bytes(b"")
    sysops.kill("valkey-server")
    lost = sysops.ask("quick")

    sysops.wait_status(pk, "succeeded", seconds=120)
    sysops.wait_status(lost, "succeeded", seconds=240)
    sysops.assert_clean()


def test_a_backup_asked_for_while_the_broker_is_frozen_is_accepted_quickly_and_taken_later(sysops: Sysops) -> None:
    broker = sysops.processes("valkey-server")[0]
    broker.send_signal(signal.SIGSTOP)
    try:
        answer = sysops.http.post(f"{sysops.url}/backup", json={"source": "quick", "backup_type": "full"})
        assert answer.status_code == 202
        assert answer.elapsed.total_seconds() < 15
    finally:
        broker.send_signal(signal.SIGCONT)

    sysops.wait_status(str(answer.json()["id"]), "succeeded", seconds=200)


def test_the_killed_database_of_sysops_itself_comes_back_and_the_backup_under_way_is_recorded(sysops: Sysops) -> None:
    pk = sysops.ask("slow")
    sysops.wait_copying(pk)

    sysops.kill("bin/postgres", str(sysops.data_dir))

    shown = sysops.wait_status(pk, "succeeded", seconds=150)
    assert shown["attempt"] == 1
    sysops.assert_clean()


def test_a_source_that_stops_in_the_middle_says_so_and_is_taken_when_it_is_back(
    sysops: Sysops, cluster: SourceCluster
) -> None:
    pk = sysops.ask("slow")
    sysops.wait_copying(pk)

    cluster.kill()
    until(lambda: sysops.backup(pk)["failure_reason"], seconds=120, what="a reason")
    shown = sysops.backup(pk)
    assert (shown["status"], shown["attempt"]) == ("queued", 1)
    assert "stop" in str(shown["failure_reason"]).lower() or "clos" in str(shown["failure_reason"]).lower()
    cluster.start()

    sysops.wait_status(pk, "succeeded", seconds=150)
    sysops.assert_clean()


def test_a_changed_password_is_named_and_a_corrected_one_taken_by_the_retry(
    sysops: Sysops, cluster: SourceCluster
) -> None:
    cluster.execute(f"ALTER ROLE {cluster.user} PASSWORD 'another'")
    pk = sysops.ask("quick")
    until(lambda: sysops.backup(pk)["failure_reason"], seconds=120, what="a reason")
    assert "password" in str(sysops.backup(pk)["failure_reason"]).lower()
    readiness = sysops.get("backup-sources/quick")["readiness"]
    assert isinstance(readiness, dict)
    assert readiness["failing_since"]

    with psycopg.connect(cluster.dsn(password="another"), autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {cluster.user} PASSWORD '{cluster.password}'".encode())

    sysops.wait_status(pk, "succeeded", seconds=150)
    readiness = sysops.get("backup-sources/quick")["readiness"]
    assert isinstance(readiness, dict)
    assert readiness["failing_since"] is None


def test_of_two_requests_at_the_same_instant_one_is_accepted(sysops: Sysops) -> None:
    def ask(_: int) -> int:
        order = {"source": "quick", "backup_type": "full"}
        return sysops.http.post(f"{sysops.url}/backup", json=order).status_code

    def waiting() -> bool:
        rows = sysops.get("backups?source=quick")["results"]
        assert isinstance(rows, list)
        return any(row["status"] in ("queued", "running") for row in rows)

    for _ in range(5):
        with concurrent.futures.ThreadPoolExecutor(2) as two:
            assert sorted(two.map(ask, range(2))) == [202, 409]
        until(lambda: not waiting(), seconds=120, what="the accepted one is done")


def test_a_cancelled_backup_stops_its_tool_and_leaves_nothing(sysops: Sysops) -> None:
    pk = sysops.ask("slow")
    sysops.wait_copying(pk)

    assert sysops.http.put(f"{sysops.url}/backups/{pk}/cancel").status_code == 200

    shown = sysops.wait_status(pk, "failed", seconds=60)
    assert "Cancelled by" in str(shown["failure_reason"])
    sysops.assert_clean()


def test_a_flipped_byte_in_a_stored_backup_is_found_and_its_restore_refused(sysops: Sysops) -> None:
    pk = sysops.ask("quick")
    sysops.wait_status(pk, "succeeded")
    place = Path(str(sysops.backup(pk)["location"])) / "base.tar.gz"
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.write_bytes(data)

    verified = sysops.cli("verify-backup", pk, "--files-only")
    refused = sysops.cli("restore", pk)

    assert verified.returncode == 1
    assert "base.tar.gz" in verified.stdout
    assert refused.returncode == 1
    assert "found bad" in refused.stderr


def test_a_restore_by_the_command_line_brings_back_a_running_server(sysops: Sysops, cluster: SourceCluster) -> None:
    pk = sysops.ask("quick")
    sysops.wait_status(pk, "succeeded")

    done = sysops.cli("restore", pk, "--server")

    assert done.returncode == 0, done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if "connect with: " in line)
    with psycopg.connect(line.split("connect with: ")[1]) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (20000,)
    restores = sysops.get("restores")["results"]
    assert isinstance(restores, list)
    stopped = sysops.cli("stop-server", str(restores[0]["id"]))
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert "its server is stopped" in sysops.cli("restores").stdout


def test_a_restored_server_outlives_sysops_and_its_record_says_when_it_is_gone(
    sysops: Sysops, cluster: SourceCluster
) -> None:
    pk = sysops.ask("quick")
    sysops.wait_status(pk, "succeeded")
    done = sysops.cli("restore", pk, "--server")
    assert done.returncode == 0, done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if "connect with: " in line)

    def newest() -> dict[str, object]:
        found = sysops.get("restores")["results"]
        assert isinstance(found, list)
        return dict(found[0])

    server = server_of(Path(str(newest()["target"])) / "data")
    assert server is not None
    try:
        sysops.stop()
        assert server.is_running()
        sysops.start()
        with psycopg.connect(line.split("connect with: ")[1]) as connection:
            assert connection.execute("SELECT count(*) FROM orders").fetchone() == (20000,)
        assert newest()["server_stopped_at"] is None
    finally:
        server.kill()

    until(lambda: newest()["server_stopped_at"], seconds=120, what="its record says that it is gone")
    assert newest()["stop_failure"] == "Its server is gone: it was not stopped from here"


def test_the_supervisor_killed_in_the_middle_of_a_backup_starts_again_and_finishes_it(sysops: Sysops) -> None:
    pk = sysops.ask("slow")
    sysops.wait_copying(pk)

    sysops.process.kill()
    sysops.process.wait(10)
    sysops.start()

    shown = sysops.wait_status(pk, "succeeded", seconds=150)
    # Its worker may have stored the whole of it before it died as well: then that is adopted, not taken again.
    assert shown["attempt"] in (1, 2)
    until(lambda: verdict(sysops, pk) == "passed", seconds=150, what="verified")
    sysops.assert_clean()
