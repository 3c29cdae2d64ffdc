"""Reports over HTTP, through the real web server, into the spool of the real database."""

import base64
import gzip
import json
import re
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import brotli
import httpx
import psutil
import pytest
import zstandard
from pytest_django import DjangoDbBlocker

from errors.intake.keys import FRESH_SECONDS
from errors.models import Key, OutcomeCount, Spool
from errors.protocol import envelope as protocol
from errors.protocol import limits
from errors.rules import Kind
from tests.errors import support
from tests.errors.web import HOST, Web, running
from tests.running import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

PACKERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.fixture(scope="module")
def web(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Web]:
    with running(tmp_path_factory.mktemp("web") / "log") as started:
        yield started


@pytest.fixture
def key() -> Key:
    return support.key(support.project())


def only_row() -> Spool:
    row: Spool = Spool.objects.get()
    return row


def test_an_envelope_is_kept_as_it_came_and_answered_with_its_id(web: Web, key: Key) -> None:
    event_id = uuid4()
    body = gzip.compress(support.envelope(event_id=event_id))

    answer = web.report(key, body, content_encoding="gzip")

    assert (answer.status_code, answer.json()) == (200, {"id": event_id.hex})
    row = only_row()
    assert (row.project_id, row.key_id, row.event_id) == (key.project_id, key.pk, event_id)
    assert (row.kind, row.encoding, row.remote, bytes(row.body)) == (Kind.ENVELOPE.value, "gzip", HOST, body)
    assert abs(datetime.now(UTC) - row.received_at) < timedelta(seconds=10)


@pytest.mark.parametrize("encoding", PACKERS)
def test_every_packing_that_sdks_use_is_taken(web: Web, key: Key, encoding: str) -> None:
    body = PACKERS[encoding](support.envelope())

    assert web.report(key, body, content_encoding=encoding).status_code == 200
    assert (only_row().encoding, bytes(only_row().body)) == (encoding, body)


def test_a_chunked_body_without_a_length_is_taken_whole(web: Web, key: Key) -> None:
    body = support.envelope(support.item("event", support.event(extra={"much": "x" * 300_000})))
    pieces = (body[at : at + 50_000] for at in range(0, len(body), 50_000))

    answer = web.client.post(web.url(key), content=pieces, headers={"x-sentry-auth": f"Sentry sentry_key={key.public}"})

    assert answer.status_code == 200
    assert bytes(only_row().body) == body


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("where", ["x-sentry-auth", "authorization", "query", "envelope"])
def test_the_key_is_found_wherever_sdks_put_it(web: Web, key: Key, where: str, slash: str) -> None:
    said = f"Sentry sentry_version=7, sentry_key={key.public}"
    query = f"?sentry_version=7&sentry_key={key.public}" if where == "query" else ""
    headers = {where: said} if where in ("x-sentry-auth", "authorization") else {}
    dsn = f"https://{key.public}@errors.example/{key.project_id}" if where == "envelope" else None

    answer = web.client.post(
        f"/api/{key.project_id}/envelope{slash}{query}", content=support.envelope(dsn=dsn), headers=headers
    )

    assert answer.status_code == 200
    assert only_row().key_id == key.pk


def test_a_wrong_key_in_a_header_does_not_block_the_right_one_in_the_envelope(web: Web, key: Key) -> None:
    body = support.envelope(dsn=f"https://{key.public}@errors.example/{key.project_id}")

    answer = web.client.post(web.url(key), content=body, headers={"authorization": f"Sentry sentry_key={'0' * 32}"})

    assert answer.status_code == 200


def test_who_says_no_key_gets_401_and_who_says_a_wrong_one_403_without_an_echo(web: Web, key: Key) -> None:
    other = support.key(support.project())
    wrong = {
        "none": web.client.post(web.url(key), content=support.envelope()),
        "unknown": web.client.post(f"{web.url(key)}?sentry_key={'f' * 32}", content=support.envelope()),
        "of another project": web.client.post(
            f"{web.url(key)}?sentry_key={other.public}", content=support.envelope(dsn=f"https://{other.public}@x/1")
        ),
    }

    assert {name: answer.status_code for name, answer in wrong.items()} == {
        "none": 401, "unknown": 403, "of another project": 403,
    }  # fmt: skip
    for answer in wrong.values():
        told = answer.text + str(answer.headers)
        assert "detail" in answer.json()
        assert not re.search("f{32}|" + other.public + "|" + key.public, told)
    assert not Spool.objects.exists()


