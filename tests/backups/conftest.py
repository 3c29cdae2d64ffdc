"""The fake engine is known by name in these tests, and hands to work with are at hand."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # a conftest is loaded before Django is set up
    from tests.backups.support import Hands


@pytest.fixture
def hands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Hands":
    """A worker's means, its engine registered as `fake`."""
    from backups.engines.base import engines
    from tests.backups.support import FakeEngine, Hands

    made = Hands(tmp_path)
    (tmp_path / "store").mkdir()
    (tmp_path / "scratch").mkdir()
    monkeypatch.setitem(engines._things, FakeEngine.name, made.engine)
    return made


@pytest.fixture(autouse=True)
def _database_up_for_long(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's PostgreSQL started seconds ago; tests of recovery would otherwise be given its grace."""
    from backups.services import recovery

    if "database_grace" not in request.fixturenames:
        monkeypatch.setattr(recovery, "_database_just_came_back", lambda: False)


@pytest.fixture
def database_grace() -> None:
    """Ask for the real answer of `_database_just_came_back`."""
