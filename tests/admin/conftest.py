"""People of each role, and the fake engine known by name."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from pytest_django import Settings

from tests.backups.conftest import hands

__all__ = ["hands"]


@pytest.fixture(autouse=True)
def _static_files_on_demand(settings: Settings) -> None:
    """Else every test client first looks through all static files, for half a second."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture
def sign_in(db: None) -> Callable[[str], Client]:
    """A browser signed in as somebody of a role."""

    def make(role: str) -> Client:
        user, _ = User.objects.get_or_create(username=f"{role}-person", is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        client = Client()
        client.force_login(user)
        return client

    return make
