"""API tokens: hashed, expiring, revocable, and no stronger than who gave them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User

from sysops.access import services
from sysops.access.actors import Actor
from sysops.access.models import ApiToken, AuditEntry
from sysops.access.rights import has_right
from sysops.access.roles import Role
from sysops.access.services import BadToken, TooMuchPower, principal_of
from tests.access.conftest import AT

pytestmark = pytest.mark.django_db

MakeToken = Callable[..., Any]
BY = Actor.cli("tests")


def test_a_token_is_kept_only_as_a_hash(make_token: MakeToken) -> None:
    token, plain = make_token(Role.VIEWER)

    assert plain.startswith("sysops_")
    assert len(plain) == len("sysops_") + 43, "256 random bits"
    stored = ApiToken.objects.values().get(pk=token.pk)
    assert not any(plain in str(value) for value in stored.values())
    assert plain[7:] not in str(list(AuditEntry.objects.filter(action="access.token.created").values()))


def test_a_token_speaks_for_its_role_and_no_more(make_token: MakeToken) -> None:
    _, plain = make_token(Role.SECURITY)

    principal = principal_of(plain, at=AT)

    assert principal is not None
    assert has_right(principal, "audit.view")
    assert not has_right(principal, "tokens.create")


@pytest.mark.parametrize("plain", ["", "sysops_", "sysops_" + "x" * 43, "nonsense", "a" * 100_000])
def test_an_unknown_token_speaks_for_nobody(plain: str) -> None:
    assert principal_of(plain, at=AT) is None


def test_a_token_ends_at_its_time(make_token: MakeToken) -> None:
    _, plain = make_token(Role.VIEWER, ttl=timedelta(seconds=60))

    assert principal_of(plain, at=AT + timedelta(seconds=59)) is not None
    assert principal_of(plain, at=AT + timedelta(seconds=60)) is None


def test_a_revoked_token_ends_at_once_and_is_revoked_once(make_token: MakeToken) -> None:
    token, plain = make_token(Role.VIEWER)

    assert services.revoke_token(token=token, by=BY, at=AT) is True
    assert services.revoke_token(token=token, by=BY, at=AT) is False

    assert principal_of(plain, at=AT) is None
    assert AuditEntry.objects.filter(action="access.token.revoked").count() == 1


def test_the_last_use_is_written_at_most_once_a_minute(make_token: MakeToken) -> None:
    token, plain = make_token(Role.VIEWER)

    def last_use_after(seconds: int) -> timedelta:
        principal_of(plain, at=AT + timedelta(seconds=seconds))
        token.refresh_from_db()
        used: timedelta = token.last_used_at - AT
        return used

    assert last_use_after(0) == timedelta(0)
    assert last_use_after(59) == timedelta(0)
    assert last_use_after(60) == timedelta(seconds=60)


def test_a_token_used_again_within_the_minute_costs_one_query(
    make_token: MakeToken, django_assert_num_queries: Any
) -> None:
    _, plain = make_token(Role.VIEWER)
    principal_of(plain, at=AT)

    with django_assert_num_queries(1):
        principal_of(plain, at=AT)


def test_an_owned_token_does_no_more_than_its_owner_and_ends_with_them(make_token: MakeToken) -> None:
    owner = User.objects.create_user("ann")
    owner.groups.add(Group.objects.get(name="viewer"))
    _, plain = make_token(Role.ADMIN, owner=owner)

    principal = principal_of(plain, at=AT)
    assert principal is not None
    assert has_right(principal, "events.view")
    assert not has_right(principal, "events.retry")

    User.objects.filter(pk=owner.pk).update(is_active=False)
    assert principal_of(plain, at=AT) is None


def test_nobody_passes_on_rights_they_do_not_have(make_token: MakeToken) -> None:
    _, plain = make_token(Role.SECURITY)
    giver = principal_of(plain, at=AT)

    with pytest.raises(TooMuchPower, match=r"admin includes rights you do not have: .*tokens\.create"):
        make_token(Role.ADMIN, giver=giver)

    make_token(Role.VIEWER, giver=giver)


@pytest.mark.parametrize(
    ("name", "ttl", "field"),
    [
        ("", None, "name"),
        ("   ", None, "name"),
        ("x" * 101, None, "name"),
        ("a\0b", None, "name"),
        ("ci", timedelta(0), "ttl_seconds"),
        ("ci", timedelta(days=4000), "ttl_seconds"),
    ],
)
def test_a_senseless_token_is_refused_with_the_field(name: str, ttl: timedelta | None, field: str) -> None:
    with pytest.raises(BadToken) as refused:
        services.create_token(name, role=Role.VIEWER, ttl=ttl, by=BY, at=AT)

    assert refused.value.field == field
    assert not ApiToken.objects.exists()
