"""One running Sysops for all tests of a module, and a database for it to back up."""

from collections.abc import Iterator

import pytest

from tests.running import Sysops
from tests.services import Home, MakeCluster, SourceCluster, free_port


@pytest.fixture(scope="module")
def sysops(home: Home) -> Iterator[Sysops]:
    """One instance for all tests of a module."""
    port = free_port()
    made = Sysops.below(home.dir / "up" / str(port), port=port)
    made.start()
    made.sign_in()
    yield made
    made.http.close()
    made.stop()


@pytest.fixture(scope="module")
def cluster(make_cluster_for_session: MakeCluster) -> SourceCluster:
    """The database that the faults are about."""
    made = make_cluster_for_session()
    made.execute("CREATE TABLE orders AS SELECT g AS id, md5(g::text) AS note FROM generate_series(1, 20000) g")
    return made
