"""The webhook: what it sends can be verified as docs/webhooks.md says, and each answer means one thing."""

import base64
import http.server
import json
import re
import threading
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import jsonschema
import pytest

from notifications.channels.base import Driver, SendError
from notifications.channels.webhook import Webhook, payload, signatures
from tests.notifications.channel_contract import LETTER, ChannelContract, Mood, deliver, failure
from tests.receivers import Answer, Receiver
from tests.services import free_port

DOC = Path(__file__).parents[2] / "docs" / "webhooks.md"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLDER = "whsec_" + base64.b64encode(bytes(range(32))).decode()
NOW = datetime(2027, 1, 15, 2, 0, 5, tzinfo=UTC)
Documented = tuple[types.ModuleType, int]
MOODS = {
    Mood.ACCEPTS: Answer(204),
    Mood.NEVER: Answer(404),
    Mood.NOT_NOW: Answer(503),
    Mood.SILENT: Answer(wait=30),
}


class WebhookBench:
    to = ""
    secrets: Sequence[str] = (
        SECRET,
        SECRET.removeprefix("whsec_"),
        "url-password",
        "query-token",
        "path-token",
        "header-token",
    )
    patience = 15.0

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.driver: Driver = Webhook(allow_private=lambda: True, clock=lambda: NOW, seconds=1)
        self.settings: Mapping[str, object] = {
            "url": f"http://ada:url-password@127.0.0.1:{receiver.port}/path-token?key=query-token",
            "secret": SECRET,
        }
        self.away: Mapping[str, object] = {**self.settings, "url": f"http://ada:url-password@127.0.0.1:{free_port()}/"}

    def behave(self, mood: Mood) -> None:
        self.receiver.answer = MOODS[mood]

    def received(self) -> list[str]:
        data = [json.loads(got.body)["data"] for got in self.receiver.got]
        return [each["subject"] + each["text"] for each in data]

    def ids(self) -> list[str] | None:
        return [got.headers["webhook-id"] for got in self.receiver.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().serving() as served:
        yield served


@pytest.fixture
def bench(receiver: Receiver) -> WebhookBench:
    return WebhookBench(receiver)


class TestContract(ChannelContract):
    pass


def test_the_payload_is_that_of_standard_webhooks(bench: WebhookBench, receiver: Receiver) -> None:
    deliver(bench)

    (got,) = receiver.got
    assert got.method == "POST"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert json.loads(got.body) == {
        "type": "maintenance.ahead",
        "timestamp": "2027-01-15T02:00:00Z",
        "data": {
            "id": LETTER.id,
            "level": "warning",
            "subject": LETTER.subject,
            "text": LETTER.text,
            "thread": "window:12",
            "context": {"window_id": 12, "services": ["Shop"]},
        },
    }


def test_the_signature_is_that_of_the_reference_libraries() -> None:
    # The vector of the specification's own test suite.
    body = b'{"test": 2432232314}'
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    made = signatures([key], letter_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, body=body)

    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_second_try_is_signed_anew_over_the_same_body(bench: WebhookBench, receiver: Receiver) -> None:
    clock = iter([NOW, NOW + timedelta(hours=3)])
    driver = Webhook(allow_private=lambda: True, clock=lambda: next(clock))
    with driver.open(bench.settings) as sender:
        sender.send(LETTER)
        sender.send(LETTER)

    first, second = receiver.got
    assert first.body == second.body == payload(LETTER)
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 3 * 3600


def test_while_the_secret_changes_both_signatures_are_there(bench: WebhookBench, receiver: Receiver) -> None:
    deliver(bench, settings={**bench.settings, "secret": OLDER, "previous_secret": SECRET})

    (got,) = receiver.got
    assert re.fullmatch(r"v1,\S+ v1,\S+", got.headers["webhook-signature"])


def test_a_header_of_ones_own_is_sent(bench: WebhookBench, receiver: Receiver) -> None:
    plain = {**bench.settings, "url": f"http://127.0.0.1:{receiver.port}/"}
    deliver(bench, settings={**plain, "header": "Authorization: Bearer header-token"})

    assert receiver.got[0].headers["authorization"] == "Bearer header-token"


@pytest.mark.parametrize(
    "header",
    ["Host: evil", "webhook-id: 1", "Content-Length: 0", "X-A: b\r\nX-C: d", "X-A: b\n", "X-A", "X A: b", "X-Ä: b"],
)
def test_other_headers_are_not(bench: WebhookBench, receiver: Receiver, header: str) -> None:
    assert failure(bench, settings={**bench.settings, "header": header}).whole_channel
    assert receiver.got == []


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "hunter2", "whsec_c2hvcnQ=", "whsec_" + "A" * 33, f"{SECRET}\n", "whsec_" + "A" * 88]
)
@pytest.mark.parametrize("field", ["secret", "previous_secret"])
def test_a_secret_that_is_none_is_refused_by_name(bench: WebhookBench, secret: str, field: str) -> None:
    error = failure(bench, settings={**bench.settings, field: secret})

    assert field in str(error)
    assert "docs/webhooks.md" in str(error)
    assert error.whole_channel


@pytest.mark.parametrize("url", ["", "ftp://a.example/", "https:///token", "http://[", "example.org", "http://a:b/"])
def test_a_url_that_is_none_is_refused_without_being_repeated(bench: WebhookBench, url: str) -> None:
    error = failure(bench, settings={**bench.settings, "url": url})

    assert error.whole_channel
    assert not url or url not in str(error)


