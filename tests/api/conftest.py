"""Clients of each kind."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _static_files_on_demand(settings: Settings) -> None:
    """Else every test client first looks through all static files, for half a second."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture
def token(db: None) -> Callable[[str], str]:
    """`token("viewer")`: the text of a new token of that role."""
    from sysops.access import services
    from sysops.access.actors import Actor
    from sysops.access.roles import Role

    def make(role: str) -> str:
        name = f"{role} of the tests"
        return services.create_token(name, role=Role(role), ttl=None, by=Actor.cli("tests"), at=AT)[1]

    return make


@pytest.fixture
def api(token: Callable[[str], str]) -> Callable[[str], APIClient]:
    """`api("admin")`: a client with a token of that role; `api("")` has none."""

    def make(role: str) -> APIClient:
        client = APIClient()
        if role:
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {token(role)}")
        return client

    return make
