"""One alert per thing, told once; held back while its service is in maintenance."""

import threading
from collections.abc import Callable
from datetime import datetime

import pytest
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from alerting import selectors, services
from alerting.models import Alert
from alerting.section import alerts_during
from catalogue.rules import State
from catalogue.sections import Span
from catalogue.services import remove
from notifications.models import Message
from notifications.rules import Level
from tests.alerting.support import (
    BY,
    MINUTE,
    NOW,
    back_to,
    fire,
    happened,
    maintenance,
    make_service,
    make_team,
    release,
    resolve,
    told,
)

pytestmark = pytest.mark.django_db


def test_what_is_noticed_again_is_one_alert_and_told_once() -> None:
    service = make_service(owner=make_team())

    for minute in range(3):
        fire(service, detail=f"try {minute + 1}", at=NOW + minute * MINUTE)

    alert = Alert.objects.get()
    assert (alert.count, alert.detail) == (3, "try 3")
    assert (alert.raised_at, alert.last_seen_at, alert.told_at) == (NOW, NOW + 2 * MINUTE, NOW)
    assert told() == [("alert.raised", "warning")]
    assert happened() == ["raised"]


def test_a_rising_level_is_told_again_and_a_falling_one_is_not() -> None:
    service = make_service(owner=make_team())

    for level in (Level.WARNING, Level.CRITICAL, Level.WARNING, Level.CRITICAL):
        fire(service, level=level)

    assert told() == [("alert.raised", "warning"), ("alert.raised", "critical")]
    assert Alert.objects.get().level == "critical"
    assert Message.objects.latest("pk").context["worse"] is True


def test_a_warning_is_told_to_the_owners_and_what_is_critical_also_to_who_is_on_call() -> None:
    team = make_team()
    service = make_service(owner=team)

    fire(service, key="a", level=Level.WARNING)
    fire(service, key="b", level=Level.CRITICAL)

    warning, critical = (message.audience for message in Message.objects.order_by("pk"))
    assert (warning["teams"], warning["on_call_of"]) == ([team.pk], [])
    assert (critical["teams"], critical["on_call_of"]) == ([team.pk], [team.pk])


def test_what_belongs_to_nobody_is_told_to_the_operators() -> None:
    fire(None, key="a")
    fire(make_service(), key="b")

    assert [message.audience["operators"] for message in Message.objects.all()] == [True, True]


def test_what_is_over_is_told_to_whom_it_was_told_and_may_begin_anew() -> None:
    service = make_service(owner=make_team())
    first = fire(service)

    assert resolve()
    assert not resolve()

    raised, resolved = Message.objects.order_by("pk")
    assert (resolved.kind, resolved.level, resolved.audience) == ("alert.resolved", "info", raised.audience)
    assert (resolved.thread, resolved.context["how"]) == (raised.thread, "A backup succeeded.")
    assert fire(service).pk != first.pk
    assert happened() == ["raised", "resolved", "raised"]


def test_inside_maintenance_it_is_recorded_and_not_sent() -> None:
    service = make_service(owner=make_team())
    maintenance(service, reason="Window 12: new disks")

    fire(service)
    fire(service, at=NOW + MINUTE)

    alert = Alert.objects.get()
    assert (alert.held_back_at, alert.held_back_by, alert.told_at) == (NOW, "Window 12: new disks", None)
    assert alert.count == 2
    assert told() == []
    assert happened() == ["held_back"]


def test_the_state_is_asked_of_the_database_and_not_of_a_row_read_earlier() -> None:
    service = make_service(owner=make_team())
    stale = type(service).objects.get(pk=service.pk)
    maintenance(service)

    fire(stale)

    assert told() == []


def test_what_is_cured_inside_maintenance_is_never_sent() -> None:
    service = make_service(owner=make_team())
    maintenance(service)
    fire(service)

    assert resolve()
    back_to(service)

    assert release() == 0
    assert told() == []
    assert happened() == ["held_back", "resolved"]


@pytest.mark.parametrize("after", [State.NORMAL, State.DOWN, State.DEGRADED])
def test_what_is_still_wrong_after_maintenance_is_told_once(after: State) -> None:
    service = make_service(owner=make_team())
    maintenance(service)
    fire(service)
    assert release() == 0, "it is still in maintenance"
    back_to(service, after)

    assert release() == 1
    assert release() == 0
    fire(service, at=NOW + 6 * MINUTE)

    assert told() == [("alert.raised", "warning")]
    assert Message.objects.get().context["began_in_maintenance"] is True
    assert Alert.objects.get().told_at == NOW + 5 * MINUTE
    assert happened() == ["held_back", "released"]


def test_noticed_again_after_the_maintenance_it_does_not_wait_for_the_tick() -> None:
    service = make_service(owner=make_team())
    maintenance(service)
    fire(service)
    back_to(service)

    fire(service, at=NOW + MINUTE)

    assert told() == [("alert.raised", "warning")]
    assert release() == 0


def test_what_was_told_before_the_maintenance_is_not_told_again_after_it() -> None:
    service = make_service(owner=make_team())
    fire(service)
    maintenance(service)
    fire(service, at=NOW + MINUTE)
    back_to(service)

    assert release() == 0
    assert told() == [("alert.raised", "warning")]


def test_what_became_worse_inside_the_maintenance_is_told_after_it() -> None:
    service = make_service(owner=make_team())
    fire(service)
    maintenance(service)
    fire(service, level=Level.CRITICAL, at=NOW + MINUTE)
    assert told() == [("alert.raised", "warning")]
    back_to(service)

    assert release() == 1
    assert release() == 0

    assert told() == [("alert.raised", "warning"), ("alert.raised", "critical")]
    assert Message.objects.latest("pk").context["worse"] is True


