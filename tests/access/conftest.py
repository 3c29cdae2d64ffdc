"""People and tokens of each role."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from pytest_django import Settings

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _static_files_on_demand(settings: Settings) -> None:
    """Else every test client first looks through all static files, for half a second."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture
def make_token(db: None) -> Callable[..., object]:
    """`make_token(Role.VIEWER, ttl=…)`: the row and its text."""
    from sysops.access import services
    from sysops.access.actors import Actor

    def make(role: object, *, ttl: timedelta | None = None, at: datetime = AT, **more: object) -> object:
        return services.create_token("test", role=role, ttl=ttl, by=Actor.cli("tests"), at=at, **more)  # type: ignore[arg-type]

    return make


@pytest.fixture
def sign_in(db: None) -> Callable[..., Client]:
    """A browser signed in as somebody of a role."""

    def make(role: str) -> Client:
        user, _ = User.objects.get_or_create(username=f"{role}-person", is_staff=True)
        user.groups.add(Group.objects.get(name=str(role)))
        client = Client()
        client.force_login(user)
        return client

    return make