def test_a_key_works_from_the_moment_it_is_made(web: Web) -> None:
    first = support.key(support.project())
    assert web.report(first, support.envelope()).status_code == 200

    second = support.key(support.project())
    began = time.monotonic()

    assert web.report(second, support.envelope()).status_code == 200
    assert time.monotonic() - began < FRESH_SECONDS, "not only when all keys are read again"


def test_wrong_keys_are_refused_at_once_and_hold_up_no_new_one(web: Web, key: Key) -> None:
    web.report(key, support.envelope())
    wrong = [Key(public=f"{n // 2:032x}", project_id=key.project_id) for n in range(8)]
    began = time.monotonic()

    answers = [web.report(one, support.envelope()).status_code for one in wrong]

    assert answers == [403] * 8
    assert web.report(support.key(key.project), support.envelope()).status_code == 200
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("what", "status"), [("key", 403), ("project", 403), ("deleted", 403), ("quota", 429), ("origins", 403)]
)
def test_a_change_is_in_force_after_two_seconds_without_other_traffic(
    web: Web, key: Key, what: str, status: int
) -> None:
    assert web.report(key, support.envelope(), origin="https://shop.example").status_code == 200

    if what == "key":
        Key.objects.update(enabled=False)
    else:
        changes: dict[str, dict[str, object]] = {
            "project": {"enabled": False},
            "deleted": {"deleted_at": datetime.now(UTC)},
            "quota": {"quota_per_minute": 0},
            "origins": {"allowed_origins": ["https://other.example"]},
        }
        type(key.project).objects.update(**changes[what])

    time.sleep(2)
    assert web.report(key, support.envelope(), origin="https://shop.example").status_code == status


def counted(count: int = 1) -> set[tuple[int, str, str, str, int]]:
    """What the outcomes say as soon as there are `count` of them."""
    deadline = time.monotonic() + 45
    while OutcomeCount.objects.count() < count and time.monotonic() < deadline:
        time.sleep(0.2)
    return set(OutcomeCount.objects.values_list("project_id", "category", "outcome", "reason", "quantity"))


def test_what_is_refused_for_a_switch_or_a_foreign_page_is_counted_in_its_project(web: Web, key: Key) -> None:
    key_off = support.key(key.project, enabled=False)
    project_off = support.key(support.project(enabled=False))
    shut = support.key(support.project(allowed_origins=["https://shop.example"]))

    for one in (key_off, key_off, project_off, shut):
        assert web.report(one, support.envelope(), origin="https://evil.example").status_code == 403
    web.report(Key(public="0" * 32, project_id=key.project_id), support.envelope())  # anybody could say that

    assert counted(3) == {
        (key.project_id, "error", "invalid", "key", 2),
        (project_off.project_id, "error", "invalid", "project", 1),
        (shut.project_id, "error", "invalid", "origin", 1),
    }


EVENT = support.item("event", b"{}")
LARGE_EVENT = support.item("event", b" " * (limits.EVENT_BYTES + 1))


@pytest.mark.parametrize(
    "items",
    {
        "too large": [LARGE_EVENT],
        "one of two": [EVENT, LARGE_EVENT],
        "of unknown length": [b'{"type":"event"}\n' + b" " * (limits.EVENT_BYTES + 1) + b"\n"],
        "in an envelope that is read as a stream": [EVENT, LARGE_EVENT, LARGE_EVENT],
        "one too many": [EVENT] * (limits.ITEMS_OF_TYPE + 1),
        "after all that is kept": [support.item("event", b" " * limits.EVENT_BYTES)] * 16 + [EVENT],
        "marked by its sender": [support.item("event", b"", sysops_dropped="sampled_out")],
        "feedback": [support.item("feedback", b" " * (limits.EVENT_BYTES + 1))],
    }.items(),
    ids=lambda given: given[0].replace(" ", "_"),
)
def test_an_event_that_is_not_kept_is_never_answered_with_an_id(
    web: Web, key: Key, items: tuple[str, list[bytes]]
) -> None:
    answer = web.report(key, gzip.compress(support.envelope(*items[1])), content_encoding="gzip")

    assert (answer.status_code, "id" in answer.json()) == (413, False)
    assert not Spool.objects.exists()


