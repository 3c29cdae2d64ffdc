"""What could not be digested is tried again, and nothing of it that was stored before is counted a second time."""

import json
from collections.abc import Callable, Mapping
from uuid import UUID, uuid4

import pytest

from errors.digest import event as digesting
from errors.digest.terms import Odd
from errors.models import Attachment, CheckIn, Event, Feedback, Issue, OutcomeCount, Project, SessionCount, Undigestible
from errors.protocol import encodings
from errors.rules import Kind
from errors.services import again, retention
from tests.errors.support import (
    BY,
    DAY,
    NOW,
    clock,
    digest_all,
    envelope,
    event,
    event_envelope,
    item,
    project,
    put_in_spool,
)

pytestmark = pytest.mark.django_db

SESSIONS = item("sessions", {"aggregates": [{"exited": 5, "crashed": 2}], "attrs": {"release": "shop@1.0"}})
CHECK_IN = item("check_in", {"monitor_slug": "nightly", "status": "ok"})
FEEDBACK = item("feedback", {"contexts": {"feedback": {"message": "It broke"}}})
DISCARDED = item("client_report", {"discarded_events": [{"reason": "sample_rate", "category": "error", "quantity": 3}]})
DROPPED = item("transaction", b"", sysops_dropped="sampled_out")
ODD = item("check_in", {"status": "ok"})


def try_again(of: Project) -> None:
    again.digest_again(Undigestible.objects.get(project=of), by=BY, at=NOW)
    digest_all()


def outcomes(of: Project) -> dict[tuple[str, str], int]:
    rows = OutcomeCount.objects.filter(project=of, quantity__gt=0)
    return {(row.category, row.outcome): row.quantity for row in rows}


def all_counts(of: Project) -> dict[str, object]:
    return {
        "sessions": list(SessionCount.objects.filter(project=of).values_list("started", "exited", "crashed")),
        "check-ins": CheckIn.objects.filter(project=of).count(),
        "feedback": Feedback.objects.filter(project=of).count(),
        "attachments": Attachment.objects.filter(project=of).count(),
        "events": Event.objects.filter(project=of).count(),
        "issues": list(Issue.objects.filter(project=of).values_list("event_count", flat=True)),
        "outcomes": outcomes(of),
    }


def test_what_was_stored_of_an_envelope_is_counted_once_however_often_the_rest_is_tried() -> None:
    shop = project()
    file = item("attachment", b"log", filename="app.log")
    sent = envelope(
        SESSIONS, DROPPED, item("event", event()), ODD, CHECK_IN, FEEDBACK, DISCARDED, file, event_id=uuid4()
    )
    put_in_spool(shop, sent)
    digest_all()
    before = all_counts(shop)
    assert before["sessions"] == [(7, 5, 2)]

    for _ in range(2):
        try_again(shop)

        assert all_counts(shop) == before
    assert "monitor_slug" in Undigestible.objects.get(project=shop).reason


def test_the_rest_of_an_envelope_is_stored_once_an_upgrade_understands_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = project()
    ids = [uuid4(), uuid4(), uuid4()]
    sent = [item("event", event("KeyError", f"number {place}", event_id=each)) for place, each in enumerate(ids)]
    put_in_spool(shop, envelope(sent[0], SESSIONS, sent[1], sent[2], event_id=ids[0]))

    with monkeypatch.context() as patch:
        not_understood(patch, lambda sent: sent["event_id"] != ids[1].hex)
        digest_all()
    assert stored(shop) == {ids[1]}
    try_again(shop)

    assert stored(shop) == set(ids)
    assert outcomes(shop) == {("error", "accepted"): 3, ("session", "accepted"): 1}
    assert SessionCount.objects.get(project=shop).started == 7
    assert not Undigestible.objects.exists()


def test_an_event_after_an_odd_one_does_not_take_the_id_that_was_answered_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop, answered = project(), uuid4()
    alike: Mapping[str, object] = event("KeyError", "second", event_id=answered)
    put_in_spool(shop, envelope(item("event", {"exception": 1}), item("event", alike), event_id=answered))

    with monkeypatch.context() as patch:
        not_understood(patch, lambda sent: "event_id" not in sent)
        digest_all()
    assert len(stored(shop)) == 1
    assert answered not in stored(shop)
    try_again(shop)

    assert len(stored(shop)) == 2
    assert answered in stored(shop)


def test_what_was_stored_and_has_gone_by_its_age_does_not_come_back() -> None:
    shop = project(retention_days=10)
    put_in_spool(shop, envelope(item("event", event()), ODD, event_id=uuid4()), at=NOW - 40 * DAY)
    digest_all()
    retention.apply_retention(now=clock())
    assert not Event.objects.filter(project=shop).exists()

    try_again(shop)

    assert not Event.objects.filter(project=shop).exists()
    assert Issue.objects.get(project=shop).event_count == 1


def test_of_an_envelope_that_could_be_stored_in_part_only_the_rest_is_kept() -> None:
    shop = project()
    put_in_spool(shop, envelope(item("event", event(message="the secret part")), ODD, event_id=uuid4()))

    digest_all()

    kept = Undigestible.objects.get(project=shop)
    body = encodings.unpack(bytes(kept.body), kept.encoding, limit=10_000)
    assert b'"status": "ok"' in body
    assert b"secret" not in body


@pytest.mark.parametrize("body", [b"no envelope", b'{"event_id": 1}\nrubbish'])
def test_what_was_not_stored_at_all_is_kept_as_it_came(body: bytes) -> None:
    shop = project()
    put_in_spool(shop, body)

    digest_all()

    kept = Undigestible.objects.get(project=shop)
    assert (bytes(kept.body), kept.encoding) == (body, "identity")


def test_a_report_that_can_be_digested_now_counts_as_accepted_alone() -> None:
    shop = project()
    Undigestible.objects.create(
        project=shop, event_id=None, received_at=NOW, failed_at=NOW, kind=Kind.ENVELOPE.value, encoding="identity",
        reason="An earlier release did not understand it", body=event_envelope(),
    )  # fmt: skip
    OutcomeCount.objects.create(
        project=shop, hour=NOW.replace(minute=0), category="error", outcome="undigestible", quantity=1
    )

    try_again(shop)

    assert outcomes(shop) == {("error", "accepted"): 1}


def test_two_who_try_the_same_report_again_do_it_once() -> None:
    shop = project()
    put_in_spool(shop, envelope(SESSIONS, ODD, event_id=uuid4()))
    digest_all()
    kept = Undigestible.objects.get(project=shop)

    again.digest_again(kept, by=BY, at=NOW)
    with pytest.raises(again.AlreadyTried):
        again.digest_again(kept, by=BY, at=NOW)
    assert digest_all() == 1


def stored(of: Project) -> set[UUID]:
    return set(Event.objects.filter(project=of).values_list("event_id", flat=True))


def not_understood(patch: pytest.MonkeyPatch, odd: Callable[[Mapping[str, object]], bool]) -> None:
    """Have the digest find these events odd, until the patch is undone."""
    understood: Callable[..., object] = digesting.digest

    def digest(payload: bytes, **how: object) -> object:
        if odd(json.loads(payload)):
            raise Odd("Not understood yet.")
        return understood(payload, **how)

    patch.setattr(digesting, "digest", digest)
