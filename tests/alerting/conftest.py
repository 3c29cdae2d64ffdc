"""Only the subscribers a test names, and no message to the queue."""

import pytest


@pytest.fixture(autouse=True)
def _no_subscribers(monkeypatch: pytest.MonkeyPatch) -> None:
    from sysops.events.registry import subscribers

    monkeypatch.setattr(subscribers, "_things", {})


@pytest.fixture(autouse=True)
def _no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    from notifications.services import messages

    monkeypatch.setattr(messages, "wake", lambda *_, **__: True)
