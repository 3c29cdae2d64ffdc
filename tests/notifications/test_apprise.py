"""Chat and SMS through Apprise: what its yes and no mean, and where its services may not connect to."""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from notifications.channels import apprise
from notifications.channels.apprise import Chat, Sms
from notifications.channels.base import Driver, SendError
from tests.notifications.channel_contract import LETTER, Bench, ChannelContract, Mood, deliver, failure
from tests.receivers import Answer, Receiver
from tests.services import free_port

ROOT = Path(__file__).parents[2]
# Apprise imports a module that Python 3.13 does without.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
MOODS = {
    Mood.ACCEPTS: Answer(200, body=b"ok"),
    Mood.NEVER: Answer(404),
    Mood.NOT_NOW: Answer(503),
    Mood.SILENT: Answer(wait=30),
}


class AppriseBench:
    to = ""
    path = "path-token"
    secrets: Sequence[str] = ("url-password", "path-token", "query-token")
    patience = 15.0

    def __init__(self, receiver: Receiver, driver: Driver) -> None:
        self.receiver = receiver
        self.driver = driver
        receiver.answer = MOODS[Mood.ACCEPTS]
        self.settings: Mapping[str, object] = {"url": self.url(receiver.port)}
        self.away: Mapping[str, object] = {"url": self.url(free_port())}

    def url(self, port: int) -> str:
        return f"json://ada:url-password@127.0.0.1:{port}/{self.path}?-key=query-token"

    def behave(self, mood: Mood) -> None:
        self.receiver.answer = MOODS[mood]

    def received(self) -> list[str]:
        return ["{title}\n{message}".format(**json.loads(got.body)) for got in self.receiver.got]

    def ids(self) -> list[str] | None:
        return None  # chats have no place for one


class SmsBench(AppriseBench):
    to = "+4930123456"
    path = "path-token/{to}"


