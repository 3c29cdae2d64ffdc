"""What stands in `request.user` when a request came with a token."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sysops.access.roles import Role

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True)
class TokenPrincipal:
    """A token as the sender of a request: enough of a user for DRF, and no more.

    It may do what its role may, and never more than its owner may when it has one.
    """

    pk: int
    name: str
    role: Role
    owner: "User | None" = field(default=None, repr=False)

    is_authenticated = True
    is_active = True
    is_anonymous = False
    is_staff = False
    is_superuser = False

    @property
    def id(self) -> int:
        return self.pk

    def get_username(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Django's permissions are for people; a token is asked through has_right."""
        return False

    def has_perms(self, perms: Iterable[str], obj: object = None) -> bool:
        return False

    def has_module_perms(self, app_label: str) -> bool:
        return False
