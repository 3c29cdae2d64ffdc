"""The catalogue in the admin, as a person with a browser meets it."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from catalogue import services
from catalogue.models import Entry, Environment, Host, Person, Service, Team
from sysops.access.actors import Actor
from sysops.access.models import AuditEntry
from sysops.access.roles import Role
from sysops.events.models import Event

pytestmark = pytest.mark.django_db

BY = Actor.system()


def browser(role: Role) -> Client:
    user = User.objects.create_user(f"{role}", password="correct horse battery", is_staff=True)
    user.groups.add(Group.objects.get(name=role.value))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def ada() -> Client:
    """The browser of somebody with the role admin."""
    return browser(Role.ADMIN)


def make(model: type[services.Row], slug: str, /, **values: object) -> services.Row:
    return services.create(model, {"slug": slug, "name": slug.title(), **values}, by=BY, at=timezone.now())


def page(model: type[Entry], name: str = "changelist", *args: object) -> str:
    return reverse(f"admin:catalogue_{model._meta.model_name}_{name}", args=args)


@pytest.mark.parametrize("model", [Environment, Host, Person, Team, Service])
def test_every_list_and_form_opens(ada: Client, model: type[Entry]) -> None:
    place = make(Environment, "production")
    person = make(Person, "bob", contacts=[("chat", "@bob")])
    make(Service, "db", owner_team=make(Team, "ops", members=[person]), environment=place)
    services.sight_host("web-1", by=BY, at=timezone.now())
    row = model._default_manager.get()

    for address in (page(model), page(model, "add"), page(model, "change", row.pk)):
        assert ada.get(address).status_code == 200


def service_form(**values: object) -> dict[str, object]:
    return {"name": "Shop", "slug": "shop", "kind": "website", "tier": "1", **values}


def test_saving_a_service_is_one_change_with_its_dependencies_by_the_person(ada: Client) -> None:
    database = make(Service, "db")

    answer = ada.post(page(Service, "add"), service_form(requires=[database.pk]))

    assert answer.status_code == 302, answer.context["errors"]
    assert [needed.slug for needed in Service.objects.get(slug="shop").depends_on.all()] == ["db"]
    entry = AuditEntry.objects.order_by("-id")[0]
    assert (entry.action, entry.actor, entry.actor_kind) == ("catalogue.service.created", "admin", "user")
    assert Event.objects.filter(name="catalogue.service.created", subject="shop").count() == 1


def test_a_service_is_changed_and_keeps_its_slug(ada: Client) -> None:
    shop = make(Service, "shop", depends_on=[make(Service, "db")])

    ada.post(page(Service, "change", shop.pk), service_form(slug="other", tier="4"))

    shop.refresh_from_db()
    assert (shop.slug, shop.tier, shop.depends_on.count()) == ("shop", 4, 0)


def test_a_cycle_is_shown_at_its_field_and_nothing_is_saved(ada: Client) -> None:
    database = make(Service, "db")
    shop = make(Service, "shop", depends_on=[database])

    answer = ada.post(page(Service, "change", database.pk), service_form(requires=[shop.pk]))

    assert answer.status_code == 200
    assert "db → shop → db" in answer.content.decode()
    assert database.depends_on.count() == 0


@pytest.mark.parametrize(
    ("model", "form"),
    [
        (Service, {"name": "Shop", "slug": "Not a slug", "kind": "website", "tier": "1"}),
        (Environment, {"name": "Production", "slug": "PRODUCTION"}),
        (Host, {"name": "no host/name"}),
    ],
)
def test_what_the_api_refuses_the_admin_refuses(ada: Client, model: type[Entry], form: dict[str, object]) -> None:
    assert ada.post(page(model, "add"), form).status_code == 200
    assert not model._default_manager.exists()


def person_form(**values: object) -> dict[str, object]:
    management = {"contacts-TOTAL_FORMS": "2", "contacts-INITIAL_FORMS": "0"}
    return {"name": "Bob", "slug": "bob", "time_zone": "Europe/Berlin", **management, **values}


def test_a_person_is_saved_with_addresses_in_the_order_given(ada: Client) -> None:
    first = {"contacts-0-position": "2", "contacts-0-channel": "email", "contacts-0-address": "bob@example.org"}
    second = {"contacts-1-position": "1", "contacts-1-channel": "sms", "contacts-1-address": "+4930123456"}

    answer = ada.post(page(Person, "add"), person_form(**first, **second))

    assert answer.status_code == 302, answer.context["errors"]
    assert [contact.channel for contact in Person.objects.get().contacts.all()] == ["sms", "email"]


def test_an_address_or_zone_that_cannot_be_is_refused(ada: Client) -> None:
    bad = {"contacts-0-position": "0", "contacts-0-channel": "email", "contacts-0-address": "nowhere"}

    answer = ada.post(page(Person, "add"), person_form(time_zone="Mars", **bad))

    assert answer.status_code == 200
    assert "no e-mail address" in answer.content.decode()
    assert "no time zone" in answer.content.decode()


def test_a_team_gets_its_members(ada: Client) -> None:
    bob, eve = make(Person, "bob"), make(Person, "eve")

    ada.post(page(Team, "add"), {"name": "Ops", "slug": "ops", "lead": bob.pk, "people": [eve.pk]})

    assert {person.slug for person in Team.objects.get().members.all()} == {"bob", "eve"}


def test_deleting_is_told_and_refused_while_in_use(ada: Client) -> None:
    database = make(Service, "db")
    shop = make(Service, "shop", depends_on=[database])

    ada.post(page(Service, "delete", database.pk), {"post": "yes"})
    assert Service.objects.filter(slug="db").exists()

    ada.post(page(Service, "delete", shop.pk), {"post": "yes"})
    assert not Service.objects.filter(slug="shop").exists()
    assert Event.objects.filter(name="catalogue.service.deleted", subject="shop").exists()


def test_a_viewer_sees_and_cannot_change() -> None:
    service, viewer = make(Service, "db"), browser(Role.VIEWER)

    assert viewer.get(page(Service)).status_code == 200
    assert viewer.get(page(Service, "add")).status_code == 403
    assert viewer.post(page(Service, "change", service.pk), service_form()).status_code == 403
