"""The physical engine: the contract, and what is its own."""

import hashlib
import io
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from backups.engines.base import EngineError, Link, Outcome, ParentUnusable, Progress, Tools
from backups.engines.postgres import basebackup
from backups.engines.postgres import tools as pg_tools
from backups.engines.postgres.engine import PostgresEngine
from backups.rules import BackupType
from sysops.kernel import process
from sysops.stack import places
from tests.backups.engines.conftest import fill
from tests.backups.engines.contract import EngineContract
from tests.backups.engines.helpers import (
    all_passed,
    control,
    copied,
    faulty,
    flip_byte,
    largest_file,
    named,
    outcomes,
    prove,
    restore,
    spec,
    take,
)
from tests.services import Home, MakeCluster, SourceCluster


@pytest.fixture(scope="module")
def engine() -> PostgresEngine:
    return PostgresEngine()


@pytest.fixture(scope="module")
def full(
    engine: PostgresEngine,
    cluster: SourceCluster,
    tools_for_session: Tools,
    tmp_path_factory: pytest.TempPathFactory,
) -> Link:
    return take(engine, spec(cluster), tmp_path_factory.mktemp("physical"), tools_for_session)


class TestPostgres(EngineContract):
    pass


def chain_of(engine: PostgresEngine, cluster: SourceCluster, folder: Path, tools: Tools) -> list[Link]:
    """A full, and an incremental that has something new in it."""
    full = take(engine, spec(cluster), folder, tools)
    cluster.execute("INSERT INTO customers SELECT g, 'new' FROM generate_series(501, 600) g", dbname="shop")
    cluster.execute("DELETE FROM customers WHERE id % 7 = 0", dbname="shop")
    newer = take(engine, spec(cluster), folder, tools, backup_type=BackupType.INCREMENTAL, parent=full)
    return [full, newer]


@pytest.fixture(scope="module")
def own(make_cluster_for_session: MakeCluster) -> SourceCluster:
    """A cluster that these tests may change."""
    made = make_cluster_for_session()
    fill(made)
    return made


@pytest.fixture(scope="module")
def chain(
    engine: PostgresEngine, own: SourceCluster, tools_for_session: Tools, tmp_path_factory: pytest.TempPathFactory
) -> list[Link]:
    return chain_of(engine, own, tmp_path_factory.mktemp("chain"), tools_for_session)


def test_a_chain_is_proven_link_by_link_and_holds_the_newest_rows(
    engine: PostgresEngine, own: SourceCluster, chain: list[Link], tools: Tools
) -> None:
    custom = [{"name": "newest", "sql": "SELECT count(*) = 515 AND max(id) = 600 FROM customers"}]

    checks = prove(engine, spec(own), chain, tools, custom)

    assert all_passed(checks), checks
    assert [c.figures["backup_id"] for c in checks if c.name == "verify_link"] == [link.backup_id for link in chain]
    assert (
        chain[1].path.joinpath("base.tar.gz").stat().st_size < chain[0].path.joinpath("base.tar.gz").stat().st_size / 3
    )


def test_a_differential_and_an_incremental_on_top_of_it_restore_the_last_state(
    engine: PostgresEngine, own: SourceCluster, chain: list[Link], tools: Tools, tmp_path: Path, place: Path
) -> None:
    own.execute("CREATE TABLE IF NOT EXISTS later (n int)", dbname="shop")
    own.execute("INSERT INTO later VALUES (1)", dbname="shop")
    differential = take(engine, spec(own), tmp_path, tools, backup_type=BackupType.DIFFERENTIAL, parent=chain[0])
    own.execute("INSERT INTO later VALUES (2)", dbname="shop")
    newest = take(engine, spec(own), tmp_path, tools, backup_type=BackupType.INCREMENTAL, parent=differential)

    restored = restore(engine, spec(own), [chain[0], differential, newest], place / "x", tools, start_server=True)
    try:
        assert all_passed(restored.checks)
        with psycopg.connect(f"{restored.connection} dbname=shop") as connection:
            assert connection.execute("SELECT array_agg(n ORDER BY n) FROM later").fetchone() == ([1, 2],)
    finally:
        engine.stop_server(place / "x", tools)


