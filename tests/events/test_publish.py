"""Publishing: stored with the change or not at all."""

from datetime import UTC, datetime

import pytest
from django.db import transaction
from pytest_django import DjangoCaptureOnCommitCallbacks

from sysops.events import publish, subscribe
from sysops.events.models import Delivery, Event
from sysops.events.services import BadEvent, NotInTransaction
from sysops.kernel.registry import AlreadyRegistered

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def hear(event: Event) -> None:
    """A subscriber that does nothing."""


def test_an_event_is_stored_with_a_delivery_for_each_subscriber_that_wants_it() -> None:
    subscribe("shop.order.paid", subscriber="by name", handler=hear)
    subscribe("shop.*", subscriber="by prefix", handler=hear)
    subscribe("*", subscriber="everything", handler=hear)
    subscribe("shop.order.sent", subscriber="something else", handler=hear)
    subscribe("shopping.*", subscriber="a prefix of letters only", handler=hear)

    key = publish("shop.order.paid", subject=7, at=AT, data={"total": 3})

    event = Event.objects.get(pk=key)
    assert (event.name, event.subject, event.at, event.data) == ("shop.order.paid", "7", AT, {"total": 3})
    told = event.deliveries.order_by("subscriber").values_list("subscriber", flat=True)
    assert list(told) == ["by name", "by prefix", "everything"]


def test_a_subscriber_that_wants_an_event_twice_hears_it_once() -> None:
    subscribe("shop.order.paid", subscriber="mail", handler=hear)
    subscribe("shop.*", subscriber="mail", handler=hear)

    publish("shop.order.paid", subject=7, at=AT)

    assert Delivery.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_publishing_outside_a_transaction_is_refused() -> None:
    with pytest.raises(NotInTransaction, match=r"shop\.order\.paid inside transaction\.atomic"):
        publish("shop.order.paid", subject=7, at=AT)

    assert not Event.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_event_is_lost_with_the_change_it_tells_of() -> None:
    subscribe("*", subscriber="mail", handler=hear)

    with transaction.atomic():
        publish("shop.order.paid", subject=7, at=AT)
        transaction.set_rollback(True)

    assert not Event.objects.exists()
    assert not Delivery.objects.exists()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "Shop paid"}, "no event name"),
        ({"name": "paid"}, "no event name"),
        ({"subject": ""}, "subject"),
        ({"at": datetime(2026, 3, 1, 12)}, "without zone"),
        ({"data": {"when": AT}}, "not JSON"),
        ({"data": {"share": float("nan")}}, "not JSON"),
        ({"data": {"text": "\ud800"}}, "not JSON"),
        ({"data": {"text": "a\0b"}}, "NUL"),
        ({"data": {"text": "x" * 70_000}}, "70012 bytes"),
        ({"data": {"source": {"db_password": "x"}}}, "secret in db_password"),
        ({"data": {"list": [{"token": "x"}]}}, "secret in token"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(changes: dict[str, object], complaint: str) -> None:
    good: dict[str, object] = {"name": "shop.order.paid", "subject": 7, "at": AT, "data": {}}

    with pytest.raises(BadEvent, match=complaint):
        publish(**{**good, **changes})  # type: ignore[arg-type]


def test_many_events_of_one_transaction_send_one_wake_up(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks, woken: list[str]
) -> None:
    subscribe("*", subscriber="mail", handler=hear)

    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        for number in range(5):
            publish("shop.order.paid", subject=number, at=AT)
        assert woken == []

    assert woken == ["events.relay"]


def test_the_wake_up_outlives_a_savepoint_that_was_rolled_back(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks, woken: list[str]
) -> None:
    subscribe("*", subscriber="mail", handler=hear)

    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        with transaction.atomic():
            publish("shop.order.paid", subject=1, at=AT)
            transaction.set_rollback(True)
        publish("shop.order.paid", subject=2, at=AT)

    assert woken == ["events.relay"]


def test_an_event_nobody_wants_wakes_nobody(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks, woken: list[str]
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        publish("shop.order.paid", subject=1, at=AT)

    assert woken == []


def test_a_subscriber_cannot_have_two_handlers() -> None:
    subscribe("shop.*", subscriber="mail", handler=hear)
    subscribe("shop.*", subscriber="mail", handler=hear)

    with pytest.raises(AlreadyRegistered, match="'mail'"):
        subscribe("shop.*", subscriber="mail", handler=lambda event: None)


@pytest.mark.parametrize("pattern", ["", "shop.", "shop*", "*.paid", "Shop.paid", "shop.*.paid"])
def test_a_pattern_that_would_never_match_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="neither an event name"):
        subscribe(pattern, subscriber="mail", handler=hear)
