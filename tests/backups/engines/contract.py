"""What every engine must do. A driver's tests inherit EngineContract and give it an `engine` and a `source`."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jsonschema
import psycopg
import pytest

from backups import manifest
from backups.engines.base import (
    Check,
    Control,
    Engine,
    EngineError,
    Link,
    Outcome,
    Progress,
    ProveJob,
    SourceSpec,
    Tools,
)
from backups.engines.scratch import server_of, sweep_scratch
from backups.rules import BackupType
from backups.stores.local import LocalStore
from tests.backups.engines.helpers import (
    all_passed,
    control,
    copied,
    faulty,
    flip_byte,
    largest_file,
    outcomes,
    prove,
    restore,
    restore_job,
    spec,
    take,
    tools_running,
)
from tests.services import SourceCluster, free_port

SECRET = "a password nobody may read"

NOT_TRUE = [
    ("SELECT count(*) = 7 FROM orders", "False"),
    ("SELECT NULL", "None"),
    ("SELECT 'yes'", "yes"),
    ("SELECT 1 WHERE false", "nothing"),
    ("SELECT no_such_column", "no_such_column"),
    ("DELETE FROM orders RETURNING true", "read-only"),
    ("SELECT set_config('transaction_read_only', 'off', true), nextval('orders_id_seq')", "before any query"),
    ("SELECT 1; COMMIT; DELETE FROM orders", "multiple commands"),
    ("COPY (SELECT 1) TO PROGRAM 'true'", "permission denied"),
]


class EngineContract:
    """Inherit it, and give module-scoped fixtures `engine` and `full` (a good full backup of `cluster`)."""

    def test_it_says_what_it_is(self, engine: Engine) -> None:
        assert engine.name
        assert engine.label
        assert BackupType.FULL in engine.types
        jsonschema.Draft202012Validator.check_schema(dict(engine.settings_schema))

    def test_the_tests_own_settings_fit_its_schema(self, engine: Engine, cluster: SourceCluster) -> None:
        jsonschema.validate(dict(spec(cluster).settings), dict(engine.settings_schema))

    def test_the_password_is_declared_a_secret(self, engine: Engine) -> None:
        properties = engine.settings_schema["properties"]
        assert isinstance(properties, Mapping)
        assert properties["password"]["writeOnly"] is True

    def test_a_type_it_does_not_have_is_refused_for_good(
        self, engine: Engine, cluster: SourceCluster, full: Link, tools: Tools, tmp_path: Path
    ) -> None:
        for missing in set(BackupType) - engine.types:
            with pytest.raises(EngineError, match="full backups only") as caught:
                take(engine, spec(cluster), tmp_path, tools, backup_type=missing, parent=full)
            assert caught.value.permanent

    def test_a_good_source_passes_every_check_of_its_settings(
        self, engine: Engine, cluster: SourceCluster, tools: Tools
    ) -> None:
        assert all_passed(engine.check_settings(spec(cluster), tools))

    def test_a_backup_fills_its_directory_and_tells_of_it_in_json(self, full: Link) -> None:
        assert all(path.stat().st_size > 0 for path in full.path.iterdir())
        assert json.loads(json.dumps(full.figures)) == full.figures
        assert full.figures["marker"]

    def test_progress_is_told_in_words(
        self, engine: Engine, cluster: SourceCluster, tools: Tools, tmp_path: Path
    ) -> None:
        heard: list[Progress] = []
        take(engine, spec(cluster), tmp_path, tools, heard=heard)

        assert heard

    def test_a_good_backup_passes_verification(self, engine: Engine, full: Link, tools: Tools) -> None:
        assert all_passed(engine.verify_files(full, tools, control()))

    def test_a_flipped_byte_in_a_stored_backup_fails_verification(
        self, engine: Engine, full: Link, tools: Tools, tmp_path: Path
    ) -> None:
        damaged = copied(full, tmp_path)
        flip_byte(largest_file(damaged))

        checks = engine.verify_files(damaged, tools, control())

        assert Outcome.FAILED in outcomes(checks).values()

    def test_a_missing_file_fails_verification(self, engine: Engine, full: Link, tools: Tools, tmp_path: Path) -> None:
        damaged = copied(full, tmp_path)
        largest_file(damaged).unlink()

        assert Outcome.FAILED in outcomes(engine.verify_files(damaged, tools, control())).values()

    def test_the_note_that_is_stored_beside_it_does_not_trouble_verification_or_proof(
        self, engine: Engine, cluster: SourceCluster, full: Link, tools: Tools, tmp_path: Path
    ) -> None:
        store = LocalStore({"path": str(tmp_path / "store")})
        staged = store.stage("shop-db/1")
        for path in full.path.iterdir():
            (staged / path.name).write_bytes(path.read_bytes())
        manifest.seal(staged, description={"engine": engine.name})
        store.commit("shop-db/1")

        with store.local("shop-db/1") as folder:
            link = Link(full.backup_id, full.backup_type, folder, full.figures)
            assert all_passed(engine.verify_files(link, tools, control()))
            assert all_passed(prove(engine, spec(cluster), [link], tools))

    def test_a_good_backup_is_proven_check_by_check(
        self, engine: Engine, cluster: SourceCluster, full: Link, tools: Tools
    ) -> None:
        custom = [
            {"name": "orders are there", "sql": "SELECT count(*) = 20000 FROM orders"},
            {"name": "in another database", "database": "template1", "sql": "SELECT 1"},
        ]

        checks = prove(engine, spec(cluster), [full], tools, custom)

        assert all_passed(checks), [c for c in checks if c.outcome is not Outcome.PASSED]
        assert {"marker", "tables", "rows", "amcheck", "checksums", "custom: orders are there"} <= set(outcomes(checks))

    def test_a_damaged_backup_is_never_proven(
        self, engine: Engine, cluster: SourceCluster, full: Link, tools: Tools, tmp_path: Path
    ) -> None:
        damaged = copied(full, tmp_path)
        flip_byte(largest_file(damaged))

        checks = prove(engine, spec(cluster), [damaged], tools)

        assert Outcome.FAILED in outcomes(checks).values()

    @pytest.mark.parametrize(("sql", "said"), NOT_TRUE)
    def test_a_custom_check_that_is_not_true_fails_with_the_answer(
        self, answers: Mapping[str, Check], sql: str, said: str
    ) -> None:
        check = answers[sql]

        assert check.outcome is Outcome.FAILED
        assert said in check.detail

    def test_figures_that_a_restore_does_not_keep_to_fail_it(
        self, engine: Engine, cluster: SourceCluster, full: Link, tools: Tools
    ) -> None:
        figures = json.loads(json.dumps(full.figures))
        figures["marker"]["backup_id"] = "another backup"
        tables = figures["databases"]["shop"]["tables"]
        tables['"public"."orders"'] = {"rows": [20001, 20001]}
        tables['"public"."no_such_table"'] = {"rows": [1, 1]}
        figures["databases"]["no_such_database"] = {"tables": {}}
        link = Link(full.backup_id, full.backup_type, full.path, figures)

        checks = {check.name: check for check in prove(engine, spec(cluster), [link], tools)}

        assert checks["marker"].outcome is Outcome.FAILED
        assert checks["rows"].outcome is Outcome.FAILED
        assert '"public"."orders" has 20000 rows, not 20001 to 20001' in checks["rows"].detail
        assert checks["tables"].outcome is Outcome.FAILED
        assert "no_such_table" in checks["tables"].detail
        assert "no_such_database" in checks["tables"].detail

    def test_what_could_not_be_noted_before_is_not_called_verified(
        self, engine: Engine, cluster: SourceCluster, full: Link, tools: Tools
    ) -> None:
        figures = {**full.figures, "marker": {"reason": "permission denied for database"}, "databases": {}}
        link = Link(full.backup_id, full.backup_type, full.path, figures)

        found = outcomes(prove(engine, spec(cluster), [link], tools))

        assert found["marker"] is found["tables"] is found["rows"] is Outcome.COULD_NOT

    def test_tools_of_another_version_could_not_verify(
        self, engine: Engine, cluster: SourceCluster, full: Link, tools: Tools
    ) -> None:
        figures = {**full.figures, "server_version_num": 990004, "tool_major": 99}
        link = Link(full.backup_id, full.backup_type, full.path, figures)

        for checks in (engine.verify_files(link, tools, control()), prove(engine, spec(cluster), [link], tools)):
            assert set(outcomes(checks).values()) == {Outcome.COULD_NOT}
            assert "99" in checks[0].detail

    def test_a_scratch_folder_that_the_server_cannot_enter_is_said(
        self, engine: Engine, cluster: SourceCluster, full: Link, tools: Tools, tmp_path: Path
    ) -> None:
        file = tmp_path / "file"
        file.touch()
        with pytest.raises(EngineError, match="scratch") as caught:
            prove(engine, spec(cluster), [full], Tools(tools.pg_bin_dirs, tools.os_user, file / "scratch"))
        assert caught.value.code == "scratch_unusable"

    def test_a_restore_makes_a_server_that_answers_and_can_be_stopped(
        self, engine: Engine, cluster: SourceCluster, full: Link, tools: Tools, place: Path
    ) -> None:
        target = place / "new" / "shop"
        restored = restore(engine, spec(cluster), [full], target, tools, start_server=True)
        try:
            assert all_passed(restored.checks)
            assert restored.connection
            assert not engine.server_is_gone(target, tools)
            with psycopg.connect(f"{restored.connection} dbname=shop") as connection:
                assert connection.execute("SELECT count(*) FROM orders").fetchone() == (20000,)
                assert connection.execute("SELECT FROM pg_extension WHERE extname = 'amcheck'").fetchone() is None
                assert connection.execute("SHOW archive_mode").fetchone() == ("off",)
                assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
                assert connection.execute("SHOW fsync").fetchone() == ("on",)
        finally:
            engine.stop_server(target, tools)
        engine.stop_server(target, tools)
        assert engine.server_is_gone(target, tools)
        assert tools_running(str(target)) == []
        assert (target.stat().st_mode & 0o777) == 0o700

    def test_nothing_that_was_restored_remembers_the_folder_of_the_attempt(
        self, engine: Engine, cluster: SourceCluster, full: Link, tools: Tools, place: Path
    ) -> None:
        job = restore_job(spec(cluster), [full], place / "x", tools)
        engine.restore(job)

        assert tools_running(str(job.folder)) == []
        found = [p for p in job.folder.rglob("*") if p.suffix in (".conf", ".opts", ".pid", ".socket")]
        assert [p.name for p in found if str(job.folder) in p.read_text()] == []
        assert not job.target.exists()

    def test_a_server_out_of_sight_is_not_called_stopped(
        self, engine: Engine, cluster: SourceCluster, full: Link, tools: Tools, place: Path
    ) -> None:
        """As in another container: its process cannot be found, its socket answers."""
        target = place / "x"
        restore(engine, spec(cluster), [full], target, tools, start_server=True)
        pid_file = target / "data" / "postmaster.pid"
        real = pid_file.read_text()
        try:
            pid_file.write_text("\n".join(["4194303", *real.splitlines()[1:]]))
            with pytest.raises(EngineError, match="answers on its socket") as caught:
                engine.stop_server(target, tools)
            assert caught.value.code == "out_of_sight"
            assert not engine.server_is_gone(target, tools)
        finally:
            pid_file.write_text(real)
            engine.stop_server(target, tools)

    def test_a_server_that_was_killed_is_gone_although_its_files_stay(
        self, engine: Engine, cluster: SourceCluster, full: Link, tools: Tools, place: Path
    ) -> None:
        target = place / "x"
        restore(engine, spec(cluster), [full], target, tools, start_server=True)
        server = server_of(target / "data")
        assert server is not None
        for process in (server, *server.children()):
            process.kill()
        server.wait(10)

        assert engine.server_is_gone(target, tools)
        engine.stop_server(target, tools)

        assert (target / "data" / "postmaster.pid").exists()

    def test_a_restore_never_writes_over_anything(
        self, engine: Engine, cluster: SourceCluster, full: Link, tools: Tools, place: Path
    ) -> None:
        (place / "precious").write_text("mine")

        with pytest.raises(EngineError, match="not empty") as caught:
            engine.restore(restore_job(spec(cluster), [full], place / "x", tools, folder=place))

        assert caught.value.code == "target_not_empty"
        assert [p.name for p in place.iterdir()] == ["precious"]

    def test_a_restore_that_fails_removes_what_it_wrote(
        self, engine: Engine, cluster: SourceCluster, full: Link, tools: Tools, place: Path, tmp_path: Path
    ) -> None:
        damaged = copied(full, tmp_path)
        flip_byte(largest_file(damaged))

        with pytest.raises(EngineError) as caught:
            restore(engine, spec(cluster), [damaged], place / "x", tools)

        assert caught.value.code == "backup_corrupt"
        assert list(place.iterdir()) == []

    def test_a_cancelled_restore_touches_nothing_but_the_folder_of_its_attempt(
        self, engine: Engine, cluster: SourceCluster, full: Link, tools: Tools, place: Path
    ) -> None:
        """Fenced off: meanwhile another attempt has filled the target."""
        (place / "x").mkdir()
        (place / "x" / "of the next attempt").touch()

        with pytest.raises(EngineError) as caught:
            engine.restore(restore_job(spec(cluster), [full], place / "x", tools, cancelled=lambda: True))

        assert caught.value.code == "cancelled"
        assert [p.relative_to(place).as_posix() for p in place.rglob("*")] == ["x", "x/of the next attempt"]

    def test_an_unreachable_source_is_told_in_words(
        self, engine: Engine, cluster: SourceCluster, tools: Tools, tmp_path: Path
    ) -> None:
        source = spec(cluster, port=free_port())

        with pytest.raises(EngineError, match="does not answer") as caught:
            take(engine, source, tmp_path, tools)
        checks = engine.check_settings(source, tools)

        assert (caught.value.code, caught.value.permanent) == ("connection_refused", False)
        assert [(c.outcome, c.figures["code"]) for c in checks] == [(Outcome.FAILED, "connection_refused")]

    def test_an_unknown_host_is_told_in_words(
        self, engine: Engine, cluster: SourceCluster, tools: Tools, tmp_path: Path
    ) -> None:
        with pytest.raises(EngineError, match="cannot be resolved") as caught:
            take(engine, spec(cluster, host="no-such-host.invalid"), tmp_path, tools)

        assert caught.value.code == "host_unknown"

    def test_a_wrong_password_is_told_in_words_and_not_repeated(
        self, engine: Engine, cluster: SourceCluster, tools: Tools, tmp_path: Path
    ) -> None:
        source = spec(cluster, user="clerk", password=SECRET)

        with pytest.raises(EngineError, match="refused the user or password") as caught:
            take(engine, source, tmp_path, tools)
        checks = engine.check_settings(source, tools)

        assert (caught.value.code, caught.value.permanent) == ("authentication", False)
        assert SECRET not in f"{caught.value!r} {caught.value} {source!r} {checks!r}"

    def test_a_source_that_goes_away_in_the_middle_is_told_in_words(
        self, engine: Engine, cluster: SourceCluster, tools: Tools, tmp_path: Path
    ) -> None:
        with faulty(cluster) as proxy, pytest.raises(EngineError, match="went away") as caught:
            take(engine, spec(cluster, port=proxy.port), tmp_path, tools)

        assert (caught.value.code, caught.value.permanent) == ("source_stopped", False)

    def test_a_source_that_falls_silent_ends_at_the_time_limit(
        self, engine: Engine, cluster: SourceCluster, tools: Tools, tmp_path: Path
    ) -> None:
        with faulty(cluster, hang=True) as proxy, pytest.raises(EngineError, match="time limit of 3 s") as caught:
            take(engine, spec(cluster, port=proxy.port), tmp_path, tools, seconds=3)

        assert caught.value.code == "timed_out"
        assert tools_running(str(tmp_path)) == []

    def test_cancelling_ends_the_tool_within_seconds(
        self, engine: Engine, cluster: SourceCluster, tools: Tools, tmp_path: Path
    ) -> None:
        with faulty(cluster, hang=True) as proxy, pytest.raises(EngineError) as caught:
            take(engine, spec(cluster, port=proxy.port), tmp_path, tools, cancelled=proxy.reached.is_set)

        assert caught.value.code == "cancelled"
        assert tools_running(str(tmp_path)) == []

    def test_cancelling_a_proof_leaves_nothing(
        self, engine: Engine, cluster: SourceCluster, full: Link, tools: Tools
    ) -> None:
        asked = threading.Event()

        def hear(progress: Progress) -> None:
            if "checking every table" in progress.phase:
                asked.set()

        listening = Control(progress=hear, cancelled=asked.is_set, time_limit_seconds=60)
        with pytest.raises(EngineError) as caught:
            engine.prove(ProveJob(spec(cluster), [full], (), tools, listening))

        assert caught.value.code == "cancelled"
        assert tools_running(str(tools.scratch_dir)) == []

    def test_a_worker_killed_in_the_middle_of_a_backup_leaves_no_tool(
        self, engine: Engine, cluster: SourceCluster, tools: Tools, tmp_path: Path
    ) -> None:
        with faulty(cluster, hang=True) as proxy:
            worker = _worker(engine, "back_up", source=spec(cluster, port=proxy.port), tools=tools, folder=tmp_path)
            assert proxy.reached.wait(20)
            worker.kill()
            worker.communicate()

            _eventually(lambda: not tools_running(str(tmp_path)))

    def test_a_worker_killed_in_the_middle_of_a_proof_leaves_no_server_and_the_sweeper_the_rest(
        self, engine: Engine, cluster: SourceCluster, full: Link, tools: Tools, tmp_path: Path
    ) -> None:
        worker = _worker(engine, "prove", source=spec(cluster), tools=tools, folder=tmp_path, link=full)
        assert worker.stdout is not None
        for line in worker.stdout:
            if b"checking every table" in line:
                break
        assert sweep_scratch(tools, ()) == []  # while it lives, its folder is its own
        worker.kill()
        worker.wait()
        worker.stdout.close()

        _eventually(lambda: not tools_running(str(tools.scratch_dir)))
        assert sweep_scratch(tools, {full.backup_id}) == []
        assert len(sweep_scratch(tools, ())) == 1


def _worker(
    engine: Engine, what: str, *, source: SourceSpec, tools: Tools, folder: Path, link: Link | None = None
) -> "subprocess.Popen[bytes]":
    """A process of its own that does one thing with the engine and can be killed. A proof waits at pg_amcheck."""
    kind = type(engine)
    code = f"""
import sys, json, time
from pathlib import Path
from {kind.__module__} import {kind.__name__}
from backups.engines.base import *
from backups.rules import BackupType
def say(progress):
    print(progress.phase, flush=True)
    if 'checking every table' in progress.phase:
        time.sleep(60)
tools = Tools({[str(d) for d in tools.pg_bin_dirs]!r}, {tools.os_user!r}, Path({str(tools.scratch_dir)!r}))
tools = Tools([Path(d) for d in tools.pg_bin_dirs], tools.os_user, tools.scratch_dir)
source = SourceSpec('shop-db', json.loads({json.dumps(dict(source.settings))!r}))
control = Control(say, lambda: False, 120)
folder = Path({str(folder)!r})
if {what!r} == 'back_up':
    (folder / 'b').mkdir()
    {kind.__name__}().back_up(BackupJob(source, 'killed', BackupType.FULL, folder / 'b', None, tools, control))
else:
    link = Link({link.backup_id if link else ""!r}, BackupType.FULL, Path({str(link.path) if link else ""!r}),
                json.loads({json.dumps(dict(link.figures)) if link else "{}"!r}))
    {kind.__name__}().prove(ProveJob(source, [link], [], tools, control))
"""
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


def _eventually(true: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.05)