@pytest.mark.parametrize("number", [0, 1])
def test_a_flipped_byte_in_any_link_is_found_before_the_links_are_combined(
    engine: PostgresEngine, own: SourceCluster, chain: list[Link], tools: Tools, tmp_path: Path, number: int
) -> None:
    damaged = list(chain)
    damaged[number] = copied(chain[number], tmp_path)
    flip_byte(largest_file(damaged[number]))

    checks = prove(engine, spec(own), damaged, tools)

    assert checks[-1].outcome is Outcome.FAILED
    assert checks[-1].figures["backup_id"] == chain[number].backup_id
    assert "combine" not in outcomes(checks)


def test_a_damaged_page_that_the_manifest_vouches_for_is_found_all_the_same(
    engine: PostgresEngine, own: SourceCluster, chain: list[Link], tools: Tools, tmp_path: Path
) -> None:
    """The tools launder this: manifest, combining, start and dump all go well on a page that is wrong."""
    laundered = copied(chain[0], tmp_path)
    node = str(own.execute("SELECT pg_relation_filepath('orders')", dbname="shop")[0][0])
    damage_with_manifest(laundered, node)

    found = outcomes(prove(engine, spec(own), [laundered, chain[1]], tools))

    assert found["verify_link"] is found["combine"] is found["server_starts"] is Outcome.PASSED
    assert found["amcheck"] is Outcome.FAILED
    assert found["checksums"] is Outcome.FAILED


def damage_with_manifest(link: Link, member: str) -> None:
    """Change a byte in the middle of a heap's third page, and make the manifest agree."""
    archive = link.path / "base.tar.gz"
    fresh = archive.with_suffix(".fresh")
    with tarfile.open(archive) as old, tarfile.open(fresh, "w:gz", compresslevel=1) as new:
        for entry in old:
            data = old.extractfile(entry).read() if entry.isfile() else b""  # type: ignore[union-attr]
            if entry.name == member:
                before = hashlib.sha256(data).hexdigest()
                changed = bytearray(data)
                changed[2 * 8192 + 4000] ^= 0xFF
                data = bytes(changed)
                after = hashlib.sha256(data).hexdigest()
            new.addfile(entry, io.BytesIO(data) if entry.isfile() else None)
    fresh.replace(archive)
    text = (link.path / "backup_manifest").read_bytes()
    assert before.encode() in text
    text = text.replace(before.encode(), after.encode())
    body = text[: text.rindex(b'"Manifest-Checksum"')]
    total = hashlib.sha256(body).hexdigest()
    (link.path / "backup_manifest").write_bytes(body + b'"Manifest-Checksum": "' + total.encode() + b'"}\n')


def test_a_backup_cut_short_is_not_accepted(chain: list[Link], tmp_path: Path) -> None:
    cut = copied(chain[0], tmp_path)
    assert basebackup.check_result(cut.path) == chain[0].figures["system_identifier"]
    manifest = cut.path / "backup_manifest"

    manifest.write_bytes(manifest.read_bytes()[:-2000])
    with pytest.raises(EngineError, match="cut short"):
        basebackup.check_result(cut.path)
    (cut.path / "base.tar.gz").write_bytes(b"")
    with pytest.raises(EngineError, match=r"base\.tar\.gz is empty"):
        basebackup.check_result(cut.path)
    (cut.path / "base.tar.gz").unlink()
    with pytest.raises(EngineError, match=r"no base\.tar"):
        basebackup.check_result(cut.path)


def test_rows_that_move_during_the_backup_stay_within_their_bounds(
    engine: PostgresEngine, own: SourceCluster, tools: Tools, tmp_path: Path
) -> None:
    own.execute("CREATE TABLE moving (n int)", dbname="shop")
    ended = threading.Event()
    writer = threading.Thread(target=keep_writing, args=(own, ended))
    writer.start()
    try:
        link = take(engine, spec(own), tmp_path, tools)
    finally:
        ended.set()
        writer.join()

    checks = prove(engine, spec(own), [link], tools)

    assert all_passed(checks), checks
    assert 'shop: "public"."moving"' in named(checks, "rows").figures["bounds"]  # type: ignore[operator]


