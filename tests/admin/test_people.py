"""The page of a user: roles with what they mean, and no permissions that mean nothing here."""

import re

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from sysops.access.rights import has_right, rights
from sysops.access.roles import DESCRIPTIONS

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann", is_staff=True)


def test_roles_are_chosen_by_what_they_mean(admin_client: Client, ann: User) -> None:
    seen = admin_client.get(reverse("admin:auth_user_change", args=[ann.pk])).content.decode()

    for role, meaning in DESCRIPTIONS.items():
        assert f"{role.value}: {meaning}" in " ".join(seen.split())
    assert len(re.findall(r'<input type="checkbox" name="groups"', seen)) == Group.objects.count()


def test_single_rights_are_those_of_sysops_and_can_be_given(admin_client: Client, ann: User) -> None:
    address = reverse("admin:auth_user_change", args=[ann.pk])
    form = admin_client.get(address).context["adminform"].form

    assert {one.codename for one in form.fields["user_permissions"].queryset} == {name for name, _ in rights}

    given = {
        "username": "ann", "is_active": "on", "is_staff": "on",
        "groups": [Group.objects.get(name="viewer").pk],
        "user_permissions": [Permission.objects.get(codename="backups.request").pk],
    }  # fmt: skip
    assert admin_client.post(address, given).status_code == 302
    ann = User.objects.get(pk=ann.pk)
    assert [has_right(ann, name) for name in ("backups.view", "backups.request", "backups.restore")] == [
        True,
        True,
        False,
    ]
