"""What is looked at on a restored server; every check can fail."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from backups.engines.base import Check, Outcome
from backups.engines.postgres.reasons import cannot_look, last_lines
from backups.engines.postgres.server import PrivateServer
from backups.engines.postgres.tools import Toolset
from backups.engines.work import Work
from sysops.kernel import process

NAMED_AT_MOST = 20
CUSTOM_CHECK_SECONDS = 300
CHECK_ROLE = "sysops_check"

Connection = psycopg.Connection[tuple[object, ...]]


def look(
    server: PrivateServer,
    *,
    figures: Mapping[str, object],
    work: Work,
    toolset: Toolset,
    rename: Mapping[str, str] = {},
) -> list[Check]:
    """Marker, databases and tables, row counts, pg_amcheck: in this order, all of them.

    `rename` gives the restored name of a source's database where it differs.
    """
    checks = [_timed(lambda: marker(server, figures, rename))]
    work.say("counting rows")
    checks += _counts(server, figures, work, rename)
    work.say("checking every table and index")
    checks.append(amcheck(server, work=work, toolset=toolset))
    return checks


def marker(server: PrivateServer, figures: Mapping[str, object], rename: Mapping[str, str]) -> Check:
    """Whether the row written just before the backup is there again."""
    told = figures.get("marker")
    if not isinstance(told, Mapping) or "backup_id" not in told:
        reason = told.get("reason") if isinstance(told, Mapping) else "no marker is on record"
        return Check("marker", Outcome.COULD_NOT, f"No marker row was written before the backup: {reason}")
    database = str(told["database"])
    try:
        with psycopg.connect(server.conninfo(rename.get(database, database)), autocommit=True) as connection:
            row = connection.execute(
                "SELECT written_at::text FROM sysops_backup.marker WHERE backup_id = %s", (told["backup_id"],)
            ).fetchone()
    except psycopg.Error as exc:
        said = _words(exc)
        return Check("marker", _failed_unless_hindered(said), f"The marker table cannot be read: {said}", dict(told))
    if row is None:
        return Check("marker", Outcome.FAILED, "The row written just before the backup is not in it", dict(told))
    return Check("marker", Outcome.PASSED, f"The row written at {told['written_at']} is there", dict(told))


def _counts(server: PrivateServer, figures: Mapping[str, object], work: Work, rename: Mapping[str, str]) -> list[Check]:
    started = time.monotonic()
    promised = figures.get("databases")
    if not isinstance(promised, Mapping) or not promised:
        reason = "No figures were taken around the backup"
        return [Check(name, Outcome.COULD_NOT, reason) for name in ("tables", "rows")]
    tally = _Tally()
    for name, entry in promised.items():
        work.left()
        _count_database(server, str(name), rename.get(str(name), str(name)), entry, tally, work)
    return tally.checks(time.monotonic() - started)


class _Tally:
    """What counting found, over all databases."""

    def __init__(self) -> None:
        self.databases = self.tables = self.counted = self.sized = self.rows = 0
        self.missing: list[str] = []
        self.outside: list[str] = []
        self.not_looked_at: dict[str, str] = {}
        self.ranges: dict[str, object] = {}

    def checks(self, seconds: float) -> list[Check]:
        figures: dict[str, object] = {"databases": self.databases, "tables": self.tables}
        if self.not_looked_at:
            figures["not_looked_at"] = self.not_looked_at
        return [self._tables(dict(figures)), self._rows(dict(figures), seconds)]

    def _tables(self, figures: dict[str, object]) -> Check:
        if self.missing:
            figures["missing"] = self.missing[:NAMED_AT_MOST]
            said = ", ".join(self.missing[:NAMED_AT_MOST])
            return Check("tables", Outcome.FAILED, f"{len(self.missing)} are not there: {said}", figures)
        if not self.databases:
            return Check("tables", Outcome.COULD_NOT, "No database could be looked at before the backup", figures)
        detail = f"All {self.databases} databases and {self.tables} tables seen before and after the backup are there"
        return Check("tables", Outcome.PASSED, detail, figures)

    def _rows(self, figures: dict[str, object], seconds: float) -> Check:
        figures |= {"counted": self.counted, "by_size": self.sized, "rows": self.rows}
        if self.ranges:
            figures["bounds"] = self.ranges
        if self.outside:
            figures["outside"] = self.outside[:NAMED_AT_MOST]
            said = "; ".join(self.outside[:NAMED_AT_MOST])
            return Check(
                "rows", Outcome.FAILED, f"{len(self.outside)} tables are out of bounds: {said}", figures, seconds
            )
        if not self.counted + self.sized:
            return Check("rows", Outcome.COULD_NOT, "There was no table to count", figures, seconds)
        detail = (
            f"{self.counted} tables have as many rows ({self.rows} in all) as the counts around the backup allow"
            + (f", {self.sized} too large to count then have a size within theirs" if self.sized else "")
        )
        return Check("rows", Outcome.PASSED, detail, figures, seconds)


def _count_database(
    server: PrivateServer, name: str, restored: str, entry: Mapping[str, object], tally: _Tally, work: Work
) -> None:
    if reason := entry.get("not_looked_at") or entry.get("left_out"):
        tally.not_looked_at[name] = str(reason)
    try:
        connection = psycopg.connect(server.conninfo(restored, seconds=work.left()), autocommit=True)
    except psycopg.Error as exc:
        tally.missing.append(f"database {name} ({_words(exc)})")
        return
    tally.databases += 1
    tables = entry.get("tables")
    with connection:
        for table, promise in (tables if isinstance(tables, Mapping) else {}).items():
            work.left()
            _count_table(connection, name, str(table), promise, tally)


def _count_table(
    connection: Connection, database: str, table: str, promise: Mapping[str, object], tally: _Tally
) -> None:
    tally.tables += 1
    label = f"{database}: {table}"
    found = connection.execute("SELECT to_regclass(%s)::oid", (table,)).fetchone()
    if not found or found[0] is None:
        tally.missing.append(f"table {label}")
        return
    rows = promise.get("rows")
    if "not_measured" in promise:
        return
    query = (
        sql.SQL("SELECT count(*) FROM {}").format(sql.SQL(table))
        if rows
        else sql.SQL("SELECT pg_relation_size({})").format(sql.Literal(found[0]))
    )
    try:
        row = connection.execute(query).fetchone()
    except psycopg.Error as exc:
        tally.outside.append(f"{label} cannot be read ({_words(exc)})")
        return
    value = int(str(row[0])) if row else -1
    low, high = _range(rows or promise.get("bytes"))
    if rows:
        tally.counted += 1
        tally.rows += value
    else:
        tally.sized += 1
    if low != high and rows and len(tally.ranges) < NAMED_AT_MOST:
        tally.ranges[label] = {"found": value, "at_least": low, "at_most": high}
    if not low <= value <= high:
        tally.outside.append(f"{label} has {value} {'rows' if rows else 'bytes'}, not {low} to {high}")


def _range(value: object) -> tuple[int, int]:
    low, high = value if isinstance(value, Sequence) and len(value) == 2 else (0, 1 << 62)
    return int(low), int(high)


def amcheck(server: PrivateServer, *, work: Work, toolset: Toolset) -> Check:
    """pg_amcheck of all databases: every table and every index, entries matched against the heap."""
    argv = [toolset["pg_amcheck"], "--all", "--install-missing", "--heapallindexed", "--no-password"]
    found: list[str] = []

    def hear(_stream: process.Stream, line: str) -> None:
        if len(found) < NAMED_AT_MOST and not line.startswith(("\t", "        ")):
            found.append(line.strip())

    result = work.run(argv, env=server.environ(), on_line=hear)
    mismatched = collations_changed(server)
    figures: dict[str, object] = {"exit_code": result.returncode}
    if mismatched:
        figures["collations_changed"] = mismatched
    if result.returncode == 0 and not found:
        return Check(
            "amcheck", Outcome.PASSED, "pg_amcheck found nothing wrong in any table or index", figures, result.seconds
        )
    said = " | ".join(found[:5]) or f"exit code {result.returncode}"
    if re.search(r'amcheck" is not available|could not open extension control file|extension "amcheck"', said):
        return Check(
            "amcheck", Outcome.COULD_NOT, f"The amcheck extension is not here: {said}", figures, result.seconds
        )
    if result.returncode < 0:
        return Check("amcheck", Outcome.COULD_NOT, f"pg_amcheck died: {said}", figures, result.seconds)
    figures["found"] = found
    if mismatched and re.search(r"item order invariant|lacks matching index tuple", said):
        detail = f"Indexes seem out of order, but this machine sorts otherwise ({', '.join(mismatched)}): {said}"
        return Check("amcheck", Outcome.COULD_NOT, detail, figures, result.seconds)
    return Check("amcheck", _failed_unless_hindered(said), f"pg_amcheck: {said}", figures, result.seconds)


def collations_changed(server: PrivateServer) -> list[str]:
    """Databases whose sort order has another version on this machine: their text indexes may look wrong."""
    query = (
        "SELECT datname FROM pg_database WHERE datcollversion IS NOT NULL "
        "AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid) ORDER BY 1"
    )
    try:
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            return [str(name) for (name,) in connection.execute(query).fetchall()]
    except psycopg.Error:
        return []


def custom(server: PrivateServer, checks: Sequence[Mapping[str, str]], *, database: str, work: Work) -> list[Check]:
    """The policy's own questions, asked read-only by a role that may read everything and do nothing else."""
    if not checks:
        return []
    try:
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            # Not as superuser: a policy's author must not get to run programs here through COPY … TO PROGRAM.
            connection.execute(
                sql.SQL(
                    "DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN BYPASSRLS; GRANT pg_read_all_data TO {role}"
                ).format(role=sql.Identifier(CHECK_ROLE))
            )
    except psycopg.Error as exc:
        return [Check(f"custom: {c['name']}", Outcome.COULD_NOT, f"No role to ask as: {_words(exc)}") for c in checks]
    return [_timed(lambda asked=asked: _ask(server, asked, database, work)) for asked in checks]  # type: ignore[misc]


