"""What tools and servers say, in one word and a sentence. The texts are PostgreSQL's own."""

import pytest

from backups.engines.base import ParentUnusable
from backups.engines.postgres import reasons
from sysops.kernel.process import Result

SAID = [
    ('connection to server at "db", port 5432 failed: Connection refused', "connection_refused"),
    ('connection to server on socket "/x/.s.PGSQL.5432" failed: No such file or directory\n\tIs the server running '
     "locally and accepting connections on that socket?", "connection_refused"),
    ('could not translate host name "db" to address: Name or service not known', "host_unknown"),
    ('FATAL:  password authentication failed for user "me"', "authentication"),
    ("fe_sendauth: no password supplied", "authentication"),
    ('FATAL:  role "me" does not exist', "authentication"),
    ("FATAL:  permission denied to start WAL sender", "permission"),
    ('FATAL:  no pg_hba.conf entry for replication connection from host "::1"', "permission"),
    ("pg_dump: error: query failed: ERROR:  permission denied for table secret", "permission"),
    ('could not write to file "base.tar": No space left on device', "no_space"),
    ("server closed the connection unexpectedly", "source_stopped"),
    ("FATAL:  terminating connection due to administrator command", "source_stopped"),
    ("FATAL:  the database system is shutting down", "source_stopped"),
    ("FATAL:  the database system is starting up", "source_starting"),
    ("ERROR:  incremental backups cannot be taken unless WAL summarization is enabled", "wal_summaries_missing"),
    ("ERROR:  WAL summaries are required on timeline 1 from 0/1 to 0/2, but no summaries for that timeline and LSN "
     "range exist", "wal_summaries_missing"),
    ("ERROR:  system identifier in backup manifest is 1, but database system identifier is 2", "system_mismatch"),
    ("ERROR:  timeline 3 found in manifest, but not in this server's history", "parent_mismatch"),
    ("pg_basebackup: error: checksum error occurred", "source_corrupt"),
    ('FATAL:  number of requested standby connections exceeds "max_wal_senders" (currently 10)',
     "too_many_connections"),
    ("connection to server failed: timeout expired", "connect_timeout"),
    ('sslmode value "require" invalid when SSL support is not compiled in', "tls_unsupported"),
]  # fmt: skip


def result(said: str, code: int = 1) -> Result:
    return Result(("pg_basebackup",), code, 1.0, "", said)


@pytest.mark.parametrize(("said", "code"), SAID)
def test_what_was_said_gets_its_code_and_is_quoted(said: str, code: str) -> None:
    error = reasons.from_result(result(said))

    assert error.code == code
    assert said.split("\n")[0].split(":")[-1].strip() in str(error)


def test_missing_summaries_and_foreign_parents_ask_for_a_full_backup() -> None:
    for said, code in SAID:
        error = reasons.from_result(result(said))
        assert isinstance(error, ParentUnusable) == (
            code in ("wal_summaries_missing", "system_mismatch", "parent_mismatch")
        )


def test_what_nobody_knows_is_quoted_as_it_is() -> None:
    error = reasons.from_result(result("pg_basebackup: error: the moon is full"))

    assert (error.code, error.permanent) == ("unexpected", False)
    assert "the moon is full" in str(error)


def test_a_tool_that_died_silently_is_said_to_have_died() -> None:
    assert "signal 9" in str(reasons.from_result(result("", code=-9)))
