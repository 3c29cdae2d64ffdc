"""Secrets planted in an event do not come out of the digest, wherever they stand and however they are written."""

import string
import time
from collections.abc import Callable
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors.digest.cards import find_cards, is_card, mask_cards
from errors.digest.event import Settings, digest, load
from errors.digest.names import ADDRESS, PLAIN, SECRET, Names
from errors.digest.plain import from_plain
from errors.digest.scrub import MASK, Scrubber, scrubber_of

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PROJECT = Settings(project_id=1, scrub_fields=frozenset({"cardHolder"}), scrub_personal_data=True, account_salt=b"s")
SCRUBBER = Scrubber(frozenset({"cardHolder"}), personal=True)

secrets = st.text(string.ascii_letters + string.digits + "_-+/=.!#$%^*", min_size=12, max_size=40).filter(
    lambda text: text[0].isalnum() and any(c.isdigit() for c in text) and "://" not in text
)
words = st.text(string.ascii_letters + " \"'\\äß\n\t{}[](),;:=<>/…日", max_size=30)

WRITTEN: list[Callable[[str], str]] = [
    "password={}".format,
    "PASSWORD: {}".format,
    "{{'password': '{}', 'a': 1}}".format,
    '{{"db_password": "{}"}}'.format,
    '{{\\"api_key\\": \\"{}\\"}}'.format,
    "apiKey={}".format,
    "https://x.example/?access_token={}&b=2".format,
    "user%5Bpassword%5D={}".format,
    "Authorization: Token {}".format,
    "Authorization: Bearer {}".format,
    "(b'authorization', b'Bearer {}')".format,
    "Cookie: a=b; session={}".format,
    "bearer {}".format,
    "curl --password {} --verbose".format,
    "<secret>{}</secret>".format,
    "set_password('{}')".format,
    "card_holder = {}".format,
    "password='''{}'''".format,
    "pwd={};host=db".format,
    '{{"pass": "{}"}}'.format,
    "{{'auth': '{}', 'a': 1}}".format,
    "/login?sid={}&a=1".format,
    "/file?X-Amz-Signature={}&a=1".format,
    "connect(auth='{}')".format,
    "password is {}".format,
    "ALTER USER jane WITH PASSWORD '{}'".format,
    "CREATE USER jane IDENTIFIED BY '{}'".format,
    "INSERT INTO person (name, password) VALUES ('jane', '{}')".format,
    'form-data; name="new_password"\r\n\r\n{}\r\n'.format,
]


@given(written=st.sampled_from(WRITTEN), secret=secrets, before=words, after=words)
@settings(max_examples=400, deadline=None)
def test_a_secret_named_as_one_goes_from_any_text(
    written: Callable[[str], str], secret: str, before: str, after: str
) -> None:
    assert secret not in SCRUBBER.text(f"{before} {written(secret)} {after}")


@given(parts=st.lists(st.sampled_from([*WRITTEN, str]), min_size=1, max_size=5), secret=secrets, around=words)
@settings(max_examples=300, deadline=None)
def test_looking_for_letters_first_misses_nothing_that_reading_every_text_finds(
    parts: list[Callable[[str], str]], secret: str, around: str
) -> None:
    texts = [f"{around}{part(secret)}{around}" for part in parts]

    scrubbed = SCRUBBER.json(orjson.dumps(texts))

    assert orjson.loads(scrubbed) == [SCRUBBER.text(text) for text in texts]


rubbish = st.lists(
    st.sampled_from([*'"\\@.:/=%&; \n4a', "password", "bearer ", "%40", "eyJ", "4111111111111111", "ſ", "\u212a"])
).map("".join)


@given(st.lists(rubbish, max_size=4))
@settings(max_examples=500, deadline=None)
def test_rubbish_made_of_what_patterns_look_for_stays_json_and_is_read_alike(texts: list[str]) -> None:
    scrubbed = SCRUBBER.json(orjson.dumps({"a": texts, "b": dict.fromkeys(texts, 0.30000000000000004)}))

    assert orjson.loads(scrubbed)["a"] == [SCRUBBER.text(text) for text in texts]


