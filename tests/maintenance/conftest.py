"""A gate that says what it is told to, known by name in these tests."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # a conftest is loaded before Django is set up
    from tests.maintenance.support import FakeGate


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> "FakeGate":
    """A gate registered as `fake`; open until it is told otherwise."""
    from catalogue.gates import gates
    from tests.maintenance.support import FakeGate

    made = FakeGate()
    monkeypatch.setitem(gates._things, "fake", made)
    return made
