"""Only the subscribers a test names, and no message to the queue unless it asks for one."""

import pytest


@pytest.fixture(autouse=True)
def _no_other_subscribers(monkeypatch: pytest.MonkeyPatch) -> None:
    from sysops.events.registry import subscribers

    monkeypatch.setattr(subscribers, "_things", {})


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the tasks that were sent."""
    from sysops.events import services

    sent: list[str] = []
    monkeypatch.setattr(services, "wake", sent.append)
    return sent
