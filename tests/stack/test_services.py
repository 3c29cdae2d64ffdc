"""The servers that tests stand on."""

import psycopg
import redis

from tests.services import Home, MakeCluster


def test_the_session_has_a_database_and_a_queue(servers: Home) -> None:
    with psycopg.connect(servers.database.url("postgres")) as connection:
        assert connection.execute("SHOW summarize_wal").fetchone() == ("on",)
    with redis.Redis(unix_socket_path=str(servers.queue.socket)) as client:
        assert client.ping()


def test_a_throw_away_cluster_comes_back_after_kill(make_cluster: MakeCluster) -> None:
    source = make_cluster()
    source.execute("CREATE TABLE kept AS SELECT 1 AS n")

    source.kill()
    source.start()

    assert source.execute("SELECT n FROM kept") == [(1,)]
    assert source.execute("SHOW data_checksums") == [("on",)]