def test_an_event_that_is_too_large_is_counted_and_its_attachment_that_is_too_large_costs_it_nothing(
    web: Web, key: Key
) -> None:
    attachment = support.item("attachment", b"x" * (limits.ATTACHMENT_BYTES + 1))

    assert web.report(key, support.envelope(LARGE_EVENT)).status_code == 413
    assert web.report(key, support.envelope(EVENT, attachment)).status_code == 200

    assert counted() == {(key.project_id, "error", "too_large", "size", 1)}
    assert Spool.objects.count() == 1


def test_beyond_the_quota_it_is_429_until_the_minute_is_over_and_counted(web: Web) -> None:
    key = support.key(support.project(), quota_per_minute=3)
    _not_at_the_end_of_a_minute()

    answers = [web.report(key, support.envelope()) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    wait = int(answers[-1].headers["retry-after"])
    assert 0 < wait <= 60
    assert answers[-1].headers["x-sentry-rate-limits"] == f"{wait}::key:quota"
    assert Spool.objects.count() == 3
    assert counted() == {(key.project_id, "error", "rate_limited", "quota", 2)}


def test_a_projects_quota_is_shared_by_its_keys(web: Web) -> None:
    project = support.project(quota_per_minute=2)
    one, other = support.key(project), support.key(project)
    _not_at_the_end_of_a_minute()

    statuses = [web.report(key, support.envelope()).status_code for key in (one, other, one, other)]

    assert statuses == [200, 200, 429, 429]


def _not_at_the_end_of_a_minute() -> None:
    left = 60 - time.time() % 60
    if left < 10:
        time.sleep(left + 0.1)


def test_what_sysops_does_not_keep_is_dropped_and_leaves_its_outcome(web: Web, key: Key) -> None:
    body = support.envelope(
        support.item("transaction", {"type": "transaction", "spans": ["x" * 5_000]}),
        support.item("event", support.event()),
    )

    assert web.report(key, body).status_code == 200

    row = only_row()
    assert row.encoding == "zstd"
    dropped, event = protocol.read(zstandard.ZstdDecompressor().decompress(bytes(row.body))).items
    assert (dropped.type, dropped.dropped, dropped.payload) == ("transaction", "sampled_out", b"")
    assert json.loads(event.payload)["exception"]


def test_an_envelope_without_items_is_fine_and_leaves_nothing(web: Web, key: Key) -> None:
    answer = web.report(key, b'{"event_id":"' + b"a" * 32 + b'"}\n')

    assert (answer.status_code, answer.json()) == (200, {"id": "a" * 32})
    assert not Spool.objects.exists()


def test_an_event_without_an_id_on_its_envelope_is_answered_with_its_own(web: Web, key: Key) -> None:
    event = support.event()

    answer = web.report(key, b"{}\n" + support.item("event", event))

    assert answer.json() == {"id": event["event_id"]}
    assert only_row().event_id == UUID(str(event["event_id"]))


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"\x00\xff\xfe", {}),
        (b"[]\n", {}),
        (b'{}\n{"type":"event","length":-1}\n{}', {}),
        (b'{}\n{"type":"event","length":999}\n{}', {}),
        (b"no gzip", {"content_encoding": "gzip"}),
        (gzip.compress(b"{}\n" + b"x" * 900)[:-20], {"content_encoding": "gzip"}),
        (b"{}", {"content_encoding": "rot13"}),
        (b"{}", {"content_encoding": "gzip, br"}),
    ],
)
def test_rubbish_is_a_400_that_says_why(web: Web, key: Key, body: bytes, headers: dict[str, str]) -> None:
    answer = web.report(key, body, **headers)

    assert answer.status_code == 400
    assert answer.json()["detail"]
    assert answer.json()["causes"][0].endswith(".")
    assert not Spool.objects.exists()


@pytest.mark.parametrize("encoding", PACKERS)
def test_a_bomb_ends_in_413_at_little_cost_and_in_little_memory(web: Web, key: Key, encoding: str) -> None:
    bomb = PACKERS[encoding](b"{}\n" + b"0" * (limits.RAW_BYTES + 1_000_000))
    worker = psutil.Process(web.process.pid).children()[0]
    web.report(key, bomb, content_encoding=encoding)
    before, spent = worker.memory_info().rss, sum(worker.cpu_times()[:2])

    answer = web.report(key, bomb, content_encoding=encoding)

    assert answer.status_code == 413
    assert sum(worker.cpu_times()[:2]) - spent < 5
    assert worker.memory_info().rss - before < 24 * 1024 * 1024


