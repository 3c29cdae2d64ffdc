"""Two thousand broken envelopes, each with a sound neighbour, through the real intake and the digest.

None may cost the server a 5xx, none its neighbour, and whatever was answered 200 is an event or explained.
"""

import copy
import gzip
import json
import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import brotli
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from errors.models import Event, Spool, Undigestible
from errors.protocol import encodings, limits
from errors.protocol.envelope import read, read_stream
from tests.errors import odd
from tests.errors.sending import Line, line
from tests.errors.support import digest_all, item, key, project, sdk_envelopes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(500)]

FLIPPED = 1_000
EXAMPLES, OF_EACH = 40, 25  # as many again, made by hypothesis

PACKERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": encodings.pack,
}
TOKENS = [
    b"\x00",
    rb"\u0000",
    rb"\ud800",
    b"\xff",
    b"\xed\xa0\x80",  # a surrogate in UTF-8
    b"null",
    b"[]",
    b"{}",
    b"-1",
    b"1e999",
    b"NaN",
    b'"',
    b"\\",
    b"\n",
    b"\r\n",
    b"{" * 50,
    b"9" * 40,
    b'"length":',
    b'{"type":"event"}\n',
]


@dataclass(frozen=True)
class Mutant:
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def events(self) -> int:
        """How many events an intake that took it has promised to keep."""
        raw = encodings.chunks(self.body, self.headers.get("content-encoding", ""), limit=limits.RAW_BYTES)
        return sum(one.type == "event" and not one.dropped for one in read_stream(raw).items)


@pytest.fixture
def intake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setattr("sysops.asgi.wake_digest", lambda: None)
    with line(key(project())) as running:
        yield running


def send_and_check(intake: Line, mutants: Sequence[Mutant]) -> int:
    """Send each with a neighbour, digest, and check; how many were taken."""
    ids = [uuid4() for _ in mutants]
    bodies = [body for mutant, good in zip(mutants, ids) for body in (mutant.body, odd.good_envelope(good))]
    headers = [more for mutant in mutants for more in (mutant.headers, {})]

    answers = intake.send(bodies, headers=headers)
    digest_all()

    assert [answer.status_code for answer in answers[1::2]] == [200] * len(ids)
    found = Event.objects.filter(event_id__in=ids).values_list("event_id", flat=True)
    assert sorted(found) == sorted(ids), "a neighbour is lost or stored twice"
    assert not Spool.objects.exists()
    unexpected = Undigestible.objects.filter(reason__regex="nexpected|PostgreSQL refused")
    assert not unexpected.exists(), [(each.reason, bytes(each.body)) for each in unexpected]
    taken = [(answer, mutant) for answer, mutant in zip(answers[::2], mutants) if answer.status_code == 200]
    wanted = {UUID(answer.json()["id"]): mutant for answer, mutant in taken if mutant.events()}
    for mutant, answer in zip(mutants, answers[::2]):
        assert answer.status_code < 500, (answer.status_code, mutant.body, mutant.headers)
    assert not set(wanted) - accounted(wanted), "answered 200 and neither stored nor explained"
    return len(taken)


def accounted(ids: Mapping[UUID, object]) -> set[UUID]:
    stored = Event.objects.filter(event_id__in=ids).values_list("event_id", flat=True)
    explained = Undigestible.objects.filter(event_id__in=ids).values_list("event_id", flat=True)
    return {*stored, *(event_id for event_id in explained if event_id)}


def mixed(event: bytes, event_id: UUID) -> bytes:
    """An envelope with an item of every kind that is kept."""
    counts = {"exited": 3, "errored": 1, "started": "2027-01-13T12:00:00Z"}
    check_in = {"check_in_id": uuid4().hex, "monitor_slug": "nightly", "status": "ok", "duration": 3.5}
    feedback = {"contexts": {"feedback": {"message": "It broke", "associated_event_id": event_id.hex}}}
    return b"".join(
        [
            json.dumps({"event_id": event_id.hex, "sent_at": "2027-01-13T12:30:00Z"}).encode() + b"\n",
            item("event", event),
            item("attachment", b"some\nlines\n", filename="app.log", content_type="text/plain"),
            item("session", {"sid": uuid4().hex, "init": True, "status": "ok", "attrs": {"release": "shop@1"}}),
            item("sessions", {"aggregates": [counts], "attrs": {"release": "shop@1", "environment": "prod"}}),
            item("check_in", check_in),
            item("client_report", {"discarded_events": [{"reason": "queue_full", "category": "error", "quantity": 2}]}),
            item("user_report", {"event_id": event_id.hex, "name": "Ada", "email": "a@b.c", "comments": "Ouch"}),
            item("feedback", {"event_id": uuid4().hex, **feedback}),
            item("transaction", {"spans": []}),
        ]
    )


