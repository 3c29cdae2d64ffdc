"""Figures of a database that moves: the bounds hold whatever happens, and mean something where nothing does."""

import json
import time

import psycopg
from hypothesis import given
from hypothesis import strategies as st

from backups.engines.postgres import figures
from backups.engines.postgres.connect import Address
from backups.engines.postgres.figures import Table, table_bounds
from tests.backups.engines.helpers import spec
from tests.services import SourceCluster

CHANGES = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=20)


def pair(bounds: dict[str, object], kind: str) -> tuple[int, int]:
    value = bounds[kind]
    assert isinstance(value, list)
    return value[0], value[1]


def rows_of(bounds: dict[str, object]) -> tuple[int, int]:
    return pair(bounds, "rows")


@given(start=st.integers(0, 1000), changes=CHANGES, moment=st.integers(0, 20))
def test_a_copy_taken_at_any_moment_is_within_the_bounds(
    start: int, changes: list[tuple[int, int]], moment: int
) -> None:
    rows, inserted, deleted = start, 0, 0
    history = [start]
    for more, fewer in changes:
        fewer = min(fewer, rows + more)
        rows, inserted, deleted = rows + more - fewer, inserted + more, deleted + fewer
        history.append(rows)
    before = Table(start, start, 0, "1", 100, 100)
    after = Table(rows, rows, 0, "1", 100 + inserted, 100 + deleted)

    low, high = rows_of(table_bounds(before, after, same_pages=True))

    assert low <= history[min(moment, len(history) - 1)] <= high


@given(rows=st.integers(0, 10_000))
def test_a_table_that_never_loses_rows_and_does_not_move_must_match_exactly(rows: int) -> None:
    table = Table(rows, rows, 0, "1", rows, 0)

    assert rows_of(table_bounds(table, table, same_pages=True)) == (rows, rows)


def test_a_table_that_loses_rows_gets_slack_for_statistics_that_lag() -> None:
    """A queue: ten rows may have come and gone between the two counts without the counters having told yet."""
    table = Table(100, 100, 0, "1", 500, 400)

    assert rows_of(table_bounds(table, table, same_pages=True)) == (90, 110)


def test_a_table_truncated_in_between_may_have_been_empty() -> None:
    before, after = Table(500, 500, 0, "1", 500, 0), Table(20, 20, 0, "2", 520, 0)

    assert rows_of(table_bounds(before, after, same_pages=True)) == (0, 520)


def test_a_table_too_large_to_count_is_bounded_by_its_size() -> None:
    before, after = Table(None, 9, 100 << 20, "1", 0, 0), Table(None, 9, 120 << 20, "1", 0, 0)

    low, high = pair(table_bounds(before, after, same_pages=True), "bytes")

    assert low == int((100 << 20) * 0.95)
    assert 120 << 20 < high < 130 << 20


def test_only_what_was_there_before_and_after_is_promised() -> None:
    table = Table(1, 1, 0, "1", 0, 0)
    before = {"shop": figures.Database({"stays": table, "goes": table}), "gone": figures.Database()}
    after = {"shop": figures.Database({"stays": table, "comes": table}), "new": figures.Database()}

    assert figures.bounds(before, after, same_pages=True) == {"shop": {"tables": {"stays": {"rows": [1, 1]}}}}


def test_what_may_not_be_looked_at_is_said() -> None:
    before = {"shop": figures.Database(reason="the role may not connect to it")}

    assert figures.bounds(before, before, same_pages=True)["shop"] == {
        "tables": {},
        "not_looked_at": "the role may not connect to it",
    }


def test_a_locked_table_is_not_waited_for_and_nothing_is_promised_of_its_rows(cluster: SourceCluster) -> None:
    with psycopg.connect(cluster.dsn(dbname="shop")) as holder:
        holder.execute("LOCK TABLE customers")
        started = time.monotonic()

        tables = figures.snapshot(Address.of(spec(cluster).settings), only="shop")["shop"].tables

    assert time.monotonic() - started < 20
    locked = tables['"public"."customers"']
    assert (locked.rows, locked.size_bytes) == (None, None)
    assert table_bounds(locked, locked, same_pages=True) == {"not_measured": "it was locked"}
    assert tables['"public"."orders"'].rows == 20_000


def test_rows_that_row_security_hides_are_not_taken_for_all_rows(cluster: SourceCluster) -> None:
    cluster.execute("CREATE TABLE IF NOT EXISTS hidden (n int)", dbname="shop")
    cluster.execute("ALTER TABLE hidden ENABLE ROW LEVEL SECURITY", dbname="shop")
    try:
        address = Address.of(spec(cluster, user="keeper", password="keeper only").settings)
        tables = figures.snapshot(address, only="shop")["shop"].tables
    finally:
        cluster.execute("DROP TABLE hidden", dbname="shop")

    assert tables['"public"."hidden"'].rows is None
    assert '"public"."scratchpad"' not in tables  # unlogged: empty after every recovery


def test_no_time_left_to_count_still_gives_sizes(cluster: SourceCluster) -> None:
    taken = figures.snapshot(Address.of(spec(cluster).settings), only="shop", budget_seconds=0)

    assert {table.rows for table in taken["shop"].tables.values()} == {None}


def test_the_marker_disturbs_no_search_path(cluster: SourceCluster) -> None:
    """A schema named like the role would be first in its search path and catch its next CREATE TABLE."""
    address = Address.of(spec(cluster).settings)
    written = figures.write_marker(address, "marker-test")
    cluster.execute("CREATE TABLE made_after_the_marker (n int)", dbname="shop")
    found = cluster.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'made_after_the_marker'", dbname="shop")
    cluster.execute("DROP TABLE made_after_the_marker", dbname="shop")

    assert json.loads(json.dumps(written))["backup_id"] == "marker-test"
    assert found == [("public",)]
