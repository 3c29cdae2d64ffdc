"""What time alone brings about: deadlines near and missed, issues no longer ignored; each once."""

from datetime import timedelta

import pytest

from catalogue.models import Service
from errors.models import Issue
from errors.rules import Severity
from errors.services import issues as steps
from errors.services import policy
from errors.services.projects import delete_project
from errors.services.ticking import tick
from notifications.models import Message
from tests.errors.growth import arrive, grow, kinds, person, run_clock, service, team
from tests.errors.support import BY, HOUR, MINUTE, NOW, clock, digested, project, published

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def shipped() -> None:
    policy.ensure_defaults()


def test_a_deadline_is_near_then_missed_each_once_with_history_event_and_message() -> None:
    shop = team("shop", "ada", "ben")
    shop.lead = person("ben")
    shop.save()
    found = arrive(project(service=service("shop", shop)), accounts=2)
    tick(now=clock())

    assert tick(now=clock(NOW + 48 * MINUTE - SECOND))["near"] == 0
    assert tick(now=clock(NOW + 48 * MINUTE))["near"] == 1
    assert tick(now=clock(NOW + 49 * MINUTE))["near"] == 0
    assert tick(now=clock(NOW + HOUR - SECOND))["breached"] == 0
    assert tick(now=clock(NOW + HOUR))["breached"] == 1
    assert tick(now=clock(NOW + 2 * HOUR))["breached"] == 0

    found.refresh_from_db()
    assert found.breached_at == NOW + HOUR
    assert published(found) == ["created", "assigned", "sla_near", "sla_breached"]
    assert kinds() == ["errors.issue", "errors.sla_near", "errors.sla_breached"]
    near, missed = Message.objects.filter(kind__startswith="errors.sla").order_by("pk")
    assert near.context["respond_by_at"] == (NOW + HOUR).isoformat()
    assert (near.audience["on_call_of"], near.audience["teams"]) == ([shop.pk], [])
    assert missed.audience["teams"] == [shop.pk], "it escalates to the whole team"
    assert person("ben").pk in missed.audience["people"], "and to its lead"


def test_that_a_deadline_is_near_is_not_read_after_it_was_missed() -> None:
    home = project(service=service("shop", team("shop", "ada")))
    arrive(home, accounts=2)
    arrive(home, digested("Other"), at=NOW + 5 * MINUTE, accounts=2)

    run_clock(NOW, NOW + 53 * MINUTE, step=MINUTE)

    first, *others = Message.objects.filter(kind="errors.sla_near").order_by("pk")
    assert first.expires_at == NOW + HOUR
    assert [message.expires_at for message in others] == [NOW + HOUR + 5 * MINUTE]


def test_critical_is_near_at_once_and_missed_after_five_minutes() -> None:
    found = arrive(project(), digested(level="fatal"))
    assert tick(now=clock())["near"] == 1
    assert tick(now=clock(NOW + 5 * MINUTE - SECOND))["breached"] == 0
    assert tick(now=clock(NOW + 5 * MINUTE))["breached"] == 1
    found.refresh_from_db()
    assert found.breached_at == NOW + 5 * MINUTE
    assert kinds() == ["alert.raised", "errors.sla_breached"], "near is what the alert said"
    assert Message.objects.get(kind="errors.sla_breached").level == "critical"


def test_what_becomes_critical_hours_later_is_missed_five_minutes_after_that() -> None:
    found = arrive(project(), accounts=1)
    run_clock(NOW, NOW + 2 * HOUR, step=10 * MINUTE)
    since = NOW + 2 * HOUR
    grow(found, digested(level="fatal", at=since), at=since)

    assert tick(now=clock(since))["breached"] == 0
    assert tick(now=clock(since + 5 * MINUTE - SECOND))["breached"] == 0
    assert tick(now=clock(since + 5 * MINUTE))["breached"] == 1
    found.refresh_from_db()
    assert (found.respond_by, found.breached_at) == (since, since + 5 * MINUTE)
    assert "errors.sla_near" not in kinds(), "its alert said so"


def test_a_response_stops_the_clock() -> None:
    found = arrive(project())
    steps.comment(found, text="I look at it", by=BY, at=NOW + MINUTE)
    run_clock(NOW + MINUTE, NOW + 6 * HOUR, step=10 * MINUTE)
    found.refresh_from_db()
    assert (found.responded_by, found.breached_at) == ("ada", None)
    assert not [kind for kind in kinds() if kind.startswith("errors.sla")]


