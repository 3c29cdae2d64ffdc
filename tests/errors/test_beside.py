"""What arrives beside events is kept or counted, once; what is odd about it is said."""

import json
from collections.abc import Mapping
from contextlib import suppress
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors.models import Attachment, CheckIn, Event, Feedback, OutcomeCount, Project, SessionCount, Undigestible
from errors.protocol.envelope import Item
from errors.services.beside import Beside, OddItem
from tests.errors.support import NOW, digest_all, envelope, event, item, project, put_in_spool

pytestmark = pytest.mark.django_db

ATTRS = {"release": "shop@1.0", "environment": "live"}


def send(of: Project, *items: bytes, event_id: UUID | None = None) -> None:
    put_in_spool(of, envelope(*items, event_id=event_id or uuid4()))
    digest_all()


def check_in(**values: object) -> bytes:
    return item("check_in", {"check_in_id": uuid4().hex, "monitor_slug": "nightly", "status": "ok", **values})


def test_a_check_in_is_kept_with_its_schedule() -> None:
    shop = project()

    send(shop, check_in(duration=2.5, environment="live", monitor_config={"schedule": {"value": "0 3 * * *"}}))

    kept = CheckIn.objects.get(project=shop)
    assert (kept.monitor, kept.status, kept.environment, kept.duration_seconds) == ("nightly", "ok", "live", 2.5)
    assert kept.monitor_config == {"schedule": {"value": "0 3 * * *"}}


def test_a_check_in_sent_twice_is_kept_once_and_its_next_step_too() -> None:
    shop, known_as = project(), uuid4().hex

    for status in ("in_progress", "ok", "ok"):
        send(shop, check_in(check_in_id=known_as, status=status))

    assert sorted(CheckIn.objects.filter(project=shop).values_list("status", flat=True)) == ["in_progress", "ok"]


def test_check_ins_without_an_id_are_not_taken_for_one() -> None:
    shop = project()

    send(shop, check_in(check_in_id="0" * 32), check_in(check_in_id="0" * 32))

    assert CheckIn.objects.filter(project=shop).count() == 2


def test_sessions_are_counted_by_release_and_hour() -> None:
    shop = project()
    begun = item("session", {"sid": "1", "init": True, "status": "ok", "attrs": ATTRS})
    failed = item("session", {"sid": "1", "status": "exited", "errors": 2, "attrs": ATTRS})
    many = {"aggregates": [{"exited": 5, "crashed": 2}, {"abnormal": 1, "exited": -7}], "attrs": ATTRS}

    send(shop, begun, failed)
    send(shop, item("sessions", many))

    counted = SessionCount.objects.get(project=shop)
    assert (counted.release, counted.environment, counted.hour) == ("shop@1.0", "live", NOW.replace(minute=0))
    assert (counted.started, counted.exited, counted.errored, counted.crashed, counted.abnormal) == (9, 5, 1, 2, 1)


def test_an_attachment_is_kept_with_its_event_once() -> None:
    shop, sent = project(), event()
    event_id = UUID(str(sent["event_id"]))
    file = item("attachment", b"\x00\xff log", filename="../app.log", content_type="text/plain")

    send(shop, item("event", sent), file, event_id=event_id)
    send(shop, item("event", sent), file, event_id=event_id)

    kept = Attachment.objects.get(project=shop)
    assert (kept.event_id, kept.position, kept.filename) == (event_id, 1, "../app.log")
    assert (bytes(kept.body), kept.size_bytes, kept.content_type) == (b"\x00\xff log", 6, "text/plain")


@pytest.mark.parametrize(("scrub", "email"), [(True, ""), (False, "ada@shop.example")])
def test_feedback_is_kept_with_the_error_it_is_about(scrub: bool, email: str) -> None:
    shop, about = project(scrub_personal_data=scrub), uuid4()
    wrote = {"message": "It broke", "contact_email": "ada@shop.example", "associated_event_id": about.hex}

    send(shop, item("feedback", {"event_id": uuid4().hex, "contexts": {"feedback": wrote}}))
    send(shop, item("user_report", {"event_id": about.hex, "email": "ada@shop.example", "comments": "It broke again"}))

    kept = Feedback.objects.filter(project=shop).order_by("pk")
    assert [(row.message, row.email, row.event_id) for row in kept] == [
        ("It broke", email, about),
        ("It broke again", email, about),
    ]


def test_what_sdks_discarded_is_counted_under_names_that_are_known() -> None:
    shop = project()
    discarded = [
        {"reason": "queue_overflow", "category": "error", "quantity": 3},
        {"reason": "<script>", "category": "made up", "quantity": 4},
        {"reason": "sample_rate", "category": "transaction", "quantity": -1},
        "rubbish",
    ]

    send(shop, item("client_report", {"discarded_events": discarded}))

    rows = OutcomeCount.objects.filter(project=shop, outcome="client_discard").order_by("category")
    counts = {(row.category, row.reason): row.quantity for row in rows if row.quantity}
    assert counts == {("error", "queue_overflow"): 3, ("other", "other"): 4}


@pytest.mark.parametrize(
    ("kind", "payload", "reason"),
    [
        ("check_in", {"status": "ok"}, "monitor_slug"),
        ("check_in", {"monitor_slug": "a", "status": "fine"}, "status"),
        ("sessions", {"aggregates": 1}, "aggregates"),
        ("feedback", {"contexts": {}}, "contexts.feedback"),
        ("user_report", {"comments": " "}, "says nothing"),
        ("check_in", [], "not a JSON object"),
    ],
)
def test_an_odd_item_is_explained_and_its_neighbours_are_kept(kind: str, payload: object, reason: str) -> None:
    shop = project()

    send(shop, item("event", event()), item(kind, payload), check_in())  # type: ignore[arg-type]

    assert reason in Undigestible.objects.get(project=shop).reason
    assert Event.objects.filter(project=shop).count() == 1
    assert CheckIn.objects.filter(project=shop, monitor="nightly").count() == 1


def test_the_same_feedback_in_another_project_is_another() -> None:
    one, other = project(), project()
    report = item("user_report", {"event_id": uuid4().hex, "comments": "Broken"})

    for each in (one, other):
        send(each, report)

    assert Feedback.objects.count() == 2


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["monitor_slug", "status", "aggregates", "attrs", "contexts", "discarded_events", "duration", "monitor_config"]


@given(st.dictionaries(st.sampled_from(NAMES), anything), st.sampled_from(["check_in", "sessions", "client_report"]))
@settings(max_examples=150, deadline=None)
def test_no_content_breaks_the_reading(content: Mapping[str, object], kind: str) -> None:
    payload = json.dumps(content).encode()

    with suppress(OddItem):
        Beside(1, uuid4(), NOW).add(Item(kind, {}, payload, len(payload)), position=0)


def test_a_secret_in_feedback_is_not_kept() -> None:
    shop = project(scrub_fields=["memberCode"])
    wrote = "my password: hunter2 and memberCode=12ab, https://u:hunter2@x.example"

    send(shop, item("user_report", {"event_id": uuid4().hex, "name": "token=hunter2", "comments": wrote}))
    send(
        shop,
        item("feedback", {"contexts": {"feedback": {"message": wrote, "url": "https://x.example/?token=hunter2"}}}),
    )

    kept = str(list(Feedback.objects.filter(project=shop).values_list("name", "message", "url")))
    assert Feedback.objects.filter(project=shop).count() == 2
    assert "hunter2" not in kept
    assert "12ab" not in kept
