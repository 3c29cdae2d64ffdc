"""What PostgreSQL's tools and servers say, turned into a code, words and a remedy."""

import re
from dataclasses import dataclass

import psycopg

from backups.engines.base import EngineError, ParentUnusable
from sysops.kernel import process


@dataclass(frozen=True)
class Reason:
    """A stable code, what it means in words, and whether only a person can change it."""

    code: str
    words: str
    permanent: bool = False
    parent: bool = False  # a full backup would work where this one cannot


# The order matters: the first that fits is the reason.
_REASONS: dict[Reason, tuple[str, ...]] = {
    Reason("no_space", "There is no room left on the disk"): ("No space left on device", "Disk quota exceeded"),
    Reason("host_unknown", "The source's host name cannot be resolved"): (
        "could not translate host name",
        "Name or service not known",
        "nodename nor servname",
    ),
    Reason("authentication", "The source refused the user or password"): (
        "password authentication failed",
        "no password supplied",
        "empty password",
        "authentication failed for user",
        r"role \"[^\"]*\" does not exist",
        r"role \"[^\"]*\" is not permitted to log in",
    ),
    Reason(
        "permission", "The source's pg_hba.conf does not let us in (a physical backup needs a `replication` line)"
    ): (r"no pg_hba\.conf entry", r"pg_hba\.conf rejects"),
    Reason("permission", "The role may not replicate; on the source run: ALTER ROLE <role> REPLICATION"): (
        "permission denied to start WAL sender",
        "must be superuser or replication role",
    ),
    Reason("permission", "The role may not read everything; on the source run: GRANT pg_read_all_data TO <role>"): (
        "permission denied for (?:table|schema|sequence|large object|database|function)",
    ),
    Reason(
        "tls_unsupported",
        "The PostgreSQL tools here cannot speak TLS; name others in SYSOPS_PG_BIN_DIRS",
        permanent=True,
    ): ("sslmode value .* invalid when SSL support is not compiled in",),
    Reason("tls", "The encrypted connection to the source could not be made"): (
        "server does not support SSL",
        "certificate verify failed",
        "SSL error",
        "root certificate file",
    ),
    Reason(
        "wal_summaries_missing",
        "The source lacks the WAL summaries since the parent; keep summarize_wal = on "
        "(and wal_summary_keep_time long enough)",
        parent=True,
    ): (
        "incremental backups cannot be taken unless WAL summarization is enabled",
        "WAL summaries are required on",
        "WAL summarization is not",
    ),
    Reason("system_mismatch", "The parent is a backup of another database system", parent=True): (
        "system identifier in (?:backup )?manifest",
        "manifest system identifier",
        "backup manifest database system identifier",
    ),
    Reason("parent_mismatch", "The source's history does not contain the parent backup", parent=True): (
        r"timeline \d+ found in manifest",
        "manifest requires WAL from",
        "expected (?:full|incremental) backup",
        "could not parse backup manifest",
    ),
    Reason("source_corrupt", "Pages of the source itself fail their checksums: it needs care before its next backup"): (
        "checksum error occurred",
        "checksum verification failed",
    ),
    Reason(
        "compression_unsupported",
        "The PostgreSQL tools here cannot compress this way; choose gzip or none",
        permanent=True,
    ): ("invalid compression specification",),
    Reason("version_mismatch", "The PostgreSQL tools here are older than the source", permanent=True): (
        "aborting because of server version mismatch",
        "incompatible server version",
    ),
    Reason(
        "too_many_connections",
        "The source has no connection left for the backup (max_connections, max_wal_senders)",
    ): (
        "number of requested standby connections exceeds",
        "all replication slots are in use",
        "too many (?:clients|connections)",
        "remaining connection slots",
    ),
    Reason("no_such_database", "The source has no such database", permanent=True): (
        r"database \"[^\"]*\" does not exist",
    ),
    Reason("source_starting", "The source is still starting"): (
        "the database system is (?:starting up|in recovery mode|not yet accepting)",
    ),
    Reason("source_stopped", "The source went away in the middle of the backup"): (
        "the database system is shutting down",
        "terminating connection",
        "server closed the connection",
        "connection to server was lost",
        "SSL connection has been closed",
        "could not receive data",
        "could not read COPY data",
        "Connection reset by peer",
        "consuming input failed",
        "connection not open",
        "the connection is lost",
    ),
    Reason("connection_refused", "The source does not answer: no server listens there"): (
        "Connection refused",
        r"No such file or directory\s+Is the server running",
        "could not connect to server",
        "Network is unreachable",
        "No route to host",
    ),
    Reason("connect_timeout", "The source did not answer in time"): (
        "timeout expired",
        "connection timeout",
        "Connection timed out",
    ),
    Reason("permission", "The operating system refused access"): ("Permission denied",),
}
_COMPILED = [(re.compile("|".join(patterns), re.I), reason) for reason, patterns in _REASONS.items()]


