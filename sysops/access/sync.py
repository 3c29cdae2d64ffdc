"""Declared rights as Permission rows and roles as Groups, brought in step after every migration."""

from django.apps.registry import Apps
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.utils import timezone

from sysops.access import audit
from sysops.access.actors import Actor
from sysops.access.models import Right
from sysops.access.rights import rights, rights_of
from sysops.access.roles import Role

NAME_LIMIT = 255  # of Django's permission table


def after_migrate(*, apps: Apps | None = None, **_: object) -> None:
    """Django's post_migrate: nothing to do while migrating back to before this app existed.

    `flush` sends it too, without `apps`: the tables are there then.
    """
    if apps is None or "apitoken" in apps.all_models["access"]:
        sync()


@transaction.atomic
def sync() -> None:
    """Make permissions and role groups say what is declared; people's own groups are left alone.

    Rows are written in bulk: the signals that audit changes made by people stay silent, and one entry is
    recorded when an upgrade changed what a role may do.
    """
    permissions = _permissions()
    changes = {role.value: change for role in Role if (change := _sync_role(role, permissions))}
    if changes:
        audit.record("access.roles.synced", by=Actor.system(), subject="roles", at=timezone.now(), after=changes)


def _permissions() -> dict[str, int]:
    """Primary keys of the permissions by right, after adding, renaming and removing what has to be."""
    kind = ContentType.objects.get_for_model(Right)
    wanted = {name: right.description[:NAME_LIMIT] for name, right in rights}
    Permission.objects.bulk_create(
        [Permission(content_type=kind, codename=name, name=text) for name, text in wanted.items()],
        update_conflicts=True,
        unique_fields=["content_type", "codename"],
        update_fields=["name"],
    )
    mine = Permission.objects.filter(content_type=kind)
    mine.exclude(codename__in=wanted).delete()
    return dict(mine.values_list("codename", "pk"))


def _sync_role(role: Role, permissions: dict[str, int]) -> dict[str, list[str]]:
    """What changed for a role that existed already; nothing for a new one."""
    found = Group.objects.filter(name=role.value).first()
    group = found or Group.objects.bulk_create([Group(name=role.value)])[0]
    link = Group.permissions.through
    wanted = {permissions[name]: name for name in rights_of(role)}
    has = dict(group.permissions.values_list("pk", "codename"))
    link._default_manager.bulk_create(
        [link(group_id=group.pk, permission_id=pk) for pk in wanted if pk not in has], ignore_conflicts=True
    )
    link._default_manager.filter(group_id=group.pk).exclude(permission_id__in=wanted).delete()
    added = sorted(name for pk, name in wanted.items() if pk not in has)
    removed = sorted(name for pk, name in has.items() if pk not in wanted)
    return {"added": added, "removed": removed} if found and (added or removed) else {}
