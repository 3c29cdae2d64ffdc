"""The driver for e-mail does what every driver must."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence

import pytest

from notifications.channels.base import Driver
from notifications.channels.email import EmailDriver
from tests.notifications.channel_contract import Bench, ChannelContract, Mood
from tests.notifications.support import MailServer
from tests.services import free_port


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that greets and says nothing more."""
    ending = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)

        def serve() -> None:
            with contextlib.ExitStack() as connections:
                while not ending.is_set():
                    with contextlib.suppress(TimeoutError):
                        connections.enter_context(listening.accept()[0]).sendall(b"220 mail.test\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            ending.set()
            thread.join(5)


class EmailBench:
    to = "ada@example.org"
    secrets: Sequence[str] = ("mail-password",)
    patience = 15.0

    def __init__(self, server: MailServer, silent: int) -> None:
        self.driver: Driver = EmailDriver()
        self._server = server
        self._silent = silent
        self._mood = Mood.ACCEPTS
        self.away: Mapping[str, object] = {
            **self._settings(free_port()),
            "username": "ada",
            "password": "mail-password",
        }

    @property
    def settings(self) -> Mapping[str, object]:
        return self._settings(self._silent if self._mood is Mood.SILENT else self._server.port)

    def behave(self, mood: Mood) -> None:
        self._mood = mood
        answer = {Mood.NEVER: "550 No such user", Mood.NOT_NOW: "450 Mailbox busy"}.get(mood, "250 OK")
        self._server.on_recipient = lambda address: answer

    def received(self) -> list[str]:
        found = [(mail["Subject"], mail.get_body(("plain",))) for mail in self._server.mails]
        return [f"{subject}\n{body.get_content() if body else ''}" for subject, body in found]

    def ids(self) -> list[str] | None:
        return [str(mail["Message-ID"]) for mail in self._server.mails]

    def _settings(self, port: int) -> dict[str, object]:
        return {
            "host": "127.0.0.1",
            "port": port,
            "security": "none",
            "from_address": "Sysops <sysops@example.org>",
            "timeout": 1,
        }


class TestContract(ChannelContract):
    @pytest.fixture
    def bench(self) -> Iterator[Bench]:
        server = MailServer(free_port())
        server.start()
        try:
            with silent_server() as silent:
                yield EmailBench(server, silent)
        finally:
            server.stop()