def test_what_was_missed_while_nothing_ran_is_missed_at_its_time_and_not_told_as_near() -> None:
    found = arrive(project())
    tick(now=clock(NOW + 9 * HOUR))
    found.refresh_from_db()
    assert found.breached_at == NOW + 4 * HOUR
    assert "errors.sla_near" not in kinds()


def test_what_was_missed_while_nothing_ran_is_missed_also_when_it_gets_worse_before_the_next_tick() -> None:
    found = arrive(project(), accounts=1)
    grow(found, at=NOW + 9 * HOUR, accounts=2)
    tick(now=clock(NOW + 9 * HOUR))
    found.refresh_from_db()
    assert (found.severity, found.breached_at) == ("high", NOW + 4 * HOUR)


def test_many_missed_deadlines_of_a_project_are_one_message() -> None:
    home = project()
    for number in range(30):
        arrive(home, digested("Error", f"number {number}"))
    assert tick(now=clock(NOW + 4 * HOUR))["breached"] == 30
    (message,) = Message.objects.filter(kind="errors.sla_breached")
    assert (message.context["count"], len(message.context["issues"]), message.context["more"]) == (30, 10, 20)


def test_an_issue_ignored_until_a_time_is_open_again_then() -> None:
    found = steps.ignore(arrive(project()), by=BY, at=NOW, until=NOW + HOUR)
    assert tick(now=clock(NOW + HOUR - SECOND))["unignored"] == 0
    assert tick(now=clock(NOW + HOUR))["unignored"] == 1
    assert tick(now=clock(NOW + HOUR))["unignored"] == 0
    found.refresh_from_db()
    assert (found.status, found.ignored_until, found.ignored_by) == ("unresolved", None, "")
    assert (found.clock_started_at, found.respond_by) == (NOW + HOUR, NOW + 5 * HOUR)
    assert found.responded_at is None
    assert published(found)[-1] == "reopened"
    assert Message.objects.get().context["what"] == "reopened"


def test_more_than_a_batch_is_worked_off_in_one_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("errors.services.ticking.BATCH", 3)
    home = project()
    for number in range(8):
        arrive(home, digested("Error", f"number {number}"))
    assert tick(now=clock(NOW + 4 * HOUR))["breached"] == 8
    assert Issue.objects.filter(breached_at=None).count() == 0


def test_a_tick_with_nothing_to_do_asks_little(django_assert_max_num_queries: object) -> None:
    for number in range(5):
        arrive(project(), digested("Error", f"number {number}"))
    tick(now=clock())
    with django_assert_max_num_queries(20):  # type: ignore[operator]
        assert set(tick(now=clock()).values()) == {0}


def test_of_a_project_that_is_deleted_no_deadline_is_missed_and_nothing_comes_back() -> None:
    home = project()
    waiting = arrive(home)
    ignored = steps.ignore(arrive(home, digested("Error", "ignored", level="fatal")), by=BY, at=NOW, until=NOW + HOUR)
    Message.objects.all().delete()
    delete_project(home, by=BY, at=NOW + MINUTE)

    run = tick(now=clock(NOW + 5 * HOUR))

    assert set(run.values()) == {0}
    assert Issue.objects.get(pk=waiting.pk).breached_at is None
    assert Issue.objects.get(pk=ignored.pk).status == "ignored"
    assert not kinds()


def test_a_deadline_that_was_held_back_is_told_of_only_if_it_is_still_near_or_missed() -> None:
    shop = service("shop", team("shop", "ada"))
    near, missed = (arrive(project(service=shop), digested("Error", f"number {number}")) for number in range(2))
    tick(now=clock(NOW))
    Message.objects.all().delete()
    Service.objects.filter(pk=shop.pk).update(state="maintenance")
    tick(now=clock(NOW + 4 * HOUR - MINUTE))
    steps.set_severity(near, Severity.LOW, by=BY, at=NOW + 4 * HOUR - MINUTE)
    tick(now=clock(NOW + 4 * HOUR))
    Service.objects.filter(pk=shop.pk).update(state=shop.state)

    tick(now=clock(NOW + 4 * HOUR + MINUTE))

    missed.refresh_from_db()
    assert missed.breached_at == NOW + 4 * HOUR
    assert [kind for kind in kinds() if kind.startswith("errors.sla")] == ["errors.sla_breached"]
