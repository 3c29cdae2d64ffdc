"""Subscriptions in the admin, as a person with a browser meets them."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from catalogue import services
from catalogue.models import Person, Service, Subscription
from catalogue.rules import SubscriptionState as State
from catalogue.services import subscriptions
from sysops.access.actors import Actor
from sysops.access.models import AuditEntry
from sysops.access.roles import Role
from sysops.events.models import Event

pytestmark = pytest.mark.django_db

BY = Actor.system()
LIST = "admin:catalogue_subscription_changelist"
ADD = "admin:catalogue_subscription_add"


def browser(role: Role) -> Client:
    user = User.objects.create_user(f"{role}", password="correct horse battery", is_staff=True)
    user.groups.add(Group.objects.get(name=role.value))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def admin() -> Client:
    return browser(Role.ADMIN)


@pytest.fixture
def shop() -> Service:
    return services.create(Service, {"slug": "shop", "name": "Shop"}, by=BY, at=timezone.now())


@pytest.fixture
def ada() -> Person:
    return services.create(Person, {"slug": "ada", "name": "Ada"}, by=BY, at=timezone.now())


def test_one_of_our_people_is_told_from_now_on(admin: Client, shop: Service, ada: Person) -> None:
    answer = admin.post(reverse(ADD), {"service": shop.pk, "person": ada.pk, "email": ""})

    assert answer.status_code == 302, answer.context["errors"]
    row = Subscription.objects.get()
    assert (row.person, row.state) == (ada, State.CONFIRMED)
    entry = AuditEntry.objects.order_by("-id")[0]
    assert (entry.action, entry.actor) == ("catalogue.subscription.confirmed", "admin")


def test_an_address_from_outside_is_asked_first(admin: Client, shop: Service) -> None:
    answer = admin.post(reverse(ADD), {"service": shop.pk, "person": "", "email": "Eve@example.org"}, follow=True)

    assert "told once it has confirmed" in answer.content.decode()
    row = Subscription.objects.get()
    assert (row.email, row.state) == ("eve@example.org", State.PENDING)
    assert Event.objects.filter(name="catalogue.subscription.requested", subject=str(row.pk)).count() == 1


def test_who_ended_can_be_added_again(admin: Client, shop: Service, ada: Person) -> None:
    row = subscriptions.subscribe_person(service=shop, person=ada, by=BY, at=timezone.now())
    subscriptions.end([row], by=BY, at=timezone.now())

    assert admin.post(reverse(ADD), {"service": shop.pk, "person": ada.pk, "email": ""}).status_code == 302
    assert Subscription.objects.get().state == State.CONFIRMED


@pytest.mark.parametrize(
    ("entered", "said"),
    [
        ({"email": ""}, "Give a person or an e-mail address"),
        ({"email": "a@example.org", "person": "ada"}, "Give a person or an e-mail address"),
        ({"email": "a@example.org,b@example.org"}, "plain e-mail address"),
    ],
)
def test_what_cannot_be_is_said_at_the_form(
    admin: Client, shop: Service, ada: Person, entered: dict[str, str], said: str
) -> None:
    values = {"service": str(shop.pk), "person": "", **entered}
    values["person"] = str(ada.pk) if values["person"] else ""

    answer = admin.post(reverse(ADD), values)

    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert Subscription.objects.count() == 0


def test_an_inbox_that_was_asked_too_often_is_said_to_be_so(admin: Client, shop: Service) -> None:
    for number in range(5):
        other = services.create(Service, {"slug": f"s{number}", "name": "S"}, by=BY, at=timezone.now())
        subscriptions.request(service=other, email="eve@example.org", by=BY, at=timezone.now())

    form = {"service": shop.pk, "person": "", "email": "eve@example.org"}
    assert "5 links within an hour" in admin.post(reverse(ADD), form, follow=True).content.decode()
    assert not Subscription.objects.filter(service=shop).exists()


def test_the_selected_ones_are_ended_and_nothing_is_deleted(admin: Client, shop: Service, ada: Person) -> None:
    row = subscriptions.subscribe_person(service=shop, person=ada, by=BY, at=timezone.now())

    answer = admin.post(reverse(LIST), {"action": "end", "_selected_action": [row.pk]}, follow=True)

    assert "Ended 1 of 1" in answer.content.decode()
    assert Subscription.objects.get().state == State.ENDED
    assert admin.post(reverse("admin:catalogue_subscription_delete", args=[row.pk])).status_code == 403
    assert admin.get(reverse("admin:catalogue_subscription_change", args=[row.pk])).status_code == 200


def test_the_list_is_filtered_and_costs_the_same_however_long(admin: Client, shop: Service, ada: Person) -> None:
    subscriptions.subscribe_person(service=shop, person=ada, by=BY, at=timezone.now())
    admin.get(reverse(LIST))

    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert admin.get(reverse(LIST)).status_code == 200
        return len(asked)

    before = queries()
    for number in range(5):
        subscriptions.request(service=shop, email=f"a{number}@example.org", by=BY, at=timezone.now())
    assert queries() == before

    pending = admin.get(reverse(LIST), {"state__exact": "pending", "service__id__exact": str(shop.pk)}).content.decode()
    assert "a1@example.org" in pending
    assert ">Ada<" not in pending


def test_the_page_of_a_service_shows_who_is_told(admin: Client, shop: Service, ada: Person) -> None:
    page = reverse("admin:catalogue_service_change", args=[shop.pk])
    assert "nobody but its team" in admin.get(page).content.decode()

    subscriptions.subscribe_person(service=shop, person=ada, by=BY, at=timezone.now())
    subscriptions.request(service=shop, email="eve@example.org", by=BY, at=timezone.now() - timedelta(hours=1))
    shown = admin.get(page).content.decode()

    assert "1 confirmed" in shown
    assert "1 pending" in shown
    assert "Ada" in shown
    assert f"service__id__exact={shop.pk}" in shown


def test_a_viewer_sees_and_adds_nothing(shop: Service, ada: Person) -> None:
    subscriptions.subscribe_person(service=shop, person=ada, by=BY, at=timezone.now())
    viewer = browser(Role.VIEWER)

    assert "Ada" in viewer.get(reverse(LIST)).content.decode()
    assert viewer.get(reverse(ADD)).status_code == 403
    viewer.post(reverse(LIST), {"action": "end", "_selected_action": [Subscription.objects.get().pk]})
    assert Subscription.objects.get().state == State.CONFIRMED
