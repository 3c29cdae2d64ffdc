"""Who would have been woken, for tests that look at it."""

import pytest


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the tasks that would have been woken, in order; nothing reaches the broker."""
    from errors.services import spooling

    names: list[str] = []

    def wake(task_name: str, *, expires: float | None = None, **arguments: object) -> bool:
        names.append(task_name)
        return True

    monkeypatch.setattr(spooling, "wake", wake)
    return names
