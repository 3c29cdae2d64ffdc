"""Sign-ins, and changes of Django's own users and groups, in the audit log.

Signals, because these rows are not ours: the admin, password forms, commands and shells all write them.
"""

from typing import TypedDict, cast

from django.contrib.auth.models import Group, User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import models
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save
from django.http import HttpRequest
from django.utils import timezone

from sysops.access import audit
from sysops.access.actors import Actor, current_actor
from sysops.access.requests import request_actor

_BEFORE = "_audit_before"
_NOT_A_CHANGE = ("last_login",)  # written by each sign-in, which has its own entry
_LINKS = {
    User.groups.through: "groups",
    User.user_permissions.through: "user_permissions",
    Group.permissions.through: "permissions",
}


class _Saved(TypedDict):
    instance: models.Model
    raw: bool


def connect() -> None:
    """Listen. Connecting twice is the same as once."""
    user_logged_in.connect(_signed_in, dispatch_uid="audit")
    user_logged_out.connect(_signed_out, dispatch_uid="audit")
    user_login_failed.connect(_sign_in_failed, dispatch_uid="audit")
    for model in (User, Group):
        pre_save.connect(_remember, sender=model, dispatch_uid="audit")
        post_save.connect(_saved, sender=model, dispatch_uid="audit")
        post_delete.connect(_deleted, sender=model, dispatch_uid="audit")
    for link in _LINKS:
        m2m_changed.connect(_links_changed, sender=link, dispatch_uid="audit")


def _signed_in(*, request: HttpRequest, user: User, **_: object) -> None:
    by = Actor.user(user.get_username(), address=request_actor(request).address)
    audit.record("access.signed_in", by=by, subject=user, at=timezone.now())


def _signed_out(*, request: HttpRequest, user: User | None, **_: object) -> None:
    if user is None:
        return
    by = Actor.user(user.get_username(), address=request_actor(request).address)
    audit.record("access.signed_out", by=by, subject=user, at=timezone.now())


def _sign_in_failed(*, credentials: dict[str, object], request: HttpRequest | None = None, **_: object) -> None:
    by = request_actor(request) if request is not None else current_actor()
    name = str(credentials.get("username", ""))
    audit.record("access.sign_in_failed", by=by, subject=f"user {name}", at=timezone.now())


def _remember(*, instance: models.Model, raw: bool, **_: object) -> None:
    """Keep what the row was; a fixture being loaded (`raw`) is no change by anybody."""
    if raw or instance.pk is None:
        return
    old = type(instance)._default_manager.filter(pk=instance.pk).first()
    instance.__dict__[_BEFORE] = audit.snapshot(old, exclude=_NOT_A_CHANGE) if old else None


def _saved(*, instance: models.Model, created: bool, raw: bool, **_: object) -> None:
    before = instance.__dict__.pop(_BEFORE, None)
    if raw:
        return
    after = audit.snapshot(instance, exclude=_NOT_A_CHANGE)
    if created or before is None:
        _note(instance, "created", None, after)
        return
    old, new = audit.differences(before, after)
    if new:
        _note(instance, "changed", old, new)


def _deleted(*, instance: models.Model, **_: object) -> None:
    _note(instance, "deleted", audit.snapshot(instance, exclude=_NOT_A_CHANGE), None)


def _links_changed(
    *, sender: type[models.Model], instance: models.Model, action: str, pk_set: set[int] | None, **kwargs: object
) -> None:
    """Membership and permissions. `reverse` (group.user_set.add) names the users from the group's side."""
    if action not in ("post_add", "post_remove", "pre_clear") or (pk_set is not None and not pk_set):
        return
    field = "users" if kwargs["reverse"] else _LINKS[sender]
    model = cast(type[models.Model], kwargs["model"])
    if action == "pre_clear":
        manager = getattr(instance, "user_set" if kwargs["reverse"] and isinstance(instance, Group) else field)
        names = sorted(str(row) for row in manager.all())
    else:
        names = sorted(str(row) for row in model._default_manager.filter(pk__in=pk_set))
    change: dict[str, object] = {field: names}
    if action == "post_add":
        _note(instance, f"{field}_added", None, change)
    elif names:
        _note(instance, f"{field}_removed", change, None)


def _note(row: models.Model, what: str, before: dict[str, object] | None, after: dict[str, object] | None) -> None:
    action = f"access.{row._meta.model_name}.{what}"
    audit.record(action, by=current_actor(), subject=row, at=timezone.now(), before=before, after=after)