# What a tool says when this machine kept it from looking: of the files it says nothing. As written: a server's own
# "permission denied" is another thing.
_OF_THIS_MACHINE = re.compile(
    "Permission denied|Operation not permitted|Stale (?:NFS )?file handle|Too many open files|No space left on device|"
    "Disk quota exceeded|File too large|Cannot allocate memory|out of memory|[Tt]imed out|Read-only file system|"
    "Resource temporarily unavailable|Transport endpoint is not connected|Host is down|Interrupted system call|"
    "Device or resource busy|No such device|Exec format error|error while loading shared libraries|"
    'was not found in the same directory|not the same version|could not execute command|could not find a "|'
    "unrecognized option|invalid option|not supported by this build|this build does not support|cannot read tar files"
)
_OF_THE_DISK = re.compile("Input/output error|Bad message|Structure needs cleaning")


def cannot_look(text: str) -> bool:
    """Whether a tool says that it could not look, for reasons of this machine."""
    return bool(_OF_THIS_MACHINE.search(text))


def disk_failed(text: str) -> bool:
    """Whether the disk could not give back what was written; perhaps it can a second time."""
    return bool(_OF_THE_DISK.search(text))


def obstacle(said: str) -> EngineError:
    """For work that this machine kept from being done."""
    full = re.search("No space left|Disk quota", said)
    return EngineError(f"This machine could not do it: {said}", code="no_space" if full else "cannot_here")


def from_text(text: str) -> Reason | None:
    """The reason that the text tells, or None when it tells none that we know."""
    for pattern, reason in _COMPILED:
        if pattern.search(text):
            return reason
    return None


def from_result(result: process.Result) -> EngineError:
    """Why a tool failed."""
    said = result.words
    reason = from_text(f"{result.stderr}\n{result.stdout}")
    if reason is None:
        how = f"signal {-result.returncode}" if result.returncode < 0 else f"exit code {result.returncode}"
        return EngineError(f"{result.tool} ended with {how}: {last_lines(said) or 'it said nothing'}")
    return _error(reason, last_lines(said))


def from_connection(exc: psycopg.Error, *, secrets: tuple[str, ...] = ()) -> EngineError:
    """Why a connection could not be made or broke."""
    said = " ".join(str(exc).split())
    for secret in filter(None, secrets):
        said = said.replace(secret, "[redacted]")
    return _error(from_text(str(exc)) or Reason("connection", "The source could not be asked"), said)


def last_lines(text: str, count: int = 4) -> str:
    """The last lines that say something, in one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not re.match(r"\s*\d+/\d+ kB \(", line)]
    errors = [line for line in lines if re.search(r"error|fatal|panic|denied|failed", line, re.I)]
    return " | ".join((errors or lines)[-count:])


def _error(reason: Reason, said: str) -> EngineError:
    kind = ParentUnusable if reason.parent else EngineError
    return kind(f"{reason.words}. ({said})" if said else reason.words, code=reason.code, permanent=reason.permanent)
