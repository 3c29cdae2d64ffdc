"""Drivers known by name in these tests, a mail server, and no message to the queue."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.services import free_port

if TYPE_CHECKING:  # a conftest is loaded before Django is set up
    from tests.notifications.support import Clock, FakeDriver, MailServer


@pytest.fixture(autouse=True)
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the tasks that were sent."""
    from notifications.services import channels, fan_out, messages, sending

    sent: list[str] = []

    def wake(name: str, **_: object) -> bool:
        sent.append(name)
        return True

    for module in (channels, fan_out, messages, sending):
        monkeypatch.setattr(module, "wake", wake)
    return sent


@pytest.fixture
def clock() -> "Clock":
    from tests.notifications.support import Clock

    return Clock()


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> "FakeDriver":
    """The driver `fake`, which reaches people by e-mail."""
    return _known(monkeypatch, "fake", "email")


@pytest.fixture
def sms(monkeypatch: pytest.MonkeyPatch) -> "FakeDriver":
    """The driver `sms`, which reaches people by phone."""
    return _known(monkeypatch, "sms", "sms")


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> "FakeDriver":
    """The driver `room`, which leads to one place."""
    return _known(monkeypatch, "room", "")


@pytest.fixture
def mail_server() -> Iterator["MailServer"]:
    """A real SMTP server, started."""
    from tests.notifications.support import MailServer

    server = MailServer(free_port())
    server.start()
    yield server
    server.stop()


def _known(monkeypatch: pytest.MonkeyPatch, name: str, reaches: str) -> "FakeDriver":
    from notifications.channels.base import drivers
    from tests.notifications.support import FakeDriver

    driver = FakeDriver(reaches)
    monkeypatch.setitem(drivers._things, name, driver)
    return driver
