"""One small cluster for all tests of engines, and folders that the servers' OS user can pass through."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from backups.engines.base import Check, Engine, Link, Tools
from sysops.stack import places
from tests.backups.engines.contract import NOT_TRUE
from tests.backups.engines.helpers import prove, spec
from tests.services import Home, MakeCluster, SourceCluster

FILL = """
CREATE TABLE orders (id bigserial PRIMARY KEY, note text NOT NULL);
INSERT INTO orders (note) SELECT md5(g::text) || repeat(md5((g * 7)::text), 4) FROM generate_series(1, 20000) g;
CREATE INDEX orders_note ON orders (note);
CREATE TABLE customers (id int PRIMARY KEY, name text);
INSERT INTO customers SELECT g, 'customer ' || g FROM generate_series(1, 500) g;
CREATE UNLOGGED TABLE scratchpad (n int);
INSERT INTO scratchpad VALUES (1);
CREATE ROLE clerk LOGIN PASSWORD 'clerk only';
CREATE ROLE keeper LOGIN REPLICATION PASSWORD 'keeper only';
GRANT pg_read_all_data TO keeper;
CREATE ROLE owner_of_ledger;
CREATE TABLE ledger (n int);
ALTER TABLE ledger OWNER TO owner_of_ledger;
"""


@pytest.fixture(scope="session")
def cluster(make_cluster_for_session: MakeCluster) -> SourceCluster:
    """A source with a database `shop`."""
    made = make_cluster_for_session()
    fill(made)
    return made


def fill(cluster: SourceCluster) -> None:
    cluster.execute("CREATE DATABASE shop")
    cluster.execute(FILL, dbname="shop")


@pytest.fixture(scope="session")
def tools_for_session(home: Home) -> Tools:
    scratch = places.private_dir(home.dir / "scratch-engines", home.user)
    return Tools(
        pg_bin_dirs=(home.installation.bin_dir,),
        os_user=home.user.name if home.user.spawn_as() else None,
        scratch_dir=scratch,
    )


@pytest.fixture
def tools(tools_for_session: Tools) -> Iterator[Tools]:
    """The tools; after each test the scratch folder must be empty."""
    yield tools_for_session
    assert list(tools_for_session.scratch_dir.iterdir()) == []


@pytest.fixture
def place(home: Home) -> Path:
    """A folder that the servers' OS user can reach, for targets of restores."""
    path = home.dir / f"place-{secrets.token_hex(3)}"
    path.mkdir()
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def answers(engine: Engine, cluster: SourceCluster, full: Link, tools_for_session: Tools) -> dict[str, Check]:
    """All the questions of NOT_TRUE, put to one restored server."""
    asked = [{"name": sql, "sql": sql} for sql, _ in NOT_TRUE]
    checks = prove(engine, spec(cluster), [full], tools_for_session, asked)
    return {c.name.removeprefix("custom: "): c for c in checks if c.name.startswith("custom: ")}
