"""E-mail over SMTP. Without a host of its own a channel uses the mail server of the environment."""

import re
import smtplib
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from email.header import Header
from email.message import Message
from email.utils import formataddr, parseaddr
from ipaddress import ip_address
from urllib.parse import parse_qs, unquote, urlsplit

from django.conf import settings as django_settings
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.smtp import EmailBackend

from notifications.channels.base import Letter, Receipt, SendError
from sysops.env import MAIL_ADDRESS
from sysops.kernel.redaction import redact
from sysops.kernel.within import within

TIMEOUT_SECONDS = 10  # for one answer
WHOLE_SECONDS = 30.0  # for a whole letter, or for signing in: a server may drip its answers
FAREWELL_SECONDS = 5.0
LONGEST_SUBJECT = 120  # characters; what lists of mails show ends sooner
LONGEST_LINE = 76  # of a header with encoded words (RFC 2047)
LONGEST_WORD = 60  # one that is longer would begin a line of its own, leaving the first one empty
LONGEST_NAME = 64  # encoded it is one word on one line, and a line of more than 998 characters is refused
PORTS = {"none": 25, "starttls": 587, "tls": 465}
NOT_CONFIGURED = (
    "No mail server is configured: set SYSOPS_SMTP_URL (smtp://user:password@host:587) and SYSOPS_MAIL_FROM, "
    "or give this channel a host of its own."
)
_ADDRESS = f"^(?:{MAIL_ADDRESS.pattern})$"


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed in, and who it is from."""

    host: str
    port: int
    security: str
    username: str
    password: str
    sender: str
    timeout: int

    def __repr__(self) -> str:
        return f"{self.host}:{self.port}"


class EmailDriver:
    """Mail to each person, by SMTP."""

    label = "E-mail"
    reaches = "email"
    settings_schema: Mapping[str, object] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "host": {
                "type": "string",
                "title": "Mail server",
                "maxLength": 253,
                "pattern": r"^[A-Za-z0-9.:_-]*$",
                "description": "Blank: the one in SYSOPS_SMTP_URL.",
            },
            "port": {
                "type": "integer",
                "title": "Port",
                "minimum": 1,
                "maximum": 65535,
                "description": "Without: 587 for starttls, 465 for tls, 25 for none.",
            },
            "security": {
                "type": "string",
                "title": "Encryption",
                "enum": ["starttls", "tls", "none"],
                "default": "starttls",
                "description": "none sends the password and the mail as they are: for a server on the same machine.",
            },
            "username": {"type": "string", "title": "User", "maxLength": 254},
            "password": {"type": "string", "title": "Password", "maxLength": 1000, "writeOnly": True},
            "from_address": {
                "type": "string",
                "title": "From",
                "maxLength": 254,
                "pattern": _ADDRESS,
                "description": "Such as Sysops <sysops@example.org>. Without: SYSOPS_MAIL_FROM.",
            },
            "timeout": {
                "type": "integer",
                "title": "Time-out in seconds",
                "minimum": 1,
                "maximum": TIMEOUT_SECONDS,
                "default": TIMEOUT_SECONDS,
            },
        },
    }

    def open(self, settings: Mapping[str, object]) -> AbstractContextManager["EmailSender"]:
        """A signed-in connection for one batch. Raises SendError for the whole channel."""
        return _connected(mail_server(settings))


class EmailSender:
    """An open connection to a mail server."""

    def __init__(self, backend: "_Backend", server: MailServer) -> None:
        self._backend = backend
        self._server = server
        self.lost = False

    def send(self, letter: Letter) -> Receipt:
        """Hand in one mail. Raises SendError."""
        try:
            mail = written(letter, sender=self._server.sender)
            self._backend.bounded(WHOLE_SECONDS, lambda: self._backend.send_messages([mail]))
        except (OSError, UnicodeError, ValueError) as exc:  # smtplib's own errors are OSErrors
            problem = refusal(exc, self._server)
            self.lost = problem.whole_channel
            # Without an answer nobody knows whether the other side kept the letter.
            problem.in_doubt = problem.whole_channel and not isinstance(exc, smtplib.SMTPResponseException)
            raise problem from exc
        return Receipt(str(mail.extra_headers["Message-ID"]))


def mail_server(settings: Mapping[str, object]) -> MailServer:
    """The mail server of these settings, or of the environment. Raises SendError when there is none."""
    env = django_settings.ENV
    if not settings.get("host"):
        if env.smtp_url is None:
            raise SendError(NOT_CONFIGURED, whole_channel=True)
        settings = {**settings, **_of_url(env.smtp_url.get_secret_value())}
    host, security = str(settings["host"]), str(settings.get("security") or "starttls")
    if env.profile == "test" and not _is_loopback(host):
        raise SendError(f"A test may not send mail through {host}.", whole_channel=True)
    username = str(settings.get("username") or "")
    own = urlsplit(env.public_url).hostname if env.public_url else env.host_name
    return MailServer(
        host=host,
        port=int(str(settings.get("port") or PORTS[security])),
        security=security,
        username=username,
        password=str(settings.get("password") or ""),
        sender=str(settings.get("from_address") or env.mail_from or f"Sysops <sysops@{own}>"),
        timeout=int(str(settings.get("timeout") or TIMEOUT_SECONDS)),
    )


class Mail(EmailMultiAlternatives):
    """Django's, with a subject that is folded once, counting "Subject: ". Django folds it without, and python again,
    which leaves an empty first line, or single words on lines of their own."""

    def message(self) -> Message:  # type: ignore[override]  # the stubs describe a later Django
        """The mail as it is handed in."""
        made = super().message()
        made.policy = made.policy.clone(max_line_length=LONGEST_LINE)
        made.replace_header("Subject", _subject(str(self.subject)))
        return made


def _subject(text: str) -> Header:
    """The subject as a header: as it is where that can be read and folded between words, else in encoded words."""
    if len(text) > LONGEST_SUBJECT:
        end = "..." if text.isascii() else "…"
        text = text[: LONGEST_SUBJECT - len(end)].rstrip() + end
    plain = text.isascii() and "=?" not in text and all(len(word) <= LONGEST_WORD for word in text.split(" "))
    return Header(text, "us-ascii" if plain else "utf-8", header_name="Subject")


def written(letter: Letter, *, sender: str) -> Mail:
    """The letter as a mail: text and HTML, with an id that stays the same however often it is sent."""
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    headers = {
        "Message-ID": f"<{letter.id}@{domain}>",
        "Auto-Submitted": "auto-generated",
        "X-Sysops-Kind": letter.kind,
    }
    if letter.thread:
        about = f"<thread.{re.sub(r'[^A-Za-z0-9]+', '-', letter.thread)}@{domain}>"
        headers |= {"References": about, "In-Reply-To": about}
    if letter.unsubscribe_url:
        headers |= {
            "List-Unsubscribe": f"<{letter.unsubscribe_url}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
    mail = Mail(
        letter.subject,
        letter.text,
        sender,
        [formataddr((letter.name[:LONGEST_NAME], _in_ascii(letter.to)))],
        headers=headers,
    )
    mail.attach_alternative(letter.html, "text/html")
    return mail


def _in_ascii(address: str) -> str:
    """The address with its domain as servers understand it. Raises UnicodeError where no server does."""
    mailbox, at, domain = address.rpartition("@")
    return mailbox + at + domain.encode("idna").decode()


def refusal(exc: Exception, server: MailServer) -> SendError:
    """What an error of smtplib means: for this address, or for everybody."""
    match exc:
        case smtplib.SMTPRecipientsRefused():
            code, answer = next(iter(exc.recipients.values()))
            return _answered(code, answer, server)
        case smtplib.SMTPSenderRefused(smtp_code=552 | 523):  # larger than the server takes: about this letter only
            return _answered(exc.smtp_code, exc.smtp_error, server)
        case smtplib.SMTPSenderRefused():
            said = f"{server!r} does not take mail from {exc.sender}: {_words(exc.smtp_code, exc.smtp_error)}"
            return SendError(_clean(said, server), whole_channel=True)
        case smtplib.SMTPAuthenticationError():
            said = f"{server!r} refused the user and password: {_words(exc.smtp_code, exc.smtp_error)}"
            return SendError(_clean(said, server), whole_channel=True)
        case smtplib.SMTPDataError():
            return _answered(exc.smtp_code, exc.smtp_error, server)
        case smtplib.SMTPNotSupportedError():
            said = f"{server!r} cannot do what is asked of it: {exc} Look at the channel's encryption and user."
            return SendError(_clean(said, server), whole_channel=True)
        case UnicodeError() | ValueError() if not isinstance(exc, OSError):
            return SendError(f"This cannot be the address of a mail: {_clean(str(exc), server)}", permanent=True)
        case TimeoutError():
            said = f"{server!r} does not answer in time."
            return SendError(said, whole_channel=True)
        case _:
            return SendError(f"{server!r} cannot be used: {_clean(str(exc), server)}", whole_channel=True)


@contextmanager
def _connected(server: MailServer) -> Iterator[EmailSender]:
    backend = _Backend(
        host=server.host,
        port=server.port,
        username=server.username,
        password=server.password,
        use_tls=server.security == "starttls",
        use_ssl=server.security == "tls",
        timeout=server.timeout,
    )
    try:
        backend.bounded(WHOLE_SECONDS, backend.open)
    except (OSError, ValueError) as exc:
        _hang_up(backend)
        problem = refusal(exc, server)
        raise SendError(str(problem), whole_channel=True) from exc
    sender = EmailSender(backend, server)
    try:
        yield sender
    finally:
        if sender.lost and backend.connection is not None:
            backend.cut()  # a server that hangs would let us wait for its farewell as well
            backend.connection.close()
            backend.connection = None
        _hang_up(backend)


class _Backend(EmailBackend):
    """Django's, with a time for everything that is done in one go: a socket's own begins anew with each byte."""

    talking: smtplib.SMTP | None = None

    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        backend = self
        plain: type[smtplib.SMTP] = super().connection_class

        class Known(plain):  # type: ignore[misc,valid-type]
            def connect(self, *args: object, **kwargs: object) -> object:
                backend.talking = self  # before the first word: a greeting may drip as well
                return super().connect(*args, **kwargs)

        return Known

    def bounded(self, seconds: float, work: Callable[[], object]) -> None:
        """Do `work` within that time. Raises TimeoutError, the connection being cut so that nothing goes on behind."""
        try:
            within(seconds, work, name="smtp")
        except TimeoutError:
            self.cut()
            raise

    def cut(self) -> None:
        """End the conversation whoever is waiting for its next word."""
        sock = self.talking.sock if self.talking else None
        if sock is not None:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _hang_up(backend: _Backend) -> None:
    try:
        backend.bounded(FAREWELL_SECONDS, backend.close)
    except OSError:
        pass  # it was accepted or refused before; the other side is gone


def _of_url(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    security = "tls" if parts.scheme == "smtps" else parse_qs(parts.query).get("security", ["starttls"])[-1]
    found: dict[str, object] = {
        "host": parts.hostname or "",
        "port": parts.port or PORTS[security],
        "security": security,
        "username": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
    }
    return found


def _answered(code: int, answer: bytes | str, server: MailServer) -> SendError:
    closing = code == 421  # "I am going away": that is about everybody
    said = _clean(f"{server!r} refused it: {_words(code, answer)}", server)
    return SendError(said, permanent=500 <= code < 600, whole_channel=closing)


def _words(code: int, answer: bytes | str) -> str:
    said = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
    return f"{code} {' '.join(said.split())}"


def _clean(said: str, server: MailServer) -> str:
    return redact(" ".join(said.split()), [server.password])[:500]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