def plant(secret: str) -> dict[str, object]:
    """An event that carries the secret wherever an SDK could put it."""
    line = f'password = "{secret}"'
    frame = {
        "function": "pay",
        "filename": "shop/pay.py",
        "lineno": 3,
        "in_app": True,
        "context_line": line,
        "pre_context": [line, f"headers = {{'Authorization': 'Bearer {secret}'}}"],
        "post_context": [f"api_key={secret}"],
        "vars": {"password": secret, "deep": {"list": [["token", secret], {"name": "secret", "value": secret}]}},
    }
    return {
        "message": f"password={secret}",
        "logentry": {"message": "token: %s", "params": [f"token={secret}"], "formatted": f"token: {secret}"},
        "transaction": f"GET /x?token={secret}",
        "release": f"secret={secret}",
        "environment": f"pwd={secret}",
        "server_name": f"https://u:{secret}@host",
        "fingerprint": [f"password={secret}"],
        "exception": {"values": [{"type": f"E(token={secret})", "value": line, "stacktrace": {"frames": [frame]}}]},
        "breadcrumbs": [{"message": f"Cookie: a={secret}", "data": {"headers": [["Set-Cookie", secret]]}}],
        "request": {
            "url": f"https://u:{secret}@x.example/?api_key={secret}",
            "query_string": [["token", secret]],
            "cookies": {"any": secret},
            "headers": [["Authorization", secret], ["X-Api-Key", secret]],
            "data": '{"password": "' + secret + '"}',
            "env": {"DB_PASSWORD": secret},
        },
        "user": {"id": 1, "data": {"passwd": secret}},
        "tags": [["token", secret], ["note", f"secret={secret}"]],
        "contexts": {"auth": {"any": secret}, "x": {"cardHolder": secret}},
        "extra": {"sys.argv": ["x", "--password", secret], "a": {f"token={secret}": 1}, "b": {"password": [secret]}},
        "modules": {"password": secret},
        "sdk": {"token": secret},
        "threads": [{"name": f"token={secret}", "stacktrace": [frame]}],
        "unknown": {"password": secret},
    }


@given(secret=secrets.map(lambda text: text.replace("/", "").replace(".", "") + "z9z9z9"))
@settings(max_examples=100, deadline=None)
def test_a_secret_planted_anywhere_never_comes_out(secret: str) -> None:
    event = digest(orjson.dumps(plant(secret)), event_id=None, received_at=AT, remote="10.0.0.1", project=PROJECT)

    assert secret not in str(load(event.payload))
    assert secret not in str(event)
    assert secret not in str((event.tags, event.paths, event.grouping_label))


def test_the_same_secret_written_with_escapes_never_comes_out() -> None:
    text = orjson.dumps(plant("hunter2hunter2"))
    escaped = text.replace(b"pass", b"\\u0070\\u0061ss").replace(b"token", b"\\u0074oken").replace(b"/", b"\\/")

    event = digest(escaped, event_id=None, received_at=AT, remote="", project=PROJECT)

    assert "hunter2" not in str(load(event.payload))


def test_what_only_looks_like_a_secret_is_left_as_it_was() -> None:
    for text in [
        "Unexpected token < in JSON at position 1",
        "connect to http://host:8080/path",
        "ssh://git@example.com/x",
        "a basic understanding of keys",
        "KeyError: 'password'",
        "token=[Filtered]",
        "lodash@4.17.21",
        "risk-based task-runner-for-something-9",
        "3 passed, pass: 7, exit code=1",
        "Password is required",
        "INSERT INTO person (name) VALUES ('jane')",
    ]:
        assert SCRUBBER.text(text) == text


@pytest.mark.parametrize(
    "line",
    [
        'password = request.POST["password"]',
        "token = self.token",
        "login(user, password=password)",
        "api_key=settings.API_KEY,",
        "def check(token: str) -> str:",
        'raise KeyError("token")',
    ],
)
def test_source_that_only_names_a_secret_stays_readable(line: str) -> None:
    assert SCRUBBER.source(line) == line


def test_a_line_of_source_is_known_as_one_also_behind_its_quotes() -> None:
    line = 'a = "b\\\\"; token = self.token'
    dump = orjson.dumps(["before\\", line])

    assert SCRUBBER.json(dump, [[line]]) is dump
    assert SCRUBBER.json(dump) != dump


def test_a_literal_in_source_goes() -> None:
    assert SCRUBBER.source('password: str = "correct horse"') == f'password: str = "{MASK}"'
    assert SCRUBBER.source('if token == "abc":') == f'if token == "{MASK}":'


@pytest.mark.parametrize(
    "number", ["4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005", "6011 000990139424"]
)
def test_card_numbers_go_from_texts_and_numbers_of_any_field(number: str) -> None:
    digits = number.replace(" ", "").replace("-", "")
    tree = {
        "extra": {"a": f"paid 2 {number} 12/28", "b": int(digits), "c": [float(digits), {"d": int(digits)}]},
        "message": number,
        "tags": {"card": number},
        "release": number,
    }

    event = digest(orjson.dumps(tree), event_id=None, received_at=AT, remote="", project=PROJECT)

    stored = str(load(event.payload)) + str(event)
    assert number not in stored
    assert digits not in stored


