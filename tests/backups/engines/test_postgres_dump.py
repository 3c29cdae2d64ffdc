"""The logical engine: the contract, and what is its own."""

from pathlib import Path

import psycopg
import pytest

from backups.engines.base import Link, Outcome, Tools
from backups.engines.postgres import figures
from backups.engines.postgres_dump import PostgresDumpEngine
from tests.backups.engines.contract import EngineContract
from tests.backups.engines.helpers import all_passed, outcomes, prove, restore, spec, take
from tests.services import SourceCluster


@pytest.fixture(scope="module")
def engine() -> PostgresDumpEngine:
    return PostgresDumpEngine()


@pytest.fixture(scope="module")
def full(
    engine: PostgresDumpEngine,
    cluster: SourceCluster,
    tools_for_session: Tools,
    tmp_path_factory: pytest.TempPathFactory,
) -> Link:
    return take(engine, spec(cluster), tmp_path_factory.mktemp("dump"), tools_for_session)


class TestPostgresDump(EngineContract):
    pass


def test_owners_come_back_with_the_restore(
    engine: PostgresDumpEngine, cluster: SourceCluster, full: Link, tools: Tools, place: Path
) -> None:
    restored = restore(engine, spec(cluster), [full], place / "x", tools, start_server=True)
    try:
        with psycopg.connect(f"{restored.connection} dbname=shop") as connection:
            owner = connection.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'ledger'").fetchone()
    finally:
        engine.stop_server(place / "x", tools)

    assert owner == ("owner_of_ledger",)


def test_no_password_of_a_role_is_in_the_backup(full: Link) -> None:
    assert "SCRAM" not in (full.path / "globals.sql").read_text()


def test_the_database_that_every_cluster_has_is_restored_without_being_in_its_own_way(
    engine: PostgresDumpEngine, cluster: SourceCluster, tools: Tools, tmp_path: Path
) -> None:
    cluster.execute("CREATE TABLE IF NOT EXISTS in_postgres (n int)")
    link = take(engine, spec(cluster, dbname="postgres"), tmp_path, tools)

    assert all_passed(prove(engine, spec(cluster, dbname="postgres"), [link], tools))


def test_tables_too_many_rows_to_count_are_held_against_a_size(
    engine: PostgresDumpEngine, cluster: SourceCluster, full: Link, tools: Tools
) -> None:
    entry = figures.table_bounds(
        figures.Table(None, 20_000, 4_000_000, "1", 0, 0), figures.Table(None, 20_000, 4_000_000, "1", 0, 0),
        same_pages=False,
    )  # fmt: skip
    told = {**full.figures, "databases": {"shop": {"tables": {'"public"."orders"': entry}}}}
    emptied = {**full.figures, "databases": {"shop": {"tables": {'"public"."ledger"': entry}}}}

    for kept, outcome in ((told, Outcome.PASSED), (emptied, Outcome.FAILED)):
        link = Link(full.backup_id, full.backup_type, full.path, kept)
        assert outcomes(prove(engine, spec(cluster), [link], tools))["rows"] is outcome


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ('ERROR:  extension "postgis" is not available', Outcome.COULD_NOT),
        ("ERROR:  ICU is not supported in this build", Outcome.COULD_NOT),
        ('ERROR:  duplicate key value violates unique constraint "orders_pkey"', Outcome.FAILED),
    ],
)
def test_what_this_machine_lacks_is_no_fault_of_the_backup(
    engine: PostgresDumpEngine,
    cluster: SourceCluster,
    full: Link,
    tools: Tools,
    place: Path,
    said: str,
    outcome: Outcome,
) -> None:
    """A pg_restore that says what a real one says where an extension is missing."""
    lacking = place / "bin"
    lacking.mkdir()
    for tool in tools.pg_bin_dirs[0].iterdir():
        (lacking / tool.name).symlink_to(tool)
    (lacking / "pg_restore").unlink()
    real = tools.pg_bin_dirs[0] / "pg_restore"
    fails = f"echo 'pg_restore: error: could not execute query: {said}' >&2; exit 1"
    script = f'#!/bin/sh\ncase $* in *--create*) {fails};; esac\nexec {real} "$@"\n'
    (lacking / "pg_restore").write_text(script)
    (lacking / "pg_restore").chmod(0o755)

    checks = prove(engine, spec(cluster), [full], Tools((lacking,), tools.os_user, tools.scratch_dir))

    assert checks[-1].name == "restore"
    assert checks[-1].outcome is outcome
    assert said.removeprefix("ERROR:  ") in checks[-1].detail