def _ask(server: PrivateServer, asked: Mapping[str, str], database: str, work: Work) -> Check:
    name, dbname = f"custom: {asked['name']}", asked.get("database") or database
    work.say(f"asking {asked['name']}")
    seconds = min(CUSTOM_CHECK_SECONDS, work.left())
    try:
        info = server.conninfo(dbname, user=CHECK_ROLE, seconds=seconds)
        with psycopg.connect(info) as connection:
            connection.read_only = True
            # A prepared statement is one statement: nothing can follow that turns read-only off.
            row = connection.execute(asked["sql"].encode(), prepare=True).fetchone()
    except psycopg.Error as exc:
        said = _words(exc)
        return Check(name, _failed_unless_hindered(said), f"It could not be answered: {said}", {"database": dbname})
    answer = row[0] if row else None
    right = answer is True or (
        not isinstance(answer, bool | str) and answer is not None and _is_number(answer) and answer != 0
    )
    figures = {"database": dbname, "answer": str(answer)}
    outcome = Outcome.PASSED if right else Outcome.FAILED
    return Check(name, outcome, f"The answer was {'nothing' if row is None else answer}", figures)


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def checksums(data: Path, *, work: Work, toolset: Toolset) -> Check:
    """pg_checksums on the stopped cluster: every page of every file."""
    work.say("checking every page's checksum")
    result = work.run([toolset["pg_checksums"], "--check", "-D", data], as_server_user=True)
    said = f"{result.stdout}\n{result.stderr}"
    counted = {k: int(v) for k, v in re.findall(r"(Files scanned|Blocks scanned|Bad checksums):\s+(\d+)", said)}
    figures: dict[str, object] = {k.lower().replace(" ", "_"): v for k, v in counted.items()}
    if "not enabled" in said:
        detail = "The source has no data checksums, so its pages cannot be checked; see pg_checksums --enable"
        return Check("checksums", Outcome.COULD_NOT, detail, figures, result.seconds)
    bad = counted.get("Bad checksums")
    if result.returncode == 0 and bad == 0 and counted.get("Blocks scanned"):
        detail = f"{counted['Blocks scanned']} pages have the right checksum"
        return Check("checksums", Outcome.PASSED, detail, figures, result.seconds)
    if bad or "checksum verification failed" in said:
        return Check("checksums", Outcome.FAILED, f"Pages are corrupt: {last_lines(said)}", figures, result.seconds)
    hindered = result.returncode < 0 or "shut down" in said
    outcome = Outcome.COULD_NOT if hindered else _failed_unless_hindered(said)
    return Check("checksums", outcome, f"pg_checksums: {last_lines(said)}", figures, result.seconds)


def _failed_unless_hindered(said: str) -> Outcome:
    return Outcome.COULD_NOT if cannot_look(said) else Outcome.FAILED


def _timed(check: Callable[[], Check]) -> Check:
    started = time.monotonic()
    made = check()
    return Check(made.name, made.outcome, made.detail, made.figures, time.monotonic() - started)


def _words(exc: psycopg.Error) -> str:
    return " ".join(str(exc).split())[:500]