def keep_writing(cluster: SourceCluster, ended: threading.Event) -> None:
    with psycopg.connect(cluster.dsn(dbname="shop"), autocommit=True) as connection:
        while not ended.is_set():
            connection.execute("INSERT INTO moving SELECT g FROM generate_series(1, 50) g")
            connection.execute("DELETE FROM moving WHERE ctid IN (SELECT ctid FROM moving LIMIT 20)")


def test_a_chain_with_a_tablespace_is_restored_below_the_target_and_never_into_the_sources_folders(
    engine: PostgresEngine, own: SourceCluster, tools: Tools, tmp_path: Path, place: Path, home: Home
) -> None:
    space = places.private_dir(place / "space", home.user)
    own.execute(f"CREATE TABLESPACE far LOCATION '{space}'")
    own.execute("CREATE TABLE far_away TABLESPACE far AS SELECT generate_series(1, 1000) n", dbname="shop")
    try:
        full = take(engine, spec(own), tmp_path, tools)
        own.execute("INSERT INTO far_away VALUES (7)", dbname="shop")
        newer = take(engine, spec(own), tmp_path, tools, backup_type=BackupType.INCREMENTAL, parent=full)
        assert all_passed(prove(engine, spec(own), [full, newer], tools))

        restored = restore(engine, spec(own), [full, newer], place / "x", tools, start_server=True)
        try:
            with psycopg.connect(f"{restored.connection} dbname=shop") as connection:
                assert connection.execute("SELECT count(*) FROM far_away").fetchone() == (1001,)
                where = connection.execute(
                    "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'far'"
                ).fetchone()
            assert where is not None
            assert Path(where[0]).is_relative_to(place / "x" / "tablespaces")
        finally:
            engine.stop_server(place / "x", tools)
    finally:
        own.execute("DROP TABLE far_away", dbname="shop")
        own.execute("DROP TABLESPACE far")


def test_nothing_of_the_sources_configuration_acts_in_the_restored_server(
    engine: PostgresEngine, own: SourceCluster, tools: Tools, tmp_path: Path, place: Path
) -> None:
    auto = own.data_dir / "postgresql.auto.conf"
    before = auto.read_text()
    own.execute(f"ALTER SYSTEM SET archive_command = 'touch {tmp_path}/reached'")
    auto.write_text(auto.read_text() + "shared_preload_libraries = 'no_such_library'\n")
    own.execute("ALTER DATABASE shop SET session_preload_libraries = 'no_such_library_either'")
    try:
        link = take(engine, spec(own, dbname="postgres"), tmp_path, tools)
    finally:
        auto.write_text(before)
        own.execute("ALTER DATABASE shop RESET session_preload_libraries")

    proven = prove(engine, spec(own), [link], tools)
    restored = restore(engine, spec(own), [link], place / "x", tools, start_server=True)
    engine.stop_server(place / "x", tools)

    for checks in (proven, restored.checks):
        assert outcomes(checks)["server_starts"] is Outcome.PASSED
        assert outcomes(checks)["amcheck"] is Outcome.PASSED
    assert "no_such_library" in (place / "x" / "data" / "postgresql.auto.conf.source").read_text()
    assert not (tmp_path / "reached").exists()


def test_without_wal_summaries_a_full_backup_is_asked_for_with_the_remedy(
    engine: PostgresEngine, make_cluster: MakeCluster, tools: Tools, tmp_path: Path
) -> None:
    source = make_cluster(start=False)
    source.cluster = replace(source.cluster, settings={**source.cluster.settings, "summarize_wal": "off"})
    source.start()
    full = take(engine, spec(source, dbname="postgres"), tmp_path, tools)

    with pytest.raises(ParentUnusable, match="summarize_wal = on") as caught:
        take(engine, spec(source, dbname="postgres"), tmp_path, tools, backup_type=BackupType.INCREMENTAL, parent=full)

    assert caught.value.code == "wal_summaries_missing"
    told = named(engine.check_settings(spec(source, dbname="postgres"), tools), "summarize_wal")
    assert told.outcome is Outcome.FAILED
    assert "summarize_wal = on" in told.detail


