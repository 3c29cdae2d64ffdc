"""Roles and rights: declared once, held by groups, denied by default."""

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission, User

from sysops.access import rights, sync
from sysops.access.models import AuditEntry
from sysops.access.principals import TokenPrincipal
from sysops.access.rights import has_right, rights_of
from sysops.access.roles import Role, including
from sysops.kernel.registry import AlreadyRegistered, UnknownName

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights.rights, "_things", dict(rights.rights._things))


@pytest.mark.parametrize("role", Role)
def test_whoever_has_a_role_has_a_viewers_rights(role: Role) -> None:
    assert Role.VIEWER in including(role)
    assert rights_of(Role.VIEWER) <= rights_of(role)


def test_roles_rise_from_viewer_to_admin_and_security_stands_beside() -> None:
    assert rights_of(Role.OPERATOR) <= rights_of(Role.APPROVER) <= rights_of(Role.ADMIN)
    assert "audit.view" in rights_of(Role.SECURITY)
    assert "audit.view" not in rights_of(Role.APPROVER)


def test_a_right_given_to_a_role_is_held_by_those_above_and_nobody_else() -> None:
    rights.declare("shop.pack", roles=[Role.OPERATOR], description="Pack")

    holders = {role for role in Role if has_right(TokenPrincipal(pk=1, name="t", role=role), "shop.pack")}

    assert holders == {Role.OPERATOR, Role.APPROVER, Role.ADMIN}


def test_a_user_has_the_rights_of_the_groups_they_are_in(django_user_model: type[User]) -> None:
    user = django_user_model.objects.create_user("ann")
    assert not has_right(user, "audit.view")
    user.groups.add(Group.objects.get(name="security"))
    ann = User.objects.get(pk=user.pk)

    assert has_right(ann, "audit.view")
    assert not has_right(ann, "tokens.create")
    ann.is_active = False
    assert not has_right(ann, "audit.view")


def test_a_superuser_has_every_right_and_a_stranger_none(admin_user: User) -> None:
    assert has_right(admin_user, "tokens.create")
    assert not has_right(AnonymousUser(), "events.view")
    assert not has_right(None, "events.view")
    assert not has_right(object(), "events.view")


def test_a_right_nobody_declared_is_a_mistake_that_shows(admin_user: User) -> None:
    with pytest.raises(UnknownName, match=r"Did you mean 'audit\.view'"):
        has_right(admin_user, "audit.veiw")


def test_declaring_again_is_nothing_unless_it_differs() -> None:
    rights.declare("shop.pack", roles=[Role.OPERATOR], description="Pack")
    rights.declare("shop.pack", roles=[Role.OPERATOR], description="Pack")

    with pytest.raises(AlreadyRegistered, match=r"shop\.pack"):
        rights.declare("shop.pack", roles=[Role.VIEWER], description="Pack")


@pytest.mark.parametrize("name", ["pack", "Shop.pack", "shop pack", "shop.", "public"])
def test_a_right_has_a_name_with_a_dot(name: str) -> None:
    with pytest.raises(ValueError, match="no name for a right"):
        rights.declare(name, roles=[Role.VIEWER], description="x")


def test_after_an_upgrade_groups_hold_what_is_declared_now_and_the_change_is_audited() -> None:
    rights.declare("shop.pack", roles=[Role.OPERATOR], description="Pack an order")
    rights.rights._things.pop("queue.view")
    viewer = Group.objects.get(name="viewer")
    viewer.permissions.add(Permission.objects.get(codename="tokens.create"))  # by hand: not what the role says
    own = Group.objects.create(name="our own")
    own.permissions.add(Permission.objects.get(codename="audit.view"))

    sync.sync()

    def held(name: str) -> set[str]:
        return set(Group.objects.get(name=name).permissions.values_list("codename", flat=True))

    assert "shop.pack" in held("operator")
    assert held("viewer") == rights_of(Role.VIEWER)
    assert held("our own") == {"audit.view"}
    assert Permission.objects.get(codename="shop.pack").name == "Pack an order"
    assert not Permission.objects.filter(codename="queue.view").exists()
    changes = AuditEntry.objects.get(action="access.roles.synced").after
    assert changes is not None
    assert changes["operator"]["added"] == ["shop.pack"]
    assert changes["viewer"]["removed"] == ["tokens.create"]


def test_nothing_changes_and_nothing_is_recorded_when_all_is_in_step() -> None:
    before = AuditEntry.objects.count()

    sync.sync()

    assert AuditEntry.objects.count() == before