class Lines(logging.Handler):
    """Remembers what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name} {record.getMessage()}")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().serving() as served:
        yield served


@pytest.fixture
def chat(receiver: Receiver) -> AppriseBench:
    return AppriseBench(receiver, Chat(allow_private=lambda: True, seconds=2))


@pytest.fixture
def sms(receiver: Receiver) -> SmsBench:
    return SmsBench(receiver, Sms(allow_private=lambda: True, seconds=2))


class TestChatContract(ChannelContract):
    @pytest.fixture
    def bench(self, chat: AppriseBench) -> Bench:
        return chat


class TestSmsContract(ChannelContract):
    @pytest.fixture
    def bench(self, sms: SmsBench) -> Bench:
        return sms


@pytest.mark.parametrize(("level", "shown"), [("info", "info"), ("warning", "warning"), ("critical", "failure")])
def test_the_level_is_shown(chat: AppriseBench, receiver: Receiver, level: str, shown: str) -> None:
    deliver(chat, replace(LETTER, level=level))

    assert json.loads(receiver.got[0].body)["type"] == shown


def test_text_is_handed_over_as_it_is(chat: AppriseBench) -> None:
    deliver(chat, replace(LETTER, subject="Shop & <b>", text="*a* <i>b</i> \\n :smile: & c"))

    assert chat.received() == ["Shop & <b>\n*a* <i>b</i> \\n :smile: & c"]


def test_where_a_service_shows_html_text_stays_text(chat: AppriseBench) -> None:
    settings = {"url": f"{chat.settings['url']}&format=html"}
    deliver(chat, replace(LETTER, text="<script>alert(1)</script>"), settings)

    assert "<script>" not in chat.received()[0]
    assert "alert(1)" in chat.received()[0]


def test_what_stands_in_the_url_is_masked_in_what_apprise_says(chat: AppriseBench) -> None:
    error = failure(chat, settings=chat.away)

    assert "Connection refused" in str(error)
    assert "127.0.0.1" not in str(error)  # where another service has its token


def test_the_number_is_put_into_a_query_as_it_is(sms: SmsBench, receiver: Receiver) -> None:
    deliver(sms, settings={"url": f"json://127.0.0.1:{receiver.port}/?-number={{to}}"})

    assert receiver.got[0].path == "/?number=%2B4930123456"


def test_the_number_is_put_into_the_url(sms: SmsBench, receiver: Receiver) -> None:
    deliver(sms)

    assert receiver.got[0].path.startswith("/path-token/+4930123456")


@pytest.mark.parametrize("to", ["", "030123456", "+49/../../x", "+4930123456?a=b", "ada"])
def test_what_is_no_number_is_refused_for_good(sms: SmsBench, receiver: Receiver, to: str) -> None:
    sms.to = to

    assert failure(sms).permanent
    assert receiver.got == []


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(302, True), (400, True), (401, True), (410, True), (408, False), (429, False), (500, False), (503, False)],
)
def test_the_status_is_read_from_what_apprise_says(
    chat: AppriseBench, receiver: Receiver, status: int, permanent: bool
) -> None:
    receiver.answer = Answer(status)

    error = failure(chat)

    assert error.permanent is permanent
    assert str(status) in str(error)


def test_a_redirect_is_no_success(chat: AppriseBench, receiver: Receiver) -> None:
    receiver.answer = lambda got: Answer(302, {"Location": "/elsewhere"}) if got.method == "POST" else Answer(200)

    assert failure(chat).permanent
    assert len(receiver.got) == 1


def test_a_service_that_drips_is_given_up_after_the_time(chat: AppriseBench, receiver: Receiver) -> None:
    receiver.answer = Answer(200, body=b"x" * 100, drip=0.3)
    started = time.monotonic()

    assert "within 2 s" in str(failure(chat))
    assert time.monotonic() - started < 15


def test_one_letter_is_one_message_however_long(chat: AppriseBench) -> None:
    deliver(chat, replace(LETTER, text="x" * 100_000))

    (arrived,) = chat.received()
    assert LETTER.subject in arrived
    assert len(arrived) < 40_000  # what this service takes


def test_five_letters_do_not_wait_for_each_other(chat: AppriseBench) -> None:
    started = time.monotonic()
    with chat.driver.open(chat.settings) as sender:
        for _ in range(5):
            sender.send(LETTER)

    assert time.monotonic() - started < 20  # Apprise itself would sleep 5.5 s between two


@pytest.mark.parametrize(
    "url",
    ["", "nonsense://a-token-of-mine", "slack://a-token-of-mine", "json://", "a-token-of-mine", "tgram://a-token"],
)
def test_a_url_nobody_understands_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(SendError) as caught, Chat().open({"url": url}):
        pass

    assert caught.value.whole_channel
    assert "a-token" not in str(caught.value)


def test_apprises_own_lines_do_not_reach_our_log(chat: AppriseBench) -> None:
    ours = Lines()
    logging.getLogger().addHandler(ours)
    try:
        chat.behave(Mood.NEVER)
        failure(chat)
    finally:
        logging.getLogger().removeHandler(ours)

    assert [line for line in ours.lines if "apprise" in line or "Failed" in line] == []


def test_apprise_is_not_imported_before_it_is_used() -> None:
    code = "import notifications.channels.apprise, sys; sys.exit('apprise' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=100).returncode == 0


LOOPBACK = ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]"]


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("schema", ["json", "xml", "form", "gotify", "ntfy", "mmost", "apprise"])
def test_private_targets_are_refused_by_default(receiver: Receiver, schema: str, host: str) -> None:
    url = f"{schema}://{host}:{receiver.port}/1234567890123456789012345"
    with pytest.raises(SendError) as caught, Chat(allow_private=lambda: False).open({"url": url}) as sender:
        sender.send(LETTER)

    assert receiver.got == []
    # Some spellings are no host name to Apprise already.
    assert "SYSOPS_ALLOW_PRIVATE_TARGETS" in str(caught.value) or caught.value.whole_channel


@pytest.mark.parametrize("schema", ["json", "xml", "form", "gotify", "ntfy", "mmost", "apprise"])
def test_private_targets_work_when_they_are_allowed(receiver: Receiver, schema: str) -> None:
    receiver.answer = Answer(200, {"Content-Type": "application/json"}, b'{"id": "1", "time": 1, "event": "message"}')
    url = f"{schema}://127.0.0.1:{receiver.port}/1234567890123456789012345"
    with Chat(allow_private=lambda: True).open({"url": url}) as sender:
        sender.send(LETTER)

    assert len(receiver.got) == 1


def test_a_refusal_is_permanent_and_names_host_address_and_remedy(receiver: Receiver) -> None:
    url = f"json://localhost:{receiver.port}/"
    with pytest.raises(SendError) as caught, Chat(allow_private=lambda: False).open({"url": url}) as sender:
        sender.send(LETTER)

    assert caught.value.permanent
    assert "localhost (" in str(caught.value)
    assert "SYSOPS_ALLOW_PRIVATE_TARGETS" in str(caught.value)


def test_mail_and_udp_services_are_guarded_too() -> None:
    for url in ("mailto://ada:pass@localhost:2525?from=a@b.example&to=c@d.example", "rsyslog://localhost"):
        with pytest.raises(SendError) as caught, Chat(allow_private=lambda: False).open({"url": url}) as sender:
            sender.send(LETTER)
        assert "does not connect to localhost" in str(caught.value)


def test_behind_a_proxy_nothing_is_sent_unchecked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{receiver.port}")
    with pytest.raises(SendError, match="proxy"), Chat(allow_private=lambda: False).open({"url": "json://a.example/"}):
        pass

    with Chat(allow_private=lambda: True).open({"url": "json://a.example/"}) as sender:
        sender.send(LETTER)
    assert receiver.got[0].path == "http://a.example/"


def test_pieces_of_a_url_are_masked_however_they_are_written() -> None:
    assert {"s3cret/x", "s3cret%2Fx", "token"} <= apprise._pieces("slack://s3cret%2Fx@token/abc?d=e")
