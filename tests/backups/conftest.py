"""The fake engine is known by name in these tests, and hands to work with are at hand."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # a conftest is loaded before Django is set up
    from tests.backups.support import Hands


@pytest.fixture
def hands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[Hands]":
    """A worker's means, its engine registered as `fake`."""
    from backups.engines.base import engines
    from tests.backups.support import FakeEngine, Hands

    made = Hands(tmp_path)
    (tmp_path / "store").mkdir()
    (tmp_path / "scratch").mkdir()
    monkeypatch.setitem(engines._things, FakeEngine.name, made.engine)
    yield made