def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_sent(web: Web, key: Key) -> None:
    head = f"POST {web.url(key)}?sentry_key={key.public} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    with socket.create_connection((HOST, web.port), timeout=30) as sender:
        sender.sendall(head.encode())
        assert sender.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_without_end_is_refused_when_it_is_too_long(web: Web, key: Key) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(200):
            yield b"x" * 1_000_000

    try:
        status = web.client.post(f"{web.url(key)}?sentry_key={key.public}", content=endless()).status_code
    except httpx.WriteError:  # refused while it was still being sent
        status = 413
    assert status == 413


@pytest.mark.parametrize("wrapped", ["plain", "base64", "form"])
def test_store_takes_one_event_also_in_the_wrappings_of_old_sdks(web: Web, key: Key, wrapped: str) -> None:
    raw = support.event_json()
    packed = base64.b64encode(zlib.compress(raw))
    body = {"plain": raw, "base64": packed, "form": b"sentry_data=" + packed.replace(b"+", b"%2B")}[wrapped]
    headers = {"content_type": "application/x-www-form-urlencoded"} if wrapped == "form" else {}

    answer = web.report(key, body, to="store/", **headers)

    assert answer.json() == {"id": json.loads(raw)["event_id"]}
    row = only_row()
    assert row.kind == Kind.STORE.value
    kept = bytes(row.body)
    assert (zstandard.ZstdDecompressor().decompress(kept) if row.encoding == "zstd" else kept) == raw


@pytest.mark.parametrize("body", [b"", b"null", b"[1]", b"\xff", b'{"event_id":', b"x" * 2_000_000])
def test_store_refuses_what_is_no_event(web: Web, key: Key, body: bytes) -> None:
    answer = web.report(key, body, to="store/")

    assert answer.status_code == (413 if len(body) > limits.STORE_BYTES else 400)
    assert not Spool.objects.exists()


def test_forms_of_too_many_fields_and_lists_nested_too_deeply_are_a_400(web: Web, key: Key) -> None:
    form = web.report(
        key,
        b"sentry_data=eJyrVkrOSSwuVrJSqlYqLU4tykvMTVWqBQBTCQeP" + b"&more=1" * 200,
        to="store/",
        content_type="application/x-www-form-urlencoded",
    )
    deep = b'[{"type": "csp-violation", "body": ' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"}]"

    assert form.status_code == 400
    assert web.report(key, deep, to="security/").status_code == 400
    assert not Spool.objects.exists()


@pytest.mark.parametrize("to", ["security/", "csp-report/"])
def test_a_browsers_report_of_a_broken_policy_is_kept(web: Web, key: Key, to: str) -> None:
    report = {"csp-report": {"document-uri": "https://shop.example/", "violated-directive": "script-src"}}

    answer = web.client.post(
        f"{web.url(key, to)}?sentry_key={key.public}",
        content=json.dumps(report),
        headers={"content-type": "application/csp-report"},
    )

    assert answer.status_code == 200
    row = only_row()
    assert (row.kind, json.loads(bytes(row.body))) == (Kind.SECURITY.value, report)
    assert answer.json() == {"id": row.event_id.hex if row.event_id else ""}


def test_a_list_of_browser_reports_becomes_one_row_each(web: Web, key: Key) -> None:
    listed = [{"type": "csp-violation", "body": {"documentURL": f"https://shop.example/{n}"}} for n in range(3)]

    answer = web.report(key, json.dumps(listed).encode(), to="security/", content_type="application/reports+json")

    assert answer.status_code == 200
    assert [json.loads(bytes(row.body)) for row in Spool.objects.order_by("pk")] == listed
    assert Spool.objects.values("event_id").distinct().count() == 3


def test_what_is_not_processed_is_refused_in_words(web: Web, key: Key) -> None:
    minidump = web.report(key, b"MDMP", to="minidump/")
    nothing = web.report(key, b"", to="nothing/")
    got = web.client.get(web.url(key))

    assert (minidump.status_code, nothing.status_code, got.status_code) == (415, 404, 405)
    assert "crash dumps" in minidump.json()["detail"]
    assert got.headers["allow"] == "POST, OPTIONS"


def test_a_page_of_the_projects_own_may_report_and_read_the_answer(web: Web) -> None:
    key = support.key(support.project(allowed_origins=["https://shop.example"]))
    asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}

    before = web.client.options(web.url(key), headers=asked)
    taken = web.report(key, support.envelope(), origin="https://shop.example")

    assert before.status_code == 200
    assert "x-sentry-auth" in before.headers["access-control-allow-headers"]
    assert (taken.status_code, taken.headers["access-control-allow-origin"]) == (200, "*")
    assert "x-sentry-rate-limits" in taken.headers["access-control-expose-headers"]


