"""Connections to a source: bounded whatever the source does, and silent about the password."""

import time

import pytest

from backups.engines.base import EngineError
from backups.engines.postgres.connect import Address
from tests.backups.engines.helpers import faulty, spec
from tests.services import SourceCluster


def test_a_source_that_freezes_in_the_middle_of_an_answer_is_left_after_the_time_given(cluster: SourceCluster) -> None:
    """Its own statement_timeout never fires: only we can hang up."""
    started = time.monotonic()
    with faulty(cluster, after_bytes=20_000, hang=True) as proxy:
        address = Address.of(spec(cluster, port=proxy.port).settings)
        with (
            pytest.raises(EngineError, match="did not answer within 2 s") as caught,
            address.connection(seconds=1) as c,
        ):
            c.execute("SELECT repeat('x', 100000)").fetchall()

    assert caught.value.code == "connect_timeout"
    assert time.monotonic() - started < 20


def test_the_password_is_in_the_environment_of_a_tool_and_nowhere_else(cluster: SourceCluster) -> None:
    address = Address.of(spec(cluster, password="hunter2").settings)

    assert address.environ()["PGPASSWORD"] == "hunter2"
    assert "hunter2" not in repr(address)
    assert "hunter2" not in repr(spec(cluster, password="hunter2"))


def test_a_tls_file_and_mode_reach_the_tools(cluster: SourceCluster) -> None:
    address = Address.of(spec(cluster, sslmode="verify-full", sslrootcert="/etc/ca.pem").settings)

    assert address.environ()["PGSSLMODE"] == "verify-full"
    assert address.environ()["PGSSLROOTCERT"] == "/etc/ca.pem"
    assert "sslrootcert=/etc/ca.pem" in address.conninfo()