@pytest.mark.parametrize(
    ("status", "permanent"),
    [
        (301, True), (302, True), (307, True), (308, True), (400, True), (401, True), (403, True), (404, True),
        (410, True), (413, True), (422, True), (408, False), (425, False), (429, False), (500, False), (502, False),
        (503, False), (504, False), (599, False),
    ],
)  # fmt: skip
def test_each_answer_means_one_thing(bench: WebhookBench, receiver: Receiver, status: int, permanent: bool) -> None:
    receiver.answer = Answer(status, {"Location": "http://127.0.0.1/"}, b"your password is hunter2")

    error = failure(bench)

    assert error.permanent is permanent
    assert not error.whole_channel
    assert f"127.0.0.1:{receiver.port} answered {status}" in str(error)
    assert "hunter2" not in str(error)
    assert len(receiver.got) == 1


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_2xx_is_accepted(bench: WebhookBench, receiver: Receiver, status: int) -> None:
    receiver.answer = Answer(status, body=b"" if status == 204 else b"ok")
    deliver(bench)


def test_how_long_the_other_side_wants_to_be_left_alone_is_handed_on(bench: WebhookBench, receiver: Receiver) -> None:
    for status, value, wait in [
        (429, "90", timedelta(seconds=90)),
        (503, "Fri, 15 Jan 2027 02:10:05 GMT", timedelta(minutes=10)),
        (503, "whenever", None),
    ]:
        receiver.answer = Answer(status, {"Retry-After": value})
        assert failure(bench).retry_after == wait


def test_an_accepted_letter_stays_accepted_however_long_the_answer_is(bench: WebhookBench, receiver: Receiver) -> None:
    receiver.answer = Answer(200, body=b"x" * 1_000_000)
    deliver(bench)
    receiver.answer = Answer(200, body=b"x" * 100, drip=0.2)
    deliver(bench)


def test_a_private_target_is_refused_for_good_with_the_remedy(receiver: Receiver) -> None:
    bench = WebhookBench(receiver)
    bench.driver = Webhook(allow_private=lambda: False)

    error = failure(bench)

    assert error.permanent
    assert "SYSOPS_ALLOW_PRIVATE_TARGETS" in str(error)
    assert receiver.got == []


def test_private_targets_are_refused_unless_the_environment_allows_them(receiver: Receiver) -> None:
    with Webhook().open(WebhookBench(receiver).settings) as sender, pytest.raises(SendError, match="does not connect"):
        sender.send(LETTER)


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "https://a.example/"},
        {"secret": SECRET},
        {"url": "javascript:alert(1)", "secret": SECRET},
        {"url": "https://a.example/", "secret": "hunter2"},
        {"url": "https://a.example/", "secret": SECRET, "header": "Host: b"},
        {"url": "https://a.example/", "secret": SECRET, "hedaer": "X-A: b"},
    ],
)
def test_wrong_settings_do_not_fit_the_schema(settings: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(settings, dict(Webhook.settings_schema))


@pytest.fixture
def documented() -> Iterator[Documented]:
    """The receiver of docs/webhooks.md, listening."""
    code = re.search(r"```python\n# receiver.py\n(.*?)```", DOC.read_text(), re.S)
    assert code
    module = types.ModuleType("receiver")
    exec(compile(code[1], str(DOC), "exec"), module.__dict__)
    module.__dict__["SECRETS"] = [SECRET]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), module.Receiver)
    module.Receiver.log_message = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield module, server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_the_receiver_of_the_documentation_takes_what_is_signed_once(
    documented: Documented,
) -> None:
    module, port = documented
    with Webhook(allow_private=lambda: True).open({"url": f"http://127.0.0.1:{port}/", "secret": SECRET}) as sender:
        sender.send(LETTER)
        sender.send(LETTER)
        sender.send(replace(LETTER, id="another"))

    assert list(module.seen) == [LETTER.id, "another"]


def test_the_receiver_of_the_documentation_bears_a_change_of_the_secret(
    documented: Documented,
) -> None:
    module, port = documented
    settings = {"url": f"http://127.0.0.1:{port}/", "secret": OLDER, "previous_secret": SECRET}
    with Webhook(allow_private=lambda: True).open(settings) as sender:
        sender.send(LETTER)

    assert list(module.seen) == [LETTER.id]


@pytest.mark.parametrize("what", ["another secret", "an old time", "another body", "no signature", "another id"])
def test_the_receiver_of_the_documentation_refuses_forgeries(documented: Documented, what: str) -> None:
    module, port = documented
    at = int(datetime.now(UTC).timestamp()) - (3600 if what == "an old time" else 0)
    key = base64.b64decode((OLDER if what == "another secret" else SECRET).removeprefix("whsec_"))
    body = payload(LETTER)
    headers = {
        "webhook-id": "forged" if what == "another id" else LETTER.id,
        "webhook-timestamp": str(at),
        "webhook-signature": signatures([key], letter_id=LETTER.id, timestamp=at, body=body),
    }
    if what == "no signature":
        del headers["webhook-signature"]
    sent = body.replace(b"Shop", b"Evil") if what == "another body" else body

    answer = httpx.post(f"http://127.0.0.1:{port}/", content=sent, headers=headers, trust_env=False)

    assert answer.status_code == 401
    assert not module.seen
