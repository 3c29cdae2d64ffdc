"""One odd report among many, sent to the real intake and digested: it takes no neighbour down, and is explained."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from errors.models import Event, Issue, Spool, Undigestible
from tests.errors import odd
from tests.errors.odd import OddReport
from tests.errors.sending import Line, line
from tests.errors.support import digest_all, key, project

pytestmark = pytest.mark.django_db(transaction=True)

SEEN_ELSEWHERE = [
    "a NUL in a tag",
    "a release of 300 characters",
    "parameters that do not fit their message",
    "half a surrogate pair",
    "JSON that was cut off",
    "a list as payload",
    "two events in one envelope",
]


@pytest.fixture
def intake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setattr("sysops.asgi.wake_digest", lambda: None)
    with line(key(project())) as running:
        yield running


def stored(ids: list[UUID]) -> set[UUID]:
    return set(Event.objects.filter(event_id__in=ids).values_list("event_id", flat=True))


def check(report: OddReport) -> None:
    """The odd report became what it must."""
    kept = list(Undigestible.objects.filter(event_id=report.event_id).values_list("reason", flat=True))
    assert stored(list(report.stored)) == set(report.stored), (report.kind, kept)
    assert len(kept) == (1 if report.undigestible or report.kind == "two events of which one is a list" else 0)
    assert not [reason for reason in kept if "nexpected" in reason or "refused it" in reason or len(reason) < 15]


@pytest.mark.parametrize("kind", SEEN_ELSEWHERE)
def test_of_a_hundred_reports_with_an_odd_one_the_others_are_stored_and_it_is_kept(intake: Line, kind: str) -> None:
    report = odd.report(kind)
    ids = [uuid4() for _ in range(99)]
    bodies = [odd.good_envelope(event_id) for event_id in ids]

    answers = intake.send([*bodies[:50], report.body, *bodies[50:]])

    assert [answer.status_code for answer in answers] == [200] * 100
    assert answers[50].json()["id"] == report.event_id.hex
    digest_all()
    assert stored(ids) == set(ids)
    check(report)


def test_odd_reports_of_every_kind_between_good_ones_cost_none_of_them(intake: Line) -> None:
    reports = odd.reports()
    ids = [uuid4() for _ in reports]
    bodies = [body for report, event_id in zip(reports, ids) for body in (report.body, odd.good_envelope(event_id))]

    answers = intake.send(bodies)

    assert [answer.status_code for answer in answers[1::2]] == [200] * len(ids)
    for report, answer in zip(reports, answers[::2]):
        assert answer.status_code == (400 if report.refused else 200), report.kind
        assert len(answer.json()["detail"]) > 20 if report.refused else answer.json()["id"] == report.event_id.hex
    digest_all()
    assert not Spool.objects.exists()
    assert stored(ids) == set(ids)
    for report in reports:
        check(report)
    for issue in Issue.objects.all():
        assert "\x00" not in issue.error_message
    assert max(len(release) for release in Event.objects.values_list("release", flat=True)) <= 250


def test_the_body_of_an_undigestible_report_is_kept_as_it_came(intake: Line) -> None:
    report = odd.report("a list as payload")
    intake.send([report.body])
    digest_all()
    assert bytes(Undigestible.objects.get().body) == report.body


def test_odd_events_posted_to_store_are_stored_or_refused(intake: Line) -> None:
    payloads = {**odd.MENDED, **odd.HOPELESS}
    answers = intake.send([made(uuid4()) for made in payloads.values()], to="store")
    digest_all()
    for kind, answer in zip(payloads, answers):
        assert answer.status_code == (400 if kind in odd.HOPELESS else 200), kind
    ids = [UUID(answer.json()["id"]) for answer in answers if answer.status_code == 200]
    assert stored(ids) == set(ids)
    assert len(ids) == len(odd.MENDED)
