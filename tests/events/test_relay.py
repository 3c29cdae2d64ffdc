"""Telling subscribers: at least once, in order, and one that fails holds up no other."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from sysops.events import publish, selectors, services, subscribe
from sysops.events.models import Delivery, Event
from sysops.events.rules import KEEP_DEAD, KEEP_DONE, LEASE, MAX_ATTEMPTS, State

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("woken")]


class Clock:
    """A clock that stands still until it is set forward."""

    def __init__(self) -> None:
        self.at = AT

    def __call__(self) -> datetime:
        return self.at

    def forward(self, by: timedelta) -> None:
        self.at += by


class Hearer:
    """Remembers the subjects it heard; fails on the subjects it is told to fail on."""

    def __init__(self, poison: str = "") -> None:
        self.poison = poison
        self.heard: list[str] = []
        self.was_in_transaction: set[bool] = set()

    def __call__(self, event: Event) -> None:
        self.was_in_transaction.add(connection.in_atomic_block)
        self.heard.append(event.subject)
        if event.subject == self.poison:
            raise ConnectionError("mail server said: password=hunter2 is wrong")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def happen(*subjects: object) -> None:
    for subject in subjects:
        with transaction.atomic():
            publish("shop.order.paid", subject=subject, at=AT)


def states() -> Counter[str]:
    return Counter(Delivery.objects.values_list("state", flat=True))


def test_a_subscriber_hears_events_once_in_order_and_outside_any_transaction(clock: Clock) -> None:
    hearer = Hearer()
    subscribe("shop.*", subscriber="mail", handler=hearer)
    happen(1, 2, 3)

    assert services.relay(now=clock) == 3
    assert services.relay(now=clock) == 0

    assert hearer.heard == ["1", "2", "3"]
    assert hearer.was_in_transaction == {False}
    assert states() == {State.DONE: 3}


def test_the_handler_gets_the_whole_event(clock: Clock) -> None:
    got: list[Event] = []
    subscribe("*", subscriber="mail", handler=got.append)
    with transaction.atomic():
        key = publish("shop.order.paid", subject=7, at=AT, data={"total": 3})

    services.relay(now=clock)

    assert [(e.pk, e.name, e.subject, e.at, e.data) for e in got] == [(key, "shop.order.paid", "7", AT, {"total": 3})]


def test_a_failing_subscriber_holds_up_no_other_and_not_its_own_later_events(clock: Clock) -> None:
    bad, good = Hearer(poison="1"), Hearer()
    subscribe("*", subscriber="bad", handler=bad)
    subscribe("*", subscriber="good", handler=good)
    happen(1, 2)

    services.relay(now=clock)

    assert bad.heard == ["1", "2"]
    assert good.heard == ["1", "2"]
    assert states() == {State.DONE: 3, State.PENDING: 1}


def test_a_failure_is_tried_again_later_and_given_up_in_the_end_with_its_reason(clock: Clock) -> None:
    bad = Hearer(poison="1")
    subscribe("*", subscriber="bad", handler=bad)
    happen(1)

    services.relay(now=clock)
    services.relay(now=clock)
    assert bad.heard == ["1"], "it waits before it tries again"

    for _ in range(MAX_ATTEMPTS + 5):
        clock.forward(timedelta(hours=1))
        services.relay(now=clock)

    assert len(bad.heard) == MAX_ATTEMPTS
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.finished_at is not None) == (State.DEAD, True)
    assert delivery.error.startswith("ConnectionError: mail server said")
    assert "hunter2" not in delivery.error


def test_a_dead_delivery_can_be_tried_again(clock: Clock) -> None:
    bad = Hearer(poison="1")
    subscribe("*", subscriber="bad", handler=bad)
    happen(1)
    Delivery.objects.update(state=State.DEAD.value, attempt=MAX_ATTEMPTS, finished_at=AT, error="x")

    bad.poison = ""
    assert services.try_again(deliveries=Delivery.objects.all(), at=AT) == 1
    assert services.try_again(deliveries=Delivery.objects.all(), at=AT) == 0
    services.relay(now=clock)

    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.error) == (State.DONE, "")


def test_a_delivery_to_a_subscriber_that_is_gone_dies_with_that_reason(clock: Clock) -> None:
    """Not at once: while a release is rolled out, an older worker may not know it yet."""
    subscribe("*", subscriber="the old one", handler=Hearer())
    happen(1)
    from sysops.events.registry import subscribers

    subscribers._things.clear()
    for _ in range(MAX_ATTEMPTS):
        services.relay(now=clock)
        clock.forward(timedelta(hours=1))

    delivery = Delivery.objects.get()
    assert delivery.state == State.DEAD
    assert "There is no event subscriber 'the old one'" in delivery.error


def test_what_a_dead_worker_held_is_delivered_again_when_its_lease_runs_out(clock: Clock) -> None:
    hearer = Hearer()
    subscribe("*", subscriber="mail", handler=hearer)
    happen(1, 2)
    assert services._claim("mail", clock()) is not None, "claimed, and then its worker is killed"

    assert services.relay(now=clock) == 0, "the next one waits, to keep the order"
    clock.forward(LEASE)
    assert services.relay(now=clock) == 2

    assert hearer.heard == ["1", "2"]
    assert list(Delivery.objects.order_by("id").values_list("attempt", flat=True)) == [2, 1]


def test_a_clock_that_is_set_back_by_an_hour_holds_no_subscriber_up(clock: Clock) -> None:
    hearer = Hearer()
    subscribe("*", subscriber="mail", handler=hearer)
    clock.forward(timedelta(hours=1))
    happen("held by a dead worker")
    services._claim("mail", clock())
    with transaction.atomic():
        publish("shop.order.paid", subject="not yet told", at=clock())

    clock.forward(-timedelta(hours=1))

    assert services.relay(now=clock) == 2
    assert hearer.heard == ["held by a dead worker", "not yet told"]


def test_a_worker_that_lost_its_lease_cannot_overwrite_the_result_of_the_one_that_took_over(clock: Clock) -> None:
    subscribe("*", subscriber="mail", handler=Hearer())
    happen(1)
    slow = services._claim("mail", clock())
    assert slow is not None
    clock.forward(LEASE)
    fast = services._claim("mail", clock())
    assert fast is not None

    services._record_failure(slow, "too late", at=clock())
    held = Delivery.objects.get()
    assert (held.error, held.leased_until) == ("", clock() + LEASE), "the one that took over still holds it"
    services._record(fast, at=clock(), state=State.DONE.value, error="")

    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.error) == (State.DONE, "")


def test_relays_at_once_deliver_each_event_once_and_in_order(clock: Clock) -> None:
    one, two = Hearer(), Hearer()
    subscribe("*", subscriber="one", handler=one)
    subscribe("*", subscriber="two", handler=two)
    happen(*range(60))

    in_threads([lambda: services.relay(now=clock)] * 4)
    services.relay(now=clock)

    expected = [str(number) for number in range(60)]
    assert one.heard == expected
    assert two.heard == expected
    assert states() == {State.DONE: 120}


def test_while_a_subscriber_hangs_another_relay_serves_the_others(clock: Clock) -> None:
    release, hanging = threading.Event(), threading.Event()

    def hang(event: Event) -> None:
        hanging.set()
        release.wait(20)

    good = Hearer()
    subscribe("*", subscriber="a hanging one", handler=hang)
    subscribe("*", subscriber="good", handler=good)
    happen(1, 2)
    thread = threading.Thread(target=closing(lambda: services.relay(now=clock)))
    thread.start()
    assert hanging.wait(10)

    assert services.relay(now=clock) == 2

    assert good.heard == ["1", "2"]
    release.set()
    thread.join(10)


def test_what_handlers_publish_is_delivered_in_the_same_run(clock: Clock) -> None:
    second = Hearer()

    def first(event: Event) -> None:
        with transaction.atomic():
            publish("shop.order.packed", subject=event.subject, at=AT)

    subscribe("shop.order.paid", subscriber="first", handler=first)
    subscribe("shop.order.packed", subscriber="a second", handler=second)
    happen(1)

    services.relay(now=clock)

    assert second.heard == ["1"]


def test_a_run_stops_at_its_limit_and_the_next_goes_on(clock: Clock) -> None:
    hearer = Hearer()
    subscribe("*", subscriber="mail", handler=hearer)
    happen(*range(5))

    assert services.relay(now=clock, limit=3) == 3
    assert services.relay(now=clock, limit=3) == 2
    assert hearer.heard == ["0", "1", "2", "3", "4"]


def test_what_is_done_goes_after_30_days_and_what_is_dead_after_180(clock: Clock) -> None:
    subscribe("*", subscriber="mail", handler=Hearer())
    happen("done", "dead", "pending")
    finish = Delivery.objects.filter
    finish(event__subject="done").update(state=State.DONE.value, finished_at=AT)
    finish(event__subject="dead").update(state=State.DEAD.value, finished_at=AT)

    assert services.clean_up(now=clock, batch=1) == 0
    clock.forward(KEEP_DONE + timedelta(seconds=1))
    services.clean_up(now=clock, batch=1)
    assert sorted(Event.objects.values_list("subject", flat=True)) == ["dead", "pending"]
    clock.forward(KEEP_DEAD)
    services.clean_up(now=clock, batch=1)

    assert list(Event.objects.values_list("subject", flat=True)) == ["pending"]
    assert states() == {State.PENDING: 1}


def test_the_outbox_says_how_much_waits_and_since_when(clock: Clock) -> None:
    subscribe("*", subscriber="mail", handler=Hearer())
    assert selectors.outbox(at=AT) == selectors.Outbox(pending=0, dead=0, oldest_waits=None)
    happen(1, 2, 3)
    Delivery.objects.filter(event__subject="3").update(state=State.DEAD.value)

    assert selectors.outbox(at=AT + timedelta(minutes=3)) == selectors.Outbox(2, 1, timedelta(minutes=3))


def in_threads(jobs: list[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=closing(job)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def closing(job: Callable[[], object]) -> Callable[[], None]:
    """A thread's own connection would keep the test database from being removed."""

    def run() -> None:
        try:
            job()
        finally:
            connection.close()

    return run
