"""Dependencies change under a window: what it reaches follows, and what was agreed with others stays agreed."""

import threading
from datetime import timedelta

import pytest
from django.db import connection

from catalogue import services as catalogue
from catalogue.models import Service
from maintenance import selectors
from maintenance.models import Window
from maintenance.services import running, scheduling
from maintenance.services.scheduling import Conflicts
from maintenance.subscribers import refresh_reach
from sysops.events.models import Event
from tests.maintenance.support import BY, HOUR, NOW, START, clock, make_running, make_service, make_window, state_of

DAY = timedelta(days=1)


def depend(service: Service, *needs: Service) -> None:
    catalogue.change(service, {"depends_on": needs}, by=BY, at=NOW)
    refresh_reach(Event.objects.filter(name="catalogue.service.changed").latest("pk"))


@pytest.mark.django_db
def test_a_service_that_is_new_and_stands_on_one_being_worked_on_is_in_maintenance_too() -> None:
    database = make_service("db")
    make_running(database)

    shop = make_service("shop", database)
    refresh_reach(Event.objects.get(name="catalogue.service.created", subject="shop"))

    assert state_of(shop) == "maintenance"


@pytest.mark.django_db
def test_a_window_beside_which_a_dependency_came_to_be_can_still_be_extended() -> None:
    database, shop = make_service("db"), make_service("shop")
    below = make_window(database)
    make_window(shop, start=START + HOUR)
    depend(shop, database)
    running.start(below.pk, by=BY, at=clock(START))

    extended = scheduling.extend(below, duration=3 * HOUR, by=BY, at=START + HOUR)

    assert extended.scheduled_end == START + 3 * HOUR


@pytest.mark.django_db
def test_moved_out_of_the_way_a_window_holds_again_all_that_it_reaches() -> None:
    database, shop = make_service("db"), make_service("shop")
    below = make_window(database)
    make_window(shop, start=START + HOUR)
    depend(shop, database)

    scheduling.change(below, {"start": START + DAY}, by=BY, at=NOW)

    with pytest.raises(Conflicts, match=f"Window {below.pk} "):
        make_window(shop, start=START + DAY)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("changed", [False, True])
def test_a_dependency_that_comes_while_a_window_is_written_is_not_missed(
    changed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, shop, other = make_service("db"), make_service("shop"), make_service("other")
    window = make_window(other) if changed else None

    def come() -> None:
        depend(shop, database)
        connection.close()

    real, came = selectors.reached_keys, threading.Thread(target=come)

    def reached_keys(direct: list[Service]) -> set[int]:
        found = real(direct)
        if not came.ident:
            came.start()
            came.join(1)
        return found

    monkeypatch.setattr(selectors, "reached_keys", reached_keys)
    if window:
        scheduling.change(window, {"services": [database]}, by=BY, at=NOW)
    else:
        make_window(database)
    came.join(20)

    assert Window.objects.get().affected.get(direct=False).service == shop
