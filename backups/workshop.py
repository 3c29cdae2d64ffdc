"""What a worker brings to the work: engines, stores, tools, clock, name. Passed in, so tests bring their own."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings

from backups.engines.base import Check, Engine, Link, Outcome, SourceSpec, Tools, engines
from backups.models import Backup, Source
from backups.models import Store as StoreRow
from backups.rules import BackupType
from backups.stores.base import Store, StoreError, stores
from sysops.access import driver_settings as secrets
from sysops.access.secrets import CannotOpen
from sysops.env import Environment
from sysops.kernel.clock import utc_now
from sysops.kernel.registry import UnknownName

NOT_SET_UP = (UnknownName, CannotOpen)  # a driver that is not installed here, a secret that no key opens


def open_store(row: StoreRow) -> Store:
    """The driver for a store's row, its secrets resolved."""
    return stores.get(row.driver)({**row.settings, **secrets.unsealed(row.sealed_settings)})


@dataclass(frozen=True)
class StoreRoom:
    """How a store is: `problem` says in words why nothing can be written there."""

    name: str
    free_bytes: int | None
    total_bytes: int | None
    problem: str | None


def store_rooms() -> list[StoreRoom]:
    """Every store, tried by writing to it."""
    found = []
    for row in StoreRow.objects.order_by("slug"):
        try:
            store = open_store(row)
            store.check()
            found.append(StoreRoom(row.slug, store.free_bytes(), store.total_bytes(), None))
        except (StoreError, UnknownName, CannotOpen) as exc:
            found.append(StoreRoom(row.slug, None, None, str(exc)))
    return found


def spec_of(source: Source) -> SourceSpec:
    """What an engine is told of a source, its secrets resolved."""
    return SourceSpec(slug=source.slug, settings={**source.settings, **secrets.unsealed(source.sealed_settings)})


def tools_here() -> Tools:
    """The tools and folders of this machine, from the environment."""
    env: Environment = settings.ENV
    return Tools(pg_bin_dirs=tuple(env.pg_bin_dirs), os_user=env.pg_os_user, scratch_dir=env.scratch)


@dataclass(frozen=True)
class Workshop:
    """One worker's means."""

    engine: Callable[[str], Engine]
    store: Callable[[StoreRow], Store]
    tools: Tools
    now: Callable[[], datetime]
    host: str


def here() -> Workshop:
    """The means of this process."""
    env: Environment = settings.ENV
    return Workshop(engine=engines.get, store=open_store, tools=tools_here(), now=utc_now, host=env.host_name)


def link_of(backup: Backup, path: Path) -> Link:
    """A stored backup as engines see it."""
    return Link(backup_id=str(backup.pk), backup_type=BackupType(backup.backup_type), path=path, figures=backup.figures)


def check_source(source: Source, workshop: Workshop) -> Sequence[Check]:
    """What stands between a source and its next backup, looked at now and from this machine. Changes nothing."""
    try:
        return workshop.engine(source.engine).check_settings(spec_of(source), workshop.tools)
    except NOT_SET_UP as exc:
        return [Check("settings", Outcome.FAILED, str(exc))]


@contextmanager
def opened_chain(links: Sequence[Backup], workshop: Workshop) -> Iterator[list[Link]]:
    """Every backup of a chain, readable on this machine until the block ends. Raises StoreError."""
    with ExitStack() as stack:
        yield [link_of(b, stack.enter_context(workshop.store(b.store).local(b.key))) for b in links]
