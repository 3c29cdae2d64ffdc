"""One PostgreSQL and one Valkey for the whole session; Django's settings find them in the environment.

This module is imported before Django reads its settings: pyproject does not name DJANGO_SETTINGS_MODULE,
because pytest-django would then read them before any conftest. We name it here, after the variables are set.
"""

import os
from collections.abc import Iterator

import django
import pytest
from django.core.servers.basehttp import WSGIRequestHandler
from pytest_django import DjangoDbBlocker

from tests.flushing import Flushing
from tests.services import Home, home, make_cluster, make_cluster_for_session, the_home

__all__ = ["home", "make_cluster", "make_cluster_for_session"]

for name in [name for name in os.environ if name.startswith("SYSOPS_") and name != "SYSOPS_PG_OS_USER"]:
    del os.environ[name]  # an instance the developer works with must not be met by a test
os.environ.update(the_home().environ())
os.environ["DJANGO_SETTINGS_MODULE"] = "sysops.settings"
django.setup()  # pytest-django does it by itself only for settings named in the ini file
# The live server writes head and body apart; each answer would else wait 40 ms for the reader's acknowledgement.
WSGIRequestHandler.disable_nagle_algorithm = True


def pytest_configure(config: pytest.Config) -> None:
    """The process that only hands tests out keeps its environment from the ones that run them.

    pytest-django would read the settings there before this module could name that process' own servers.
    """
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        for name in [name for name in os.environ if name.startswith("SYSOPS_") and name != "SYSOPS_PG_OS_USER"]:
            del os.environ[name]
        del os.environ["DJANGO_SETTINGS_MODULE"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests go first: none of them is left for the end, when the other processes are done."""
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Bytes that are no text are named by their length: gzip writes the time into them.

    Two processes that collect the same tests a second apart would otherwise know them by different names.
    """
    if isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable()):
        return f"{len(val)}_bytes"
    return None


@pytest.fixture(scope="session", autouse=True)
def servers(home: Home) -> Iterator[Home]:
    """The session's PostgreSQL and Valkey, running."""
    home.start()
    yield home
    home.close()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The test database, which is as now again after each test that commits."""
    from django.test import TransactionTestCase

    with django_db_blocker.unblock():
        flushing = Flushing()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: flushing.flush())
        yield


@pytest.fixture
def child_environ(django_db_setup: None) -> dict[str, str]:
    """Environment for child processes (CLI, workers) that work on the same test database as the test."""
    from django.conf import settings

    name = str(settings.DATABASES["default"]["NAME"])
    url = os.environ["SYSOPS_DATABASE_URL"].replace("/sysops?", f"/{name}?")
    return {**os.environ, "SYSOPS_DATABASE_URL": url}
