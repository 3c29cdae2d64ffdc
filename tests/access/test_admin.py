"""The admin: rights by role, and every change in the audit log."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from sysops.access.models import ApiToken, AuditEntry
from sysops.access.roles import Role
from sysops.events.models import Delivery, Event
from tests.access.conftest import AT

pytestmark = pytest.mark.django_db

SignIn = Callable[[Role], Client]
PAGES = ["auth_user", "auth_group", "access_apitoken", "access_auditentry", "events_event", "events_delivery"]


def changelist(name: str) -> str:
    return reverse(f"admin:{name}_changelist")


def last() -> AuditEntry:
    return AuditEntry.objects.latest("id")


@pytest.mark.parametrize("page", PAGES)
def test_every_list_opens_for_a_superuser(admin_client: Client, page: str) -> None:
    assert admin_client.get(changelist(page)).status_code == 200


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    ("role", "seen"),
    [
        (Role.VIEWER, {"events_event", "events_delivery"}),
        (Role.APPROVER, {"events_event", "events_delivery"}),
        (Role.SECURITY, set(PAGES)),
        (Role.ADMIN, set(PAGES)),
    ],
)
def test_a_role_sees_the_lists_it_has_the_right_to(sign_in: SignIn, role: Role, seen: set[str], page: str) -> None:
    assert sign_in(role).get(changelist(page)).status_code == (200 if page in seen else 403)


def test_a_user_without_any_role_sees_nothing(client: Client) -> None:
    client.force_login(User.objects.create_user("nobody", is_staff=True))

    assert {client.get(changelist(page)).status_code for page in PAGES} == {403}


def test_a_new_token_is_shown_once_and_works(admin_client: Client) -> None:
    form = {"name": "ci", "role": "operator", "days": "30"}

    page = admin_client.post(reverse("admin:access_apitoken_add"), form, follow=True)

    token = ApiToken.objects.get()
    text = page.content.decode()
    plain = text.split("<code>")[1].split("</code>")[0]
    assert plain.startswith(token.prefix)
    assert plain not in admin_client.get(changelist("access_apitoken")).content.decode()
    assert Client().get("/api/system/tokens", headers={"authorization": f"Bearer {plain}"}).status_code == 403
    assert last().action == "access.token.created"
    assert last().actor == "admin"


def test_a_token_cannot_be_given_rights_its_giver_lacks(client: Client) -> None:
    group = Group.objects.create(name="token makers")
    group.permissions.add(*Group.objects.get(name="viewer").permissions.all())
    group.permissions.add(Group.objects.get(name="admin").permissions.get(codename="tokens.create"))
    group.permissions.add(Group.objects.get(name="admin").permissions.get(codename="tokens.view"))
    user = User.objects.create_user("eve", is_staff=True)
    user.groups.add(group)
    client.force_login(user)

    page = client.post(reverse("admin:access_apitoken_add"), {"name": "x", "role": "admin", "days": "30"})

    assert page.status_code == 200
    assert "rights you do not have" in page.content.decode()
    assert not ApiToken.objects.exists()


def test_revoking_in_the_list_ends_the_token(admin_client: Client, make_token: Callable[..., Any]) -> None:
    token, _ = make_token(Role.VIEWER)

    admin_client.post(changelist("access_apitoken"), {"action": "revoke", "_selected_action": [token.pk]})

    token.refresh_from_db()
    assert token.revoked_at is not None
    assert last().action == "access.token.revoked"


def test_a_token_and_an_audit_entry_cannot_be_changed_or_deleted_in_the_admin(
    admin_client: Client, make_token: Callable[..., Any]
) -> None:
    token, _ = make_token(Role.VIEWER)

    for name, key in [("access_apitoken", token.pk), ("access_auditentry", last().pk)]:
        assert admin_client.get(reverse(f"admin:{name}_change", args=[key])).status_code == 200
        assert admin_client.post(reverse(f"admin:{name}_change", args=[key]), {}).status_code == 403
        assert admin_client.post(reverse(f"admin:{name}_delete", args=[key]), {"post": "yes"}).status_code == 403


def test_adding_a_user_is_audited_without_the_password(admin_client: Client) -> None:
    form = {"username": "new", "password1": "a long enough one", "password2": "a long enough one"}

    admin_client.post(reverse("admin:auth_user_add"), {**form, "usable_password": "true"})

    entry = AuditEntry.objects.get(action="access.user.created", label="new")
    assert entry.actor == "admin"
    assert entry.address == "127.0.0.1"
    assert entry.after is not None
    assert entry.after["password"] == "[redacted]"


def test_giving_a_role_in_the_admin_is_audited(admin_client: Client) -> None:
    user = User.objects.create_user("ann", "ann@example.org")
    group = Group.objects.get(name="operator")
    form = {
        "username": "ann", "email": "anna@example.org", "groups": [group.pk], "is_active": "on",
        "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00",
    }  # fmt: skip

    response = admin_client.post(reverse("admin:auth_user_change", args=[user.pk]), form)

    assert response.status_code == 302
    changed = AuditEntry.objects.get(action="access.user.changed")
    assert (changed.before, changed.after) == ({"email": "ann@example.org"}, {"email": "anna@example.org"})
    assert AuditEntry.objects.get(action="access.user.groups_added").after == {"groups": ["operator"]}


def test_whoever_is_no_superuser_can_neither_make_one_nor_touch_one(sign_in: SignIn, admin_user: User) -> None:
    client, user = sign_in(Role.ADMIN), User.objects.create_user("ann")

    client.post(
        reverse("admin:auth_user_change", args=[user.pk]),
        {"username": "ann", "is_superuser": "on", "is_active": "on"},
    )
    user.refresh_from_db()
    password_page = reverse("admin:auth_user_password_change", args=[admin_user.pk])

    assert not user.is_superuser
    assert client.post(reverse("admin:auth_user_change", args=[admin_user.pk]), {}).status_code == 403
    assert client.post(reverse("admin:auth_user_delete", args=[admin_user.pk]), {"post": "yes"}).status_code == 403
    assert client.get(password_page).status_code == 403


def test_a_role_that_comes_with_sysops_cannot_be_changed(admin_client: Client) -> None:
    page = reverse("admin:auth_group_change", args=[Group.objects.get(name="viewer").pk])

    assert admin_client.post(page, {"name": "viewer"}).status_code == 403


def test_a_dead_delivery_is_tried_again_from_the_list(admin_client: Client, sign_in: SignIn) -> None:
    event = Event.objects.create(name="a.b", subject="1", at=AT)
    dead = Delivery.objects.create(event=event, subscriber="x", state="dead", due_at=AT, error="no route")
    form = {"action": "try_again", "_selected_action": [dead.pk]}

    sign_in(Role.VIEWER).post(changelist("events_delivery"), form)
    dead.refresh_from_db()
    assert dead.state == "dead", "a viewer has no right to"

    assert "no route" in admin_client.get(changelist("events_delivery")).content.decode()
    admin_client.post(changelist("events_delivery"), form)
    dead.refresh_from_db()
    assert dead.state == "pending"
    assert last().action == "events.delivery.tried_again"