def test_numbers_that_are_no_cards_stay() -> None:
    for text in ["1700000000000", "0.4111111111111111", "order 4111111111111112", "48151623", "4" * 40]:
        assert mask_cards(text, MASK) == text
    assert not is_card("4111111111111112")
    assert list(find_cards("")) == []


@pytest.mark.parametrize(
    "name",
    [
        "db_pass",
        "smtpPass",
        "MYSQL_PASS",
        "card_cvv",
        "password",
        "X-Api-Key",
        "DB_PASSWORD",
        "csrfToken",
        "Set-Cookie",
        "card_holder",
        "cvv",
    ],
)
def test_these_names_hold_secrets(name: str) -> None:
    assert Names(frozenset({"cardHolder"}), personal=True)[name] == SECRET


def test_counts_of_tokens_and_ordinary_names_hold_none() -> None:
    names = Names(frozenset(), personal=True)

    assert {
        names[name] for name in ("max_tokens", "author", "keyboard", "monkey", "id", "bypass", "spin", "compass")
    } == {PLAIN}
    assert names["REMOTE_ADDR"] == ADDRESS
    assert Names(frozenset(), personal=False)["REMOTE_ADDR"] == PLAIN


def test_personal_data_goes_only_where_the_project_says_so() -> None:
    tree = {
        "user": {"id": "7", "email": "jane@example.com", "ip_address": "10.9.8.7"},
        "message": "mail to jane%40example.com or jane@example.com failed",
        "request": {"headers": {"X-Forwarded-For": "10.9.8.7"}, "env": {"REMOTE_ADDR": "10.9.8.7"}},
    }
    kept = Settings(project_id=1, scrub_fields=frozenset(), scrub_personal_data=False, account_salt=b"s")

    scrubbed = load(digest(orjson.dumps(tree), event_id=None, received_at=AT, remote="", project=PROJECT).payload)
    whole = load(digest(orjson.dumps(tree), event_id=None, received_at=AT, remote="", project=kept).payload)

    assert "jane" not in str(scrubbed)
    assert "10.9.8.7" not in str(scrubbed)
    assert scrubbed["user"] == {"id": "7", "email": "***@example.com"}
    assert whole["user"] == tree["user"]


def test_a_private_key_and_a_web_token_go() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"

    assert SCRUBBER.text(f"read {key} done") == f"read {MASK} done"
    assert SCRUBBER.text("x eyJhbGciOi.eyJzdWIiOiIx.abc_-def y") == f"x {MASK} y"


@pytest.mark.parametrize(
    "token",
    [
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz0123456789",
        "glpat-ABCdef1234567890xyzz",
        "xoxb-123456789012-1234567890123-AbCdEfGhIjKlMnOp",
        "AKIAIOSFODNN7EXAMPLE",
        "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "sk-proj-abcdefghijABCDEFGHIJ1234567890",
        "AIzaSyA1234567890abcdefghijklmnopqrstuv",
        "npm_abcdefghijklmnopqrstuvwxyz0123456789",
        "hf_abcdefghijklmnopqrstuvwxyz01234567",
        "pypi-AgEIcHlwaS5vcmcCJGE0MzRmZjI2LTJk",
        "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",
        "eyJhbGciOiJkaXIifQ..aaaaaaaa.bbbbbbbb.cccc",
    ],
)
def test_a_token_told_by_its_beginning_goes_from_anywhere(token: str) -> None:
    for text, expected in [(token, MASK), (f"got {token}, then", f"got {MASK}, then"), (f"'{token}'", f"'{MASK}'")]:
        assert SCRUBBER.text(text) == expected
        assert SCRUBBER.source(text) == expected
        assert orjson.loads(SCRUBBER.json(orjson.dumps([text]))) == [expected]


def test_addresses_that_are_secrets_themselves_go() -> None:
    assert SCRUBBER.json(b'["https://hooks.slack.com/services/T00000000/B0000/abcdXYZ"]').endswith(
        b'services/[redacted]"]'
    )
    assert SCRUBBER.json(b'["https://api.telegram.org/bot123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PAL/send"]') == (
        b'["https://api.telegram.org/bot[redacted]/send"]'
    )


def test_a_password_of_several_words_goes_up_to_the_end_of_the_phrase() -> None:
    assert SCRUBBER.text("refused, password: correct horse battery, user: jane") == (
        f"refused, password: {MASK}, user: jane"
    )
    assert SCRUBBER.text("password: correct horse user: jane\nnext line") == f"password: {MASK} user: jane\nnext line"