def test_wal_summaries_that_were_removed_meanwhile_are_named_by_the_source(
    engine: PostgresEngine, own: SourceCluster, chain: list[Link], tools: Tools, tmp_path: Path
) -> None:
    for number in range(3):
        own.execute(f"CREATE TABLE more_{number} AS SELECT 1", dbname="shop")
        own.execute("CHECKPOINT")
    for summary in (own.data_dir / "pg_wal" / "summaries").glob("*.summary"):
        summary.unlink()

    with pytest.raises(ParentUnusable) as caught:
        take(engine, spec(own), tmp_path, tools, backup_type=BackupType.INCREMENTAL, parent=chain[1])

    assert caught.value.code == "wal_summaries_missing"


def test_a_parent_of_another_system_is_not_stood_on(
    engine: PostgresEngine, cluster: SourceCluster, chain: list[Link], tools: Tools, tmp_path: Path
) -> None:
    with pytest.raises(ParentUnusable) as caught:
        take(engine, spec(cluster), tmp_path, tools, backup_type=BackupType.INCREMENTAL, parent=chain[0])

    assert caught.value.code == "system_mismatch"


def test_a_parent_without_its_manifest_is_not_stood_on(
    engine: PostgresEngine, own: SourceCluster, chain: list[Link], tools: Tools, tmp_path: Path
) -> None:
    parent = copied(chain[0], tmp_path)
    (parent.path / "backup_manifest").unlink()

    for given in (parent, None):
        with pytest.raises(ParentUnusable) as caught:
            take(engine, spec(own), tmp_path, tools, backup_type=BackupType.INCREMENTAL, parent=given)
        assert caught.value.code == "parent_missing"


def test_a_role_that_may_not_replicate_gets_the_remedy(
    engine: PostgresEngine, cluster: SourceCluster, tools: Tools, tmp_path: Path
) -> None:
    source = spec(cluster, user="clerk", password="clerk only")

    with pytest.raises(EngineError, match="ALTER ROLE <role> REPLICATION") as caught:
        take(engine, source, tmp_path, tools)

    assert caught.value.code == "permission"
    assert outcomes(engine.check_settings(source, tools))["replication"] is Outcome.FAILED


def test_a_role_that_may_replicate_but_not_write_has_its_marker_reported_as_not_verified(
    engine: PostgresEngine, cluster: SourceCluster, tools: Tools, tmp_path: Path
) -> None:
    source = spec(cluster, user="keeper", password="keeper only")
    link = take(engine, source, tmp_path, tools)

    checks = prove(engine, source, [link], tools)

    assert named(checks, "marker").outcome is Outcome.COULD_NOT
    assert "permission denied" in named(checks, "marker").detail
    assert {c.outcome for c in checks if c.name != "marker"} == {Outcome.PASSED}


def test_a_source_without_checksums_is_not_called_checked(
    engine: PostgresEngine, make_cluster: MakeCluster, tools: Tools, tmp_path: Path
) -> None:
    source = make_cluster(start=False)
    tool = str(source.bin_dir / "pg_checksums")
    process.run([tool, "--disable", "-D", source.data_dir], time_limit=60, run_as=tools.os_user)
    source.start()
    link = take(engine, spec(source, dbname="postgres"), tmp_path, tools)

    check = named(prove(engine, spec(source, dbname="postgres"), [link], tools), "checksums")

    assert check.outcome is Outcome.COULD_NOT
    assert "no data checksums" in check.detail


