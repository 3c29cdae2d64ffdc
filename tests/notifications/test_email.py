"""The e-mail driver against a real SMTP server, and what its answers mean."""

import re
import smtplib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email import charset
from typing import BinaryIO

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.conf import settings as django_settings
from pydantic import SecretStr
from pytest_django import Settings

from notifications.channels import email
from notifications.channels.base import Letter, SendError
from notifications.channels.email import EmailDriver, mail_server, refusal
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


class Raw(MailServer):
    """Keeps mails as they came over the wire."""

    content = b""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.content = envelope.content
        return await super().handle_DATA(server, session, envelope)


@pytest.fixture
def raw_server() -> Iterator[Raw]:
    server = Raw(free_port())
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize(
    ("subject", "lines"),
    [
        ("Shop website: KeyError in checkout", 1),
        ("Überblick über die Störung", 1),
        ("Shop 🔥 is down", 1),
        ('OperationalError: connection to server on socket "/srv/sysops/postgres/.s.PGSQL.5432" failed: gone', 2),
        ("It is a long story and the mail server is yours, so say what it says and read it now", 2),
        ("Wartung: Die Störung der Zahlungsannahme für Österreich ist behoben, ein Überblick folgt später", 3),
        ("🔥 " * 30, 4),
        ("x" * 120, 3),
        ("Short: " + "y" * 100, 2),
        ("=?utf-8?q?Not_ours?= said so", 1),
    ],
)
@pytest.mark.parametrize("after_apprise", [False, True])
def test_a_subject_begins_on_its_first_line_and_is_folded_only_where_it_must(
    raw_server: Raw, subject: str, lines: int, after_apprise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if after_apprise:  # it sets this for the whole process when it is first used
        monkeypatch.setitem(charset.CHARSETS, "utf-8", (charset.QP, charset.QP, "utf-8"))
        lines = 99
    send(raw_server, replace(LETTER, subject=subject))

    head = raw_server.content.partition(b"\r\n\r\n")[0]
    folded = re.findall(rb"^Subject: ([^\r]*(?:\r\n[ \t][^\r]*)*)", head, re.M)
    assert len(folded) == 1
    found = folded[0].split(b"\r\n")
    assert found[0].strip(), head
    assert len(found) <= lines
    assert max(len(b"Subject: " + found[0]), *map(len, found)) <= 76
    assert raw_server.mails[0]["Subject"] == subject


def test_a_subject_that_nobody_would_read_to_its_end_is_cut(mail_server: MailServer) -> None:
    for subject in ("word " * 40, "Wört " * 40):
        send(mail_server, replace(LETTER, subject=subject))

    plain, encoded = (str(mail["Subject"]) for mail in mail_server.mails)
    assert (len(plain) <= 120, plain[:9], plain[-8:]) == (True, "word word", "rd wo...")
    assert (len(encoded) <= 120, encoded[:9], encoded[-3:]) == (True, "Wört Wört", "rt…")


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
    assert time.monotonic() - started < 20


def test_a_server_that_hangs_in_the_middle_is_left_without_a_farewell(mail_server: MailServer) -> None:
    go_on = threading.Event()

    def hang(address: str) -> str:
        go_on.wait(60)
        return "250 OK"

    mail_server.on_recipient = hang
    started = time.monotonic()
    try:
        assert refused(mail_server).whole_channel
        assert time.monotonic() - started < 20
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


def test_a_domain_with_letters_of_another_alphabet_is_one_that_a_server_understands(mail_server: MailServer) -> None:
    send(mail_server, replace(LETTER, to="ada@überholt.example"))

    assert mail_server.told == ["ada@xn--berholt-m2a.example"]


@pytest.mark.parametrize("name", ["ä" * 200, "A" * 200, "Ada, " * 40, 'Quo"ted <eve@example.org>', "日本 " * 60])
def test_a_long_or_odd_name_is_a_name_and_nothing_else(
    mail_server: MailServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Apprise sets this for the whole process when it is first used.
    monkeypatch.setitem(charset.CHARSETS, "utf-8", (charset.QP, charset.QP, "utf-8"))
    send(mail_server, replace(LETTER, name=name))

    assert mail_server.told == ["ada@example.org"]
    [to] = mail_server.mails[0]["To"].addresses
    assert (to.addr_spec, to.display_name.split()) == ("ada@example.org", name[:64].split())


@pytest.mark.parametrize("to", ["ada@" + "ü" * 70 + ".example", "jörg@example.org"])
@pytest.mark.parametrize("name", ["Ada", ""])
def test_an_address_that_cannot_be_written_is_refused_for_good(mail_server: MailServer, to: str, name: str) -> None:
    with pytest.raises(SendError) as found:
        send(mail_server, replace(LETTER, to=to, name=name))
    assert (found.value.permanent, found.value.whole_channel) == (True, False)


class Dripping:
    """A mail server that says a word again and again, and never comes to the end of what it says."""

    def __init__(self, *, after: str) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.after = after
        self.cut = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        other, _ = self.listener.accept()
        with other, other.makefile("rb") as said:
            try:
                if self.after:
                    other.sendall(b"220 mail.test\r\n")
                    self._talk(other, said)
                while True:
                    other.sendall(b"250-wait\r\n" if self.after else b"220-wait\r\n")
                    time.sleep(0.1)
            except OSError:
                self.cut.set()

    def _talk(self, other: socket.socket, said: BinaryIO) -> None:
        in_data = False
        for line in said:
            word = line.split()[0].decode() if line.split() else ""
            if word == self.after:
                return
            if not in_data:
                in_data = word == "data"
                other.sendall(b"354 go on\r\n" if in_data else b"250 OK\r\n")


@pytest.mark.parametrize("after", ["", "rcpt", "."])
def test_a_server_that_drips_its_answers_holds_nobody_for_long_and_is_cut_off(
    after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email, "WHOLE_SECONDS", 1.5)
    monkeypatch.setattr(email, "FAREWELL_SECONDS", 0.2)
    server = Dripping(after=after)
    started = time.monotonic()
    with server.listener:
        exc = refused(MailServer(server.port))

        assert (exc.whole_channel, exc.permanent, exc.in_doubt) == (True, False, after != "")
        assert "does not answer in time" in str(exc)
        assert time.monotonic() - started < 20
        assert server.cut.wait(30), "nothing goes on behind"


def test_a_server_that_drops_the_line_after_the_letter_leaves_it_in_doubt(mail_server: MailServer) -> None:
    with EmailDriver().open(settings_of(mail_server)) as sender:
        mail_server.on_mail = lambda mail: hang_up()

        def hang_up() -> str:
            sender._backend.cut()
            return "250 OK"

        with pytest.raises(SendError) as found:
            sender.send(LETTER)

    assert (found.value.whole_channel, found.value.in_doubt, len(mail_server.mails)) == (True, True, 1)


def test_a_letter_the_server_finds_too_large_is_about_that_letter_only() -> None:
    server = mail_server({"host": "127.0.0.1", "security": "none"})
    exc = refusal(smtplib.SMTPSenderRefused(552, b"5.3.4 Too big", "sysops@example.org"), server)
    assert (exc.permanent, exc.whole_channel) == (True, False)
    exc = refusal(smtplib.SMTPSenderRefused(550, b"Who are you?", "sysops@example.org"), server)
    assert exc.whole_channel