def test_a_foreign_page_may_not_report_where_pages_are_named_and_servers_may(web: Web) -> None:
    key = support.key(support.project(allowed_origins=["https://shop.example"]))

    foreign = web.report(key, support.envelope(), origin="https://evil.example")
    asked = web.client.options(web.url(key), headers={"origin": "https://evil.example"})
    server = web.report(key, support.envelope())

    assert (asked.status_code, foreign.status_code, server.status_code) == (403, 403, 200)
    assert "access-control-allow-origin" not in {**asked.headers, **foreign.headers}


def _raw(web: Web, data: bytes, *, wait: float = 3) -> bytes:
    with socket.create_connection((HOST, web.port), timeout=wait) as sender:
        sender.sendall(data)
        try:
            return sender.recv(4096)
        except TimeoutError:
            return b""


def test_odd_senders_get_no_5xx_leave_no_row_and_hurt_nobody(web: Web, key: Key) -> None:
    start = f"POST {web.url(key)}?sentry_key={key.public} HTTP/1.1\r\nHost: x\r\n".encode()
    body = support.envelope()
    with socket.create_connection((HOST, web.port)) as leaver:
        leaver.sendall(start + b"Content-Length: 500\r\n\r\nhalf")

    said = [
        _raw(web, start + b"Content-Length: -1\r\n\r\n" + body),
        _raw(web, start + b"Content-Length: x\r\n\r\n" + body),
        _raw(web, start + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", wait=0.5),
        _raw(web, start + b"Content-Length: 5\r\n\r\n[]\n[]" + b"rest of it"),
        _raw(web, start + b"Content-Encoding: \xff\xfe\r\nContent-Length: 2\r\n\r\n{}"),
        _raw(web, b"POST /api/99999999999999999999/envelope/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
        _raw(web, b"POST /api/1\xc2\xb2/envelope/?a=\xff HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
        _raw(web, start.replace(b"?sentry_key", b"?" + b"a=1&" * 500 + b"sentry_key") + b"Content-Length: 0\r\n\r\n"),
    ]

    assert [one for one in said if one.startswith(b"HTTP/1.1 5")] == []
    assert not Spool.objects.exists()
    assert web.report(key, body).status_code == 200


def test_many_senders_at_once_are_all_kept_before_they_are_answered(web: Web, key: Key) -> None:
    def send(_: int) -> tuple[int, str]:
        answer = web.report(key, support.envelope())
        return answer.status_code, answer.json()["id"]

    with ThreadPoolExecutor(8) as senders:
        answers = list(senders.map(send, range(200)))

    assert {status for status, _ in answers} == {200}
    assert {UUID(found) for _, found in answers} == set(Spool.objects.values_list("event_id", flat=True))


def test_sigterm_ends_the_server_within_seconds_and_loses_nothing_it_answered(key: Key, tmp_path: Path) -> None:
    answered: set[UUID] = set()
    with running(tmp_path / "log") as web:
        stop = threading.Event()

        def send() -> None:
            while not stop.is_set():
                try:
                    answer = web.report(key, support.envelope())
                except httpx.HTTPError:
                    return
                if answer.status_code == 200:
                    answered.add(UUID(answer.json()["id"]))

        senders = [threading.Thread(target=send) for _ in range(4)]
        for sender in senders:
            sender.start()
        until(lambda: len(answered) > 20, seconds=30, what="reports are taken")
        began = time.monotonic()
        web.process.terminate()
        web.process.wait(30)
        took = time.monotonic() - began
        stop.set()
        for sender in senders:
            sender.join(25)

    assert took < 20
    assert answered <= set(Spool.objects.values_list("event_id", flat=True))


def test_django_answers_as_before_beside_it(web: Web) -> None:
    assert web.client.get("/api/system/health/live").status_code == 200
    head = web.client.head("/api/system/health/live")
    assert (head.status_code, head.content) == (200, b"")
    assert web.client.get("/admin/").status_code == 302
    assert _raw(web, b"GET /admin/login/?next=/\xc3\xa9 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").startswith(
        b"HTTP/1.1 200"
    )
    chunked = web.client.post("/api/system/errors", content=iter([b'{"project":', b'"shop"}']))
    assert chunked.status_code == 401
    assert web.client.get("/api/systems/nothing").status_code == 404