def flip(raw: bytes, chance: random.Random) -> bytes:
    """The bytes with a few of them changed, added, taken away or moved."""
    found = bytearray(raw)
    for _ in range(chance.choice([1, 1, 1, 2, 5, 30])):
        at = chance.randrange(len(found) + 1)
        size = chance.choice([1, 2, 8, 100])
        match chance.randrange(6):
            case 0:
                found[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                found[at:at] = chance.choice(TOKENS)
            case 2:
                found[at : at + size] = b""
            case 3:
                found[at:at] = found[at : at + size]
            case 4:
                found[at : at + size] = chance.choice(TOKENS)
            case _:
                if chance.random() < 0.2:
                    del found[at:]
    return bytes(found)


def flipped(event: bytes, event_id: UUID, chance: random.Random) -> Mutant:
    """An envelope broken in its event, or anywhere, or in the way it is packed."""
    where = chance.choice(["event", "event", "envelope", "packed"])
    raw = mixed(flip(event, chance) if where == "event" else event, event_id)
    if where == "envelope":
        raw = flip(raw, chance)
    encoding = chance.choice(["", *PACKERS])
    if not encoding:
        return Mutant(raw)
    body = PACKERS[encoding](raw)
    return Mutant(flip(body, chance) if where == "packed" else body, {"content-encoding": encoding})


def test_a_thousand_envelopes_with_flipped_bytes(intake: Line) -> None:
    chance = random.Random(2_027)
    real = [read(raw).items[0].payload for raw in sdk_envelopes(20, kinds=5)]
    mutants = []
    for number in range(FLIPPED):
        event_id = uuid4()
        event = real[number % len(real)] if number % 3 == 0 else odd.dumped(odd.rich(event_id))
        mutants.append(flipped(event, event_id, chance))

    taken = sum(send_and_check(intake, mutants[start : start + 100]) for start in range(0, FLIPPED, 100))

    assert FLIPPED // 3 < taken < FLIPPED  # many get through to the digest, and not all


TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    TEXTS,
    st.sampled_from(
        ["", "\x00", "\ud800", "x" * 3_000, "2027-13-45T99:99:99Z", "\\", "<script>", "%s", "{{ default }}"]
    ),
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4))


def places(tree: object) -> list[tuple[object, object]]:
    """Every container of the tree with every key or index in it."""
    found: list[tuple[object, object]] = []
    if isinstance(tree, dict | list):
        for place, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
            found += [(tree, place), *places(value)]
    return found


@st.composite
def confused(draw: st.DrawFn) -> Mutant:
    """A sound envelope whose event, or another of its items, has values of the wrong type or size somewhere."""
    event_id = draw(st.uuids(version=4))
    event = copy.deepcopy(odd.rich(event_id))
    for _ in range(draw(st.integers(1, 4))):
        found = places(event)
        container, place = found[draw(st.integers(0, len(found) - 1))]
        container[place] = draw(VALUES)  # type: ignore[index]
    head, *lines = mixed(odd.dumped(event), event_id).split(b"\n")
    if draw(st.integers(0, 3)) == 0:  # one of the other items loses its mind instead
        kind = draw(st.sampled_from(["session", "sessions", "check_in", "client_report", "user_report", "feedback"]))
        lines = [*item(kind, json.dumps(draw(VALUES)).encode()).split(b"\n")[:-1], *lines]
    if draw(st.integers(0, 9)) == 0:
        head = json.dumps({"event_id": draw(VALUES), "sent_at": draw(VALUES), "dsn": draw(VALUES)}).encode()
    return Mutant(b"\n".join([head, *lines]))


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # which a failure does, naming its envelopes
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(mutants=st.lists(confused(), min_size=OF_EACH, max_size=OF_EACH))
def test_a_thousand_envelopes_with_values_of_wrong_types(intake: Line, mutants: list[Mutant]) -> None:
    send_and_check(intake, mutants)
