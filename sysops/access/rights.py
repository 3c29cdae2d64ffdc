"""What may be done, declared once by name and held by roles. Whatever nobody declared is refused.

rights.declare("backups.request", roles=[OPERATOR], description="Ask for a backup")
has_right(request.user, "backups.request")
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, PermissionsMixin

from sysops.access.principals import TokenPrincipal
from sysops.access.roles import ADMIN, APPROVER, OPERATOR, SECURITY, VIEWER, Role, including
from sysops.kernel.registry import AlreadyRegistered, Registry

__all__ = ["ADMIN", "APPROVER", "OPERATOR", "SECURITY", "VIEWER", "Right", "declare", "has_right", "rights_of"]

_NAME = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+")
CODENAME_LIMIT = 100  # of Django's permission table


@dataclass(frozen=True)
class Right:
    """One thing that may be done. `roles` are those named in the declaration; roles that include them have it too."""

    name: str
    description: str
    roles: frozenset[Role]

    def held_by(self, role: Role) -> bool:
        return not self.roles.isdisjoint(including(role))


rights: Registry[Right] = Registry("right")


def declare(name: str, *, roles: Collection[Role], description: str) -> Right:
    """Make a right known and say which roles have it. Saying the same again does nothing.

    Raises AlreadyRegistered when it was declared differently.
    """
    if not _NAME.fullmatch(name) or len(name) > CODENAME_LIMIT:
        raise ValueError(f"{name!r} is no name for a right; it should look like 'backups.request'")
    right = Right(name, description, frozenset(roles))
    if name in rights:
        known = rights.get(name)
        if known != right:
            raise AlreadyRegistered(f"The right {name!r} is declared already, differently")
        return known
    rights.register(name, right)
    return right


def has_right(user: AbstractBaseUser | AnonymousUser | TokenPrincipal | object, name: str) -> bool:
    """Whether a user or token may do what the right `name` stands for. Raises UnknownName for an undeclared right."""
    right = rights.get(name)
    if isinstance(user, TokenPrincipal):
        return right.held_by(user.role) and (user.owner is None or has_right(user.owner, name))
    if isinstance(user, PermissionsMixin):
        return user.has_perm(f"access.{right.name}")  # superusers have all, inactive users none
    return False


def rights_of(role: Role) -> frozenset[str]:
    """The names of all rights a role has."""
    return frozenset(name for name, right in rights if right.held_by(role))
