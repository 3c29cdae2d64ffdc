"""The embedded servers of one data folder, as programs to run and as settings for everybody else."""

import contextlib
import secrets
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sysops.env import Environment
from sysops.kernel.osuser import OsUser
from sysops.stack import postgres, valkey
from sysops.stack.datadir import Places, kept_secret
from sysops.stack.errors import StackError
from sysops.stack.places import private_dir
from sysops.stack.programs import Program


@dataclass(frozen=True)
class Servers:
    """What was prepared: programs to run first, and settings (by field name) that lead to them."""

    programs: list[Program] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict, repr=False)
    cluster: postgres.Cluster | None = None


def prepare(env: Environment, *, user: OsUser, places: Places, mark: Mapping[str, str]) -> Servers:
    """Make ready what is not named by a URL in `env`. Raises StackError."""
    servers = Servers(
        settings={
            "scratch_dir": str(env.scratch_dir or places.scratch),
            "restore_dir": str(env.restore_dir or places.restores),
        }
    )
    if user.spawn_as():
        servers.settings["pg_os_user"] = user.name
    cluster = None
    if env.database_url is None:
        cluster = _cluster(env, user=user, places=places)
        servers.programs.append(_postgres_program(cluster, mark))
        servers.settings["database_url"] = cluster.url()
        servers.settings["pg_bin_dirs"] = str(cluster.bin_dir)
    elif not env.pg_bin_dirs:
        with contextlib.suppress(StackError):  # no tools here: backups say so themselves
            found = postgres.reachable(postgres.find(), user, copies=places.copies)
            servers.settings["pg_bin_dirs"] = str(found.bin_dir)
    if env.broker_url is None:
        queue = valkey.Queue(valkey.find(), data_dir=env.data_dir / "valkey", socket=places.sockets / "valkey.sock")
        servers.programs.append(_valkey_program(queue, mark))
        servers.settings["broker_url"] = queue.url
    return Servers(servers.programs, servers.settings, cluster)


def _cluster(env: Environment, *, user: OsUser, places: Places) -> postgres.Cluster:
    installation = postgres.reachable(postgres.find(env.pg_bin_dirs), user, copies=places.copies)
    _refuse_another_major(places.postgres, installation)
    secret = env.data_dir / "secrets" / "postgres"
    if (places.postgres / "PG_VERSION").exists() and not secret.exists():
        raise StackError(f"{secret} is missing, the password of the database in {places.postgres}; put it back")
    socket_dir = places.sockets / "pg"
    # A folder left by a killed server may hold sockets and locks of process ids that are others' by now.
    shutil.rmtree(socket_dir, ignore_errors=True)
    cluster = postgres.Cluster(
        installation=installation,
        data_dir=places.postgres,
        socket_dir=private_dir(socket_dir, user),
        os_user=user,
        password=kept_secret(env.data_dir, "postgres", lambda: secrets.token_urlsafe(32)),
    )
    if not cluster.exists:
        cluster.create()
    return cluster


def _refuse_another_major(data_dir: Path, installation: postgres.Installation) -> None:
    try:
        found = (data_dir / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        if data_dir.is_dir() and any(data_dir.iterdir()):
            raise StackError(f"{data_dir} is not empty and holds no PostgreSQL database; move it away") from None
        return
    if found != str(installation.major):
        raise StackError(
            f"{data_dir} holds a database of PostgreSQL {found}, and this is PostgreSQL {installation.major}: name the "
            f"folder of PostgreSQL {found}'s programs in SYSOPS_PG_BIN_DIRS, or upgrade the data with pg_upgrade"
        )


def _postgres_program(cluster: postgres.Cluster, mark: Mapping[str, str]) -> Program:
    return Program(
        "postgres",
        cluster.argv(),
        order=10,
        env={**cluster.environ(), **mark},
        user=cluster.os_user,
        ready=cluster.answers,
        stop_signal=signal.SIGINT,  # fast: ends sessions instead of waiting for them
        stop_seconds=6.0,
        death=signal.SIGINT,
        own_group=False,  # its children lead groups of their own and leave by themselves
    )


def _valkey_program(queue: valkey.Queue, mark: Mapping[str, str]) -> Program:
    return Program(
        "valkey", queue.healing_argv(), order=11, env=mark, ready=queue.answers, stop_seconds=4.0, death=signal.SIGTERM
    )
