"""The e-mail driver against a real SMTP server, and what its answers mean."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from django.conf import settings as django_settings
from pydantic import SecretStr
from pytest_django import Settings

from notifications.channels.base import Letter, SendError
from notifications.channels.email import EmailDriver, mail_server
from sysops.access.driver_settings import BadSettings, check
from sysops.env import BadEnvironment, load
from tests.notifications.support import MailServer
from tests.services import free_port

LETTER = Letter(
    id="0f8fad5b-d9cb-469f-a165-70867728950e",
    to="ada@example.org",
    name="Ada Löwe, the 1st",
    level="warning",
    subject="Wartung – Überblick",
    text="Hello ä\n" + "x" * 12_000,
    html="<p>Hello ä</p>",
    kind="maintenance.scheduled",
    posted_at=datetime(2027, 1, 15, tzinfo=UTC),
    thread="window:12",
    unsubscribe_url="https://sysops.example/subscriptions/end/abc",
)


def settings_of(server: MailServer, **more: object) -> dict[str, object]:
    return {
        "host": "127.0.0.1", "port": server.port, "security": "none", "timeout": 2,
        "from_address": "Sysops <sysops@example.org>", **more,
    }  # fmt: skip


def send(server: MailServer, *letters: Letter) -> None:
    with EmailDriver().open(settings_of(server)) as sender:
        for letter in letters:
            sender.send(letter)


def refused(server: MailServer) -> SendError:
    with pytest.raises(SendError) as found:
        send(server, LETTER)
    return found.value


def test_a_mail_has_both_parts_and_headers_that_programs_understand(mail_server: MailServer) -> None:
    send(mail_server, LETTER)

    [mail] = mail_server.mails
    assert mail["Message-ID"] == "<0f8fad5b-d9cb-469f-a165-70867728950e@example.org>"
    assert mail["Subject"] == "Wartung – Überblick"
    assert mail["To"].addresses[0].addr_spec == "ada@example.org"
    assert mail["To"].addresses[0].display_name == "Ada Löwe, the 1st"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["References"] == mail["In-Reply-To"] == "<thread.window-12@example.org>"
    assert mail["List-Unsubscribe"] == "<https://sysops.example/subscriptions/end/abc>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail.get_content_type() == "multipart/alternative"
    text, html = mail.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert text.get_content().replace("\r\n", "\n").strip() == LETTER.text


def test_the_second_try_of_a_letter_has_the_same_id(mail_server: MailServer) -> None:
    send(mail_server, LETTER)
    send(mail_server, LETTER)

    assert len({mail["Message-ID"] for mail in mail_server.mails}) == 1


@pytest.mark.parametrize(
    "letter",
    [replace(LETTER, subject="x\r\nBcc: eve@example.org"), replace(LETTER, name="x\r\nBcc: eve@example.org")],
)
def test_no_line_break_gets_into_a_header(mail_server: MailServer, letter: Letter) -> None:
    with pytest.raises(SendError) as found:
        send(mail_server, letter)

    assert found.value.permanent
    assert mail_server.mails == []


def test_a_mailbox_that_does_not_exist_is_permanent_and_the_next_one_is_served(mail_server: MailServer) -> None:
    mail_server.on_recipient = lambda address: "550 5.1.1 No such user" if address.startswith("bob") else "250 OK"

    with EmailDriver().open(settings_of(mail_server)) as sender:
        with pytest.raises(SendError, match="No such user") as found:
            sender.send(replace(LETTER, to="bob@example.org"))
        sender.send(LETTER)

    assert (found.value.permanent, found.value.whole_channel) == (True, False)
    assert len(mail_server.mails) == 1


@pytest.mark.parametrize(
    ("answer", "permanent", "whole_channel"),
    [
        ("450 4.2.1 Mailbox busy", False, False),
        ("452 4.2.2 Mailbox full", False, False),
        ("550 5.1.1 No such user", True, False),
        ("421 4.3.2 Going away", False, True),
    ],
)
def test_what_the_answer_about_a_recipient_means(
    mail_server: MailServer, answer: str, permanent: bool, whole_channel: bool
) -> None:
    mail_server.on_recipient = lambda address: answer
    exc = refused(mail_server)
    assert (exc.permanent, exc.whole_channel) == (permanent, whole_channel)


@pytest.mark.parametrize(
    ("answer", "permanent"), [("451 4.7.1 Greylisted", False), ("554 5.7.1 Looks like spam", True)]
)
def test_what_the_answer_about_the_content_means(mail_server: MailServer, answer: str, permanent: bool) -> None:
    mail_server.on_mail = lambda mail: answer
    exc = refused(mail_server)
    assert (exc.permanent, exc.whole_channel) == (permanent, False)


def test_a_server_that_is_away_is_about_the_whole_channel() -> None:
    exc = refused(MailServer(free_port()))
    assert exc.whole_channel
    assert "cannot be used" in str(exc)


@pytest.fixture
def hanging() -> Iterator[MailServer]:
    """A server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield MailServer(listener.getsockname()[1])


