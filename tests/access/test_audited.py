"""AuditedModelAdmin: rights by name, and before and after of every change, inlines and deletions too."""

from datetime import UTC, datetime

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import path
from pytest_django import Settings
from unfold.sites import UnfoldAdminSite

import sysops.urls
from sysops.access import rights
from sysops.access.audited import AuditedModelAdmin, RightedTabularInline
from sysops.access.models import AuditEntry
from sysops.events.models import Delivery, Event

pytestmark = pytest.mark.django_db

ALL = {"view": "shop.view", "add": "shop.change", "change": "shop.change", "delete": "shop.change"}
site = UnfoldAdminSite(name="test")


class DeliveryInline(RightedTabularInline):
    model = Delivery
    rights = ALL
    extra = 0


@admin.register(Event, site=site)
class EventAdmin(AuditedModelAdmin):
    rights = ALL
    inlines = (DeliveryInline,)
    audit_exclude = ("data",)


@admin.register(Group, site=site)
class LinkedAdmin(AuditedModelAdmin):
    rights = ALL


urlpatterns = [path("a/", site.urls), *sysops.urls.urlpatterns]  # the navigation leads to the other pages
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
FORM = {"name": "a.b", "subject": "1", "at_0": "2026-03-01", "at_1": "12:00:00", "data": '{"a": 1}'}
NO_ROWS = {"deliveries-TOTAL_FORMS": "0", "deliveries-INITIAL_FORMS": "0"}


@pytest.fixture(autouse=True)
def _site(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ROOT_URLCONF = __name__
    monkeypatch.setattr(rights.rights, "_things", dict(rights.rights._things))
    rights.declare("shop.view", roles=[rights.VIEWER], description="See")
    rights.declare("shop.change", roles=[rights.ADMIN], description="Change")


def entries() -> list[tuple[str, object, object]]:
    found = AuditEntry.objects.filter(action__startswith="events.").order_by("id")
    return [(entry.action, entry.before, entry.after) for entry in found]


def test_adding_changing_and_deleting_are_recorded_with_what_differs(admin_client: Client) -> None:
    admin_client.post("/a/events/event/add/", {**FORM, **NO_ROWS})
    event = Event.objects.get()
    admin_client.post(f"/a/events/event/{event.pk}/change/", {**FORM, **NO_ROWS, "subject": "2"})
    admin_client.post(f"/a/events/event/{event.pk}/change/", {**FORM, **NO_ROWS, "subject": "2"})
    admin_client.post(f"/a/events/event/{event.pk}/delete/", {"post": "yes"})

    facts = {"id": event.pk, "name": "a.b", "subject": "1", "at": "2026-03-01T12:00:00Z"}
    assert entries() == [
        ("events.event.added", None, facts),
        ("events.event.changed", {"subject": "1"}, {"subject": "2"}),
        ("events.event.deleted", {**facts, "subject": "2"}, None),
    ]
    last = AuditEntry.objects.latest("id")
    assert (last.actor, last.actor_kind, last.address) == ("admin", "user", "127.0.0.1")
    assert last.subject == f"events.event:{event.pk}"


def test_rows_of_an_inline_are_recorded_each(admin_client: Client) -> None:
    event = Event.objects.create(name="a.b", subject="1", at=AT)
    kept = Delivery.objects.create(event=event, subscriber="kept", due_at=AT)
    gone = Delivery.objects.create(event=event, subscriber="gone", due_at=AT)
    form = {**FORM, "deliveries-TOTAL_FORMS": "3", "deliveries-INITIAL_FORMS": "2"}
    for number, (key, name) in enumerate([(gone.pk, "gone"), (kept.pk, "kept"), ("", "new")]):
        row = {"id": key, "event": event.pk, "subscriber": name, "state": "pending", "attempt": "0",
               "due_at_0": "2026-03-01", "due_at_1": "12:00:00", "error": "x" if name == "kept" else ""}  # fmt: skip
        form.update({f"deliveries-{number}-{field}": str(value) for field, value in row.items()})
    form["deliveries-0-DELETE"] = "on"

    response = admin_client.post(f"/a/events/event/{event.pk}/change/", form)

    assert response.status_code == 302, response.context["errors"]
    recorded = {action: (before, after) for action, before, after in entries()}
    assert recorded["events.delivery.changed"] == ({"error": ""}, {"error": "x"})
    before, after = recorded["events.delivery.deleted"]
    assert isinstance(before, dict)
    assert (before["subscriber"], after) == ("gone", None)
    _, after = recorded["events.delivery.added"]
    assert isinstance(after, dict)
    assert after["subscriber"] == "new"


def test_deleting_many_in_the_list_records_each(admin_client: Client) -> None:
    events = [Event.objects.create(name="a.b", subject=str(n), at=AT) for n in range(3)]
    form = {"action": "delete_selected", "_selected_action": [event.pk for event in events], "post": "yes"}

    admin_client.post("/a/events/event/", form)

    assert not Event.objects.exists()
    assert [action for action, _, _ in entries()] == ["events.event.deleted"] * 3


def test_changed_links_are_recorded_by_name(admin_client: Client) -> None:
    group = Group.objects.create(name="packers")
    permission = Permission.objects.get(codename="audit.view")

    admin_client.post(f"/a/auth/group/{group.pk}/change/", {"name": "packers", "permissions": [permission.pk]})

    entry = AuditEntry.objects.get(action="auth.group.changed")
    assert (entry.before, entry.after) == ({"permissions": []}, {"permissions": [str(permission)]})


def test_a_viewer_sees_and_a_stranger_does_not_and_neither_changes(client: Client) -> None:
    from sysops.access import sync

    sync.sync()
    user = User.objects.create_user("ann", is_staff=True)
    client.force_login(user)
    event = Event.objects.create(name="a.b", subject="1", at=AT)
    pages = ["/a/events/event/", f"/a/events/event/{event.pk}/change/"]
    assert {client.get(page).status_code for page in pages} == {403}

    user.groups.add(Group.objects.get(name="viewer"))

    assert {client.get(page).status_code for page in pages} == {200}
    assert client.post(pages[1], {**FORM, **NO_ROWS}).status_code == 403
    assert client.get("/a/events/event/add/").status_code == 403


def test_what_an_admin_class_does_not_name_nobody_may(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EventAdmin, "rights", {"view": "shop.view"})

    assert admin_client.get("/a/events/event/").status_code == 200
    assert admin_client.get("/a/events/event/add/").status_code == 403
