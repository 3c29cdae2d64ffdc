"""What can be done to the catalogue, and what is told of it."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from catalogue import selectors, services
from catalogue.models import Dependency, Entry, Environment, Host, Person, Service, Team
from catalogue.rules import State
from sysops.access.actors import Actor
from sysops.access.models import AuditEntry
from sysops.events.models import Event

BY = Actor.user("ada", address="192.0.2.1")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_service(slug: str, *needs: Service, **values: object) -> Service:
    return services.create(Service, {"slug": slug, "name": slug, "depends_on": needs, **values}, by=BY, at=NOW)


def events() -> list[tuple[str, str]]:
    return list(Event.objects.order_by("pk").values_list("name", "subject"))


@pytest.mark.django_db
def test_a_new_service_is_audited_and_published_with_what_it_is() -> None:
    database = make_service("shop-db", kind="database", tier=1)
    make_service("shop-api", database)

    entry = AuditEntry.objects.order_by("-id")[0]
    assert (entry.action, entry.actor, entry.address) == ("catalogue.service.created", "ada", "192.0.2.1")
    assert entry.after is not None
    assert entry.after["depends_on"] == ["shop-db"]
    assert events() == [("catalogue.service.created", "shop-db"), ("catalogue.service.created", "shop-api")]


@pytest.mark.django_db
def test_a_change_tells_what_was_and_what_is() -> None:
    service = make_service("shop-db", tier=3)

    changed = services.change(service, {"tier": 1}, by=BY, at=NOW)

    entry = AuditEntry.objects.order_by("-id")[0]
    assert changed.tier == 1
    assert (entry.before, entry.after) == ({"tier": 3}, {"tier": 1})
    assert events()[-1] == ("catalogue.service.changed", "shop-db")


@pytest.mark.django_db
def test_a_change_that_changes_nothing_is_not_told() -> None:
    service = make_service("shop-db", tier=3)
    told = len(events())

    services.change(service, {"tier": 3, "depends_on": []}, by=BY, at=NOW)

    assert len(events()) == told


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"slug": "Shop DB"}, "slug"),
        ({"kind": "spaceship"}, "kind"),
        ({"tier": 5}, "tier"),
        ({"name": ""}, "name"),
        ({"name": "a\0b"}, "name"),
    ],
)
def test_what_a_service_cannot_be_is_refused_by_field(values: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        services.create(Service, {"slug": "x", "name": "x", **values}, by=BY, at=NOW)

    assert field in refusal.value.message_dict
    assert events() == []


@pytest.mark.django_db
def test_the_slug_of_a_service_stays() -> None:
    service = make_service("shop-db")

    with pytest.raises(ValidationError, match="cannot be changed"):
        services.change(service, {"slug": "other"}, by=BY, at=NOW)


@pytest.mark.django_db
def test_a_cycle_is_refused_and_shown() -> None:
    database = make_service("db")
    api = make_service("api", database)
    shop = make_service("shop", api)

    with pytest.raises(ValidationError, match="db → shop → api → db"):
        services.change(database, {"depends_on": [shop]}, by=BY, at=NOW)
    with pytest.raises(ValidationError, match="db → db"):
        services.change(database, {"depends_on": [database]}, by=BY, at=NOW)

    assert not Dependency.objects.filter(service=database).exists()


@pytest.mark.django_db(transaction=True)
def test_two_changes_at_the_same_instant_cannot_close_a_cycle_together() -> None:
    for _ in range(5):
        first, second = make_service("first"), make_service("second")
        start = threading.Barrier(2)
        refusals: list[str] = []

        both = [
            threading.Thread(target=_depend, args=(first, second, start, refusals)),
            threading.Thread(target=_depend, args=(second, first, start, refusals)),
        ]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join(20)

        assert len(refusals) == 1
        assert "→" in refusals[0]
        assert Dependency.objects.count() == 1
        Dependency.objects.all().delete()
        Service.objects.all().delete()


def _depend(service: Service, on: Service, start: threading.Barrier, refusals: list[str]) -> None:
    try:
        start.wait(10)
        services.change(service, {"depends_on": [on]}, by=BY, at=NOW)
    except ValidationError as exc:
        refusals.append(str(exc))
    finally:
        connection.close()


@pytest.mark.django_db
def test_depends_on_is_followed_both_ways_in_one_query_each(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    disk = make_service("disk")
    database = make_service("db", disk)
    api, jobs = make_service("api", database), make_service("jobs", database)
    shop = make_service("shop", api, jobs)
    make_service("blog")

    with django_assert_num_queries(3):
        assert [s.slug for s in selectors.requirements_of([shop])] == ["api", "db", "disk", "jobs"]
        assert [s.slug for s in selectors.dependants_of([disk])] == ["api", "db", "jobs", "shop"]
        assert [s.slug for s in selectors.affected_by([database])] == ["api", "db", "jobs", "shop"]


@pytest.mark.django_db
def test_nothing_is_found_around_nothing() -> None:
    make_service("db")

    assert list(selectors.affected_by([])) == []


@pytest.mark.django_db
def test_what_is_in_use_is_not_deleted_and_the_refusal_says_by_what() -> None:
    person = services.create(Person, {"slug": "ada", "name": "Ada"}, by=BY, at=NOW)
    team = services.create(Team, {"slug": "ops", "name": "Ops", "members": [person]}, by=BY, at=NOW)
    place = services.create(Environment, {"slug": "production", "name": "Production"}, by=BY, at=NOW)
    database = make_service("db", owner_team=team, environment=place)
    make_service("api", database)

    uses: list[tuple[Entry, str]] = [
        (database, "service api"),
        (team, "service db"),
        (place, "service db"),
        (person, "team ops"),
    ]
    for row, user in [*uses, (person, "team ops")]:
        with pytest.raises(services.InUse, match=user):
            services.remove(row, by=BY, at=NOW)

    assert Service.objects.filter(slug="db").exists()
    assert "catalogue.service.deleted" not in dict(events())


@pytest.mark.django_db
def test_what_nobody_uses_goes_and_that_is_told() -> None:
    database = make_service("db")
    api = make_service("api", database)

    services.remove(api, by=BY, at=NOW)
    services.remove(database, by=BY, at=NOW)

    assert events()[-2:] == [("catalogue.service.deleted", "api"), ("catalogue.service.deleted", "db")]
    with pytest.raises(services.Overtaken, match="deleted"):
        services.change(database, {"tier": 1}, by=BY, at=NOW)


@pytest.mark.django_db
def test_who_leads_a_team_belongs_to_it() -> None:
    ada, bob = (services.create(Person, {"slug": s, "name": s}, by=BY, at=NOW) for s in ("ada", "bob"))

    team = services.create(Team, {"slug": "ops", "name": "Ops", "lead": ada, "members": [bob]}, by=BY, at=NOW)
    assert {person.slug for person in team.members.all()} == {"ada", "bob"}

    services.change(team, {"members": []}, by=BY, at=NOW)
    assert [person.slug for person in team.members.all()] == ["ada"]


@pytest.mark.django_db
def test_the_addresses_of_a_person_keep_their_order_and_are_checked() -> None:
    contacts = [("sms", "+4930123456"), ("email", "ada@example.org"), ("sms", "+4930123456")]
    ada = services.create(Person, {"slug": "ada", "name": "Ada", "contacts": contacts}, by=BY, at=NOW)

    assert [c.channel for c in ada.contacts.all()] == ["sms", "email"]
    with pytest.raises(ValidationError, match="no e-mail address"):
        services.change(ada, {"contacts": [("email", "nowhere")]}, by=BY, at=NOW)
    assert ada.contacts.count() == 2


@pytest.mark.django_db
def test_a_person_lives_in_a_time_zone_that_exists() -> None:
    with pytest.raises(ValidationError, match="no time zone"):
        services.create(Person, {"slug": "ada", "name": "Ada", "time_zone": "Berlin"}, by=BY, at=NOW)


@pytest.mark.django_db
def test_the_state_of_a_service_is_told_once() -> None:
    service, until = make_service("db"), NOW + timedelta(hours=1)

    def set_maintenance() -> bool:
        return services.set_state(service, State.MAINTENANCE, reason="Upgrade", until=until, by=BY, at=NOW)

    assert set_maintenance() is True
    assert set_maintenance() is False
    assert [name for name, _ in events()].count("catalogue.service.state_changed") == 1
    entry = AuditEntry.objects.order_by("-id")[0]
    assert entry.before == {"reason": "", "state": "normal", "until": None}
    assert service.state_changed_at == NOW


@pytest.mark.django_db
def test_a_passing_check_does_not_take_a_service_out_of_maintenance() -> None:
    service = make_service("db")
    services.set_state(service, State.MAINTENANCE, by=BY, at=NOW)

    moved = services.set_state(service, State.NORMAL, only_from=[State.DEGRADED, State.DOWN], by=BY, at=NOW)

    assert moved is False
    assert Service.objects.get(slug="db").state == State.MAINTENANCE


@pytest.mark.django_db
def test_a_host_makes_itself_known_once_and_is_then_only_seen() -> None:
    first = services.sight_host("web-1", by=Actor.system(), at=NOW)
    again = services.sight_host("web-1", by=Actor.system(), at=NOW + timedelta(minutes=1))

    assert first.pk == again.pk
    assert again.last_seen_at == NOW + timedelta(minutes=1)
    assert events() == [("catalogue.host.created", "web-1")]


@pytest.mark.django_db
def test_a_host_with_an_impossible_name_is_refused() -> None:
    with pytest.raises(ValidationError):
        services.sight_host("web 1/..", by=Actor.system(), at=NOW)


@pytest.mark.django_db(transaction=True)
def test_workers_of_one_machine_that_start_together_make_one_host() -> None:
    start = threading.Barrier(4)
    failures: list[BaseException] = []
    threads = [threading.Thread(target=_sight, args=(start, failures)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert failures == []
    assert Host.objects.count() == 1


def _sight(start: threading.Barrier, failures: list[BaseException]) -> None:
    try:
        start.wait(10)
        services.sight_host("web-1", by=Actor.system(), at=NOW)
    except Exception as exc:
        failures.append(exc)
    finally:
        connection.close()


@pytest.mark.django_db
def test_a_field_that_does_not_exist_is_our_mistake_and_not_stored() -> None:
    with pytest.raises(TypeError, match="colour"):
        make_service("db", colour="blue")