def test_a_server_that_hangs_holds_nobody_for_long(hanging: MailServer) -> None:
    started = time.monotonic()
    exc = refused(hanging)

    assert exc.whole_channel
    assert time.monotonic() - started < 5


def test_a_server_that_hangs_in_the_middle_is_left_without_a_farewell(mail_server: MailServer) -> None:
    go_on = threading.Event()

    def hang(address: str) -> str:
        go_on.wait(10)
        return "250 OK"

    mail_server.on_recipient = hang
    started = time.monotonic()
    try:
        assert refused(mail_server).whole_channel
        assert time.monotonic() - started < 4
    finally:
        go_on.set()


def test_a_password_the_server_does_not_know_how_to_ask_for_is_about_the_whole_channel(mail_server: MailServer) -> None:
    with (
        pytest.raises(SendError) as found,
        EmailDriver().open(settings_of(mail_server, username="ada", password="hunter2")),
    ):
        pass
    assert found.value.whole_channel
    assert "hunter2" not in str(found.value)


def test_a_server_without_encryption_is_not_trusted_unless_told_to(mail_server: MailServer) -> None:
    with (
        pytest.raises(SendError, match="STARTTLS") as found,
        EmailDriver().open(settings_of(mail_server, security="starttls")),
    ):
        pass
    assert found.value.whole_channel


def test_without_any_mail_server_the_remedy_is_named() -> None:
    with pytest.raises(SendError, match="set SYSOPS_SMTP_URL") as found, EmailDriver().open({}):
        pass
    assert found.value.whole_channel


def test_tests_never_mail_through_a_real_server() -> None:
    with pytest.raises(SendError, match=r"may not send mail through mail\.example\.org"):
        mail_server_of({"host": "mail.example.org"})


def mail_server_of(given: dict[str, object]) -> str:
    found = mail_server(given)
    return f"{found.security} {found.username}:{found.password}@{found.host}:{found.port} from {found.sender}"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("smtp://ada:p%40ss@localhost", "starttls ada:p@ss@localhost:587"),
        ("smtp://localhost:2525?security=none", "none :@localhost:2525"),
        ("smtps://ada:x@localhost", "tls ada:x@localhost:465"),
    ],
)
def test_the_environment_names_the_mail_server(settings: Settings, url: str, found: str) -> None:
    settings.ENV = django_settings.ENV.model_copy(
        update={"smtp_url": SecretStr(url), "mail_from": "Ops <ops@example.org>"}
    )
    assert mail_server_of({}) == f"{found} from Ops <ops@example.org>"


@pytest.mark.parametrize(
    "given",
    [
        {"SYSOPS_SMTP_URL": "http://mail"},
        {"SYSOPS_SMTP_URL": "smtp://mail:port"},
        {"SYSOPS_SMTP_URL": "smtp://mail?security=some"},
        {"SYSOPS_SMTP_URL": "smtps://mail?security=none"},
        {"SYSOPS_SMTP_URL": "smtp://mail?tls=1"},
        {"SYSOPS_SMTP_URL": "smtp://"},
        {"SYSOPS_MAIL_FROM": "nobody"},
        {"SYSOPS_MAIL_FROM": "a\nb <a@example.org>"},
    ],
)
def test_a_wrong_mail_setting_is_named_at_start(given: dict[str, str]) -> None:
    with pytest.raises(BadEnvironment, match=f"^{next(iter(given))}: m"):
        load(given)


@pytest.mark.parametrize(
    "wrong",
    [{"port": 0}, {"timeout": 60}, {"security": "ssl"}, {"host": "a b"}, {"from_address": "x\r\ny@z"}, {"colour": 1}],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadSettings):
        check(wrong, EmailDriver.settings_schema)