def test_a_tool_that_crashes_is_not_believed(
    engine: PostgresEngine, cluster: SourceCluster, full: Link, tools: Tools, tmp_path: Path
) -> None:
    broken = tmp_path / "bin"
    broken.mkdir()
    for tool in tools.pg_bin_dirs[0].iterdir():
        (broken / tool.name).symlink_to(tool)
    (broken / "pg_verifybackup").unlink()
    (broken / "pg_verifybackup").write_text("#!/bin/sh\nkill -SEGV $$\n")
    (broken / "pg_verifybackup").chmod(0o755)
    with_broken = Tools((broken,), None, tools.scratch_dir)

    checks = engine.verify_files(full, with_broken, control())

    assert set(outcomes(checks).values()) == {Outcome.COULD_NOT}
    assert "does not work" in checks[0].detail


def test_compression_that_the_tools_lack_is_told_at_configuration_and_at_the_backup(
    engine: PostgresEngine, cluster: SourceCluster, tools: Tools, tmp_path: Path
) -> None:
    toolset = pg_tools.find(tools, ["pg_basebackup"], major=18)
    lacking = [method for method in ("lz4", "zstd") if not pg_tools.can_compress(toolset, method)]
    assert pg_tools.can_compress(toolset, "gzip")

    for method in lacking:
        source = spec(cluster, compression=method)
        assert outcomes(engine.check_settings(source, tools))["tools"] is Outcome.FAILED
        with pytest.raises(EngineError, match="choose gzip or none") as caught:
            take(engine, source, tmp_path, tools)
        assert caught.value.code == "compression_unsupported"


def test_an_uncompressed_backup_is_verified_and_proven_too(
    engine: PostgresEngine, cluster: SourceCluster, tools: Tools, tmp_path: Path
) -> None:
    link = take(engine, spec(cluster, compression="none"), tmp_path, tools)

    assert {path.name for path in link.path.iterdir()} == {"base.tar", "pg_wal.tar", "backup_manifest"}
    assert all_passed(engine.verify_files(link, tools, control()))
    assert all_passed(prove(engine, spec(cluster), [link], tools))


def test_too_little_room_is_told_with_the_figures_before_anything_is_written(
    engine: PostgresEngine, cluster: SourceCluster, full: Link, tools: Tools, tmp_path: Path, place: Path
) -> None:
    huge = copied(full, tmp_path)
    with (huge.path / "backup_manifest").open("ab") as manifest:
        manifest.write(b'{ "Path": "base/1/1", "Size": 9000000000000000 }\n')

    with pytest.raises(EngineError, match="9000000") as caught:
        prove(engine, spec(cluster), [huge], tools)
    with pytest.raises(EngineError):
        restore(engine, spec(cluster), [huge], place / "x", tools)

    assert caught.value.code == "no_space"
    assert not (place / "x").exists()


def test_progress_counts_bytes_against_a_total(
    engine: PostgresEngine, cluster: SourceCluster, tools: Tools, tmp_path: Path
) -> None:
    """Slowed down to be seen: the tool is stopped for a while when the stream has begun."""
    heard: list[Progress] = []
    with faulty(cluster, hang=True, after_bytes=8_000_000) as proxy, pytest.raises(EngineError):
        take(engine, spec(cluster, port=proxy.port), tmp_path, tools, heard=heard, seconds=5)

    streaming = [p for p in heard if p.phase == "streaming"]
    assert any(p.done_bytes and p.total_bytes and p.done_bytes <= p.total_bytes for p in streaming)


def test_a_restored_server_that_dies_is_reported_with_its_last_words(
    engine: PostgresEngine, cluster: SourceCluster, tools: Tools, tmp_path: Path, full: Link
) -> None:
    """Without WAL the server starts, finds nothing to recover with, and dies."""
    cut = copied(full, tmp_path)
    empty = io.BytesIO()
    with tarfile.open(fileobj=empty, mode="w:gz"):
        pass
    (cut.path / "pg_wal.tar.gz").write_bytes(empty.getvalue())

    checks = prove(engine, spec(cluster), [cut], tools)

    assert checks[0].outcome is Outcome.FAILED
    assert "WAL" in checks[0].detail