def test_a_private_key_goes_also_when_each_line_is_a_text_of_its_own() -> None:
    lines = ["-----BEGIN PRIVATE KEY-----", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7", "x = 1", "a" * 40]

    scrubbed = orjson.loads(SCRUBBER.json(orjson.dumps(lines)))

    assert scrubbed == [MASK, MASK, "x = 1", "a" * 40]


def test_a_parameter_goes_that_its_message_names_a_secret() -> None:
    listed = {"logentry": {"message": "login of %s with password=%s failed", "params": ["jane", "hunter2"]}}
    named = {"logentry": {"message": "token: {given} of {name}", "params": {"given": "hunter2", "name": "jane"}}}

    for tree in (listed, named):
        event = digest(orjson.dumps(tree), event_id=None, received_at=AT, remote="", project=PROJECT)

        assert "hunter2" not in str(load(event.payload)) + str(event)
        assert "jane" in str(load(event.payload)["logentry"]["params"])  # type: ignore[index]


def test_a_web_token_beside_nothing_that_tells_of_it_goes_from_json_too() -> None:
    assert SCRUBBER.json(b'{"a":"x eyJhbGciOi.eyJzdWIiOiIx.abc_-def"}') == b'{"a":"x [redacted]"}'


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://u:p@ss@host/db", "postgres://u:[redacted]@host/db"),
        ("redis://:pa/ss@host:1/0", "redis://:[redacted]@host:1/0"),
        ("amqp://u:12#4@host", "amqp://u:[redacted]@host"),
        ("https://ghp_0123456789abcdef@github.com/x", "https://[redacted]@github.com/x"),
        ("['http://localhost:8000', '@x']", "['http://localhost:8000', '@x']"),
        ('["http://localhost:8000","@x"]', '["http://localhost:8000","@x"]'),
        ("http://host:8080/path?by=@x", "http://host:8080/path?by=@x"),
    ],
)
def test_passwords_go_from_urls_and_ports_stay(url: str, expected: str) -> None:
    assert SCRUBBER.text(url) == expected


def test_the_digits_of_a_number_in_json_are_not_taken_for_a_text() -> None:
    dump = b'{"a":"4111111111111111","b":0.5,"c":5.4111111111111111,"d":"x"}'

    assert SCRUBBER.json(dump) == dump.replace(b'"4111111111111111"', b'"[redacted]"')
    assert SCRUBBER.json(b'{"b":[4111111111111111,"x"]}') == b'{"b":[4111111111111111,"x"]}'  # the walk masks it


def test_the_same_settings_get_the_same_scrubber() -> None:
    assert scrubber_of(frozenset({"a"}), personal=True) is scrubber_of(frozenset({"a"}), personal=True)


def test_hostile_texts_do_not_take_long() -> None:
    repeated = ["a", "://a:", "password=", "eyJ-", "4 ", "token,token:", "a.a@", "a.", "cookie:", "<token>", "\\"]
    for text in [part * (8_000 // len(part)) for part in repeated] + ['password="' + "\\" * 8_000, "a@" + "a." * 4_000]:
        before = time.process_time()
        SCRUBBER.text(text)
        SCRUBBER.source(text)
        assert time.process_time() - before < 1


@pytest.mark.parametrize(
    "tree",
    [
        {"extra": {"x": ["4 " * 4_000] * 110}},
        {"extra": {"x": ["password sk-" * 600] * 110}},
        {"extra": {"x": ["insert into " * 600 + "password"] * 110}},
        {"extra": {"x": ["password: a " * 600] * 110}},
        {"extra": {"x": ['password name="' * 500] * 110}},
        {"logentry": {"message": "{a}" * 2_700, "params": {"a": ["x" * 8_000] * 100}}},
    ],
)
def test_a_hostile_event_of_the_largest_size_takes_no_more_than_a_moment(tree: dict[str, object]) -> None:
    body = orjson.dumps(tree)
    before = time.process_time()

    digest(body, event_id=None, received_at=AT, remote="", project=PROJECT)

    assert time.process_time() - before < 5


@pytest.mark.parametrize("trace", ["\n" * 65_536, "at " + " " * 65_000 + "(", " at a(" * 10_000, "File " * 13_000])
def test_a_hostile_stack_trace_of_a_script_takes_no_more_than_a_moment(trace: str) -> None:
    body = orjson.dumps({"message": "x", "stack_trace": trace})
    before = time.process_time()

    from_plain(body, event_id=None, received_at=AT, remote="", project=PROJECT)

    assert time.process_time() - before < 1
