"""How services are set, many at a time."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from catalogue import services
from catalogue.models import Service
from catalogue.rules import State
from catalogue.services import StateChange
from sysops.access.actors import Actor
from sysops.access.models import AuditEntry
from sysops.events.models import Event

BY = Actor.user("ada")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_services(count: int) -> list[Service]:
    return Service.objects.bulk_create(Service(slug=f"s{n:03}", name=f"S {n}", created_at=NOW) for n in range(count))


def to_maintenance(services_: list[Service], **values: object) -> list[StateChange]:
    return [StateChange(service.pk, State.MAINTENANCE, reason="Upgrade", **values) for service in services_]  # type: ignore[arg-type]


@pytest.mark.django_db
def test_two_hundred_services_change_at_once_and_each_is_told_of() -> None:
    rows = make_services(200)

    changed = services.set_states(to_maintenance(rows, maintenance_mode=True), by=BY, at=NOW)

    assert [service.pk for service in changed] == [service.pk for service in rows]
    assert Service.objects.filter(state="maintenance", maintenance_mode=True, state_changed_at=NOW).count() == 200
    assert Event.objects.filter(name="catalogue.service.state_changed").count() == 200
    assert AuditEntry.objects.filter(action="catalogue.service.state_changed").count() == 200


@pytest.mark.django_db
def test_only_what_differs_is_written_and_told() -> None:
    first, second = make_services(2)
    services.set_states(to_maintenance([first]), by=BY, at=NOW)

    changed = services.set_states(to_maintenance([first, second]), by=BY, at=NOW + timedelta(hours=1))

    assert changed == [second]
    first.refresh_from_db()
    assert first.state_changed_at == NOW
    assert list(Event.objects.order_by("pk").values_list("subject", flat=True)) == ["s000", "s001"]


@pytest.mark.django_db
def test_each_caller_ends_only_the_states_it_names() -> None:
    held, broken = make_services(2)
    services.set_states(to_maintenance([held]), by=BY, at=NOW)
    services.set_state(broken, State.DOWN, by=BY, at=NOW)

    passed = [StateChange(s.pk, State.NORMAL, only_from=[State.DOWN, State.DEGRADED]) for s in (held, broken)]

    assert services.set_states(passed, by=BY, at=NOW) == [broken]
    held.refresh_from_db()
    assert held.state == State.MAINTENANCE


@pytest.mark.django_db
def test_whatever_ends_maintenance_lets_users_in_again() -> None:
    (service,) = make_services(1)
    services.set_states(to_maintenance([service], maintenance_mode=True), by=BY, at=NOW)

    services.set_state(service, State.DOWN, by=BY, at=NOW)

    assert service.maintenance_mode is False
    services.set_state(service, State.DEGRADED, maintenance_mode=True, by=BY, at=NOW)
    assert Service.objects.get().maintenance_mode is False


@pytest.mark.django_db
def test_a_longer_maintenance_leaves_the_mode_as_it_is() -> None:
    (service,) = make_services(1)
    services.set_states(to_maintenance([service], maintenance_mode=True), by=BY, at=NOW)

    services.set_states(to_maintenance([service], until=NOW + timedelta(hours=2)), by=BY, at=NOW)

    service.refresh_from_db()
    assert (service.maintenance_mode, service.state_until) == (True, NOW + timedelta(hours=2))
    entry = AuditEntry.objects.order_by("-id")[0]
    assert (entry.before, entry.after) == ({"until": None}, {"until": "2026-03-01T14:00:00+00:00"})


@pytest.mark.django_db
def test_a_service_that_was_deleted_meanwhile_stops_nobody() -> None:
    gone, left = make_services(2)
    Service.objects.filter(pk=gone.pk).delete()

    assert services.set_states(to_maintenance([gone, left]), by=BY, at=NOW) == [left]
    assert services.set_state(gone, State.DOWN, by=BY, at=NOW) is False


@pytest.mark.django_db
def test_a_service_named_twice_is_our_mistake() -> None:
    (service,) = make_services(1)

    with pytest.raises(ValueError, match="twice"):
        services.set_states(to_maintenance([service, service]), by=BY, at=NOW)


@pytest.mark.django_db
def test_reading_and_writing_cost_no_query_per_service(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    rows = make_services(20)

    with django_assert_num_queries(12) as asked:
        services.set_states(to_maintenance(rows), by=BY, at=NOW)
    locking, _ = [query["sql"] for query in asked.captured_queries if "catalogue_service" in query["sql"]]
    assert 'ORDER BY "catalogue_service"."id" ASC FOR NO KEY UPDATE' in locking  # in one order, whoever asks


@pytest.mark.django_db(transaction=True)
def test_two_that_name_the_same_services_in_other_orders_do_not_block_each_other() -> None:
    rows = make_services(10)
    start, failures = threading.Barrier(2), list[BaseException]()

    def change(order: list[Service], state: State) -> None:
        try:
            start.wait(10)
            for n in range(5):
                named = [StateChange(s.pk, state, reason=str(n)) for s in order]
                services.set_states(named, by=BY, at=NOW)
        except Exception as exc:
            failures.append(exc)
        finally:
            connection.close()

    threads = [
        threading.Thread(target=change, args=(rows, State.DOWN)),
        threading.Thread(target=change, args=(rows[::-1], State.DEGRADED)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert failures == []
    assert len(set(Service.objects.values_list("state", flat=True))) == 1