def test_clocks_of_machines_that_differ_neither_lose_nor_repeat_it() -> None:
    service = make_service(owner=make_team())
    fire(service, at=NOW + MINUTE)
    maintenance(service)
    fire(service, level=Level.CRITICAL, at=NOW)
    back_to(service)

    assert release(at=NOW - MINUTE) == 1
    assert release(at=NOW) == 0
    assert told() == [("alert.raised", "warning"), ("alert.raised", "critical")]


def test_what_was_told_before_and_is_cured_inside_the_maintenance_is_told_to_be_over() -> None:
    service = make_service(owner=make_team())
    fire(service)
    maintenance(service)

    resolve()

    assert told() == [("alert.raised", "warning"), ("alert.resolved", "info")]


def test_what_waited_for_a_service_that_was_removed_is_told_to_the_operators() -> None:
    service = make_service(owner=make_team())
    maintenance(service)
    fire(service)
    remove(service, by=BY, at=NOW)

    assert release() == 1
    assert Message.objects.get().audience["operators"] is True


def test_a_service_removed_since_the_caller_read_it_is_no_obstacle() -> None:
    service = make_service(owner=make_team())
    stale = type(service).objects.get(pk=service.pk)
    remove(service, by=BY, at=NOW)

    assert fire(stale).service_id is None


def test_text_of_any_kind_and_length_is_kept_as_it_can_be() -> None:
    alert = fire(None, title="<script>\0" + "x" * 10_000, detail="\ud800 password=hunter2secret " + "y" * 10_000)

    alert.refresh_from_db()
    assert alert.title.startswith("<script>")
    assert len(alert.title) == 300
    assert "hunter2secret" not in alert.detail


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_a_key_that_cannot_be_kept_is_a_mistake_of_the_caller(key: str) -> None:
    with pytest.raises(ValueError, match="key of an alert"):
        fire(None, key=key)


@pytest.mark.django_db(transaction=True)
def test_eight_who_notice_the_same_at_once_make_one_alert() -> None:
    service = make_service(owner=make_team())

    _at_once(8, lambda: fire(service))

    assert Alert.objects.get().count == 8
    assert told() == [("alert.raised", "warning")]


@pytest.mark.django_db(transaction=True)
def test_four_ticks_at_once_release_each_alert_once() -> None:
    service = make_service(owner=make_team())
    maintenance(service)
    for number in range(5):
        fire(service, key=f"check:{number}")
    back_to(service)

    _at_once(4, release)

    assert told() == [("alert.raised", "warning")] * 5
    assert happened().count("released") == 5


@pytest.mark.django_db(transaction=True)
def test_it_begins_and_ends_at_once_without_a_row_left_between() -> None:
    service = make_service(owner=make_team())
    both: list[Callable[[], object]] = [lambda: fire(service), resolve]
    turn = iter(both * 10)

    _at_once(8, lambda: next(turn)())

    assert Alert.objects.filter(resolved_at=None).count() <= 1
    assert Message.objects.filter(kind="alert.raised").count() == Alert.objects.count()


def test_lists_show_the_worst_first_and_what_was_held_back_in_a_span() -> None:
    service, other = make_service(owner=make_team()), make_service("blog")
    maintenance(service)
    held = fire(service, key="held", at=NOW + MINUTE)
    worst = fire(other, key="worst", level=Level.CRITICAL, at=NOW + 2 * MINUTE)
    fire(other, key="over", at=NOW)
    resolve(key="over")

    assert list(selectors.open_alerts()) == [worst, held]
    assert list(selectors.held_back([service.pk], NOW, NOW + 5 * MINUTE)) == [held]
    assert list(selectors.held_back([service.pk], NOW + 2 * MINUTE, NOW + 5 * MINUTE)) == []


def test_a_report_says_what_was_raised_and_what_was_held_back() -> None:
    service = make_service(owner=make_team())
    fire(service, key="before", at=NOW - 60 * MINUTE)
    maintenance(service)
    fire(service, key="inside", at=NOW + MINUTE)
    fire(make_service("blog"), key="elsewhere", at=NOW + MINUTE)

    said = alerts_during(Span(NOW, NOW + 5 * MINUTE, ("shop-db",)))

    assert {name: said[name] for name in ("total", "raised", "held_back", "left_off")} == {
        "total": 2,
        "raised": 1,
        "held_back": 1,
        "left_off": 0,
    }
    rows = said["alerts"]
    assert isinstance(rows, list)
    assert [(row["level"], row["held_back_at"], row["told_at"] is None) for row in rows] == [
        ("warning", None, False),
        ("warning", f"{NOW + MINUTE:%Y-%m-%dT%H:%M:%SZ}", True),
    ]


def test_a_release_costs_nothing_when_nothing_waits(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    fire(make_service(owner=make_team()))

    with django_assert_num_queries(1):
        assert services.release_held(now=_never) == 0


def _never() -> datetime:
    raise AssertionError("nobody asks for the time")


def _at_once(number: int, do: Callable[[], object]) -> None:
    start = threading.Barrier(number)
    failures: list[BaseException] = []

    def run() -> None:
        start.wait(timeout=30)
        try:
            do()
        except BaseException as exc:  # shown by the test, in its own thread
            failures.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []


def test_what_was_over_two_years_ago_is_removed_and_what_is_open_stays() -> None:
    fire(None, key="open")
    fire(None, key="old")
    resolve(key="old", at=NOW)
    fire(None, key="younger")
    resolve(key="younger", at=NOW + MINUTE)

    assert services.clean_up(now=NOW + services.KEEP + MINUTE) == 1

    assert list(Alert.objects.order_by("key").values_list("key", flat=True)) == ["open", "younger"]
