"""What the platform does with tokens. Every write to ApiToken starts here."""

import hashlib
import secrets
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from sysops.access import audit
from sysops.access.actors import Actor
from sysops.access.models import ApiToken
from sysops.access.principals import TokenPrincipal
from sysops.access.rights import has_right, rights_of
from sysops.access.roles import Role

MARK = "sysops_"  # lets secret scanners find a leaked token
SHOWN = len(MARK) + 6
USE_NOTED_EVERY = timedelta(minutes=1)
LONGEST_LIFE = timedelta(days=3650)
NAME_LIMIT = 100


class BadToken(Exception):
    """The token asked for cannot be made; `field` says which part is wrong."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class TooMuchPower(Exception):
    """Somebody wanted to give away rights that they do not have themselves."""


def create_token(
    name: str,
    *,
    role: Role,
    ttl: timedelta | None,
    by: Actor,
    at: datetime,
    owner: User | None = None,
    giver: User | TokenPrincipal | None = None,
) -> tuple[ApiToken, str]:
    """A new token, and its text, which is kept nowhere: show it once. `ttl` None never expires.

    `giver` is the user or token that asks, and can pass on only rights of its own; None for a command of the
    machine's owner. Raises BadToken and TooMuchPower.
    """
    if not name.strip() or len(name) > NAME_LIMIT or "\0" in name:
        raise BadToken("The name must have 1 to 100 characters", field="name")
    if ttl is not None and not timedelta(0) < ttl <= LONGEST_LIFE:
        raise BadToken(f"The life must be 1 second to {LONGEST_LIFE.days} days", field="ttl_seconds")
    if giver is not None and (beyond := rights_beyond(giver, role)):
        raise TooMuchPower(f"The role {role} includes rights you do not have: {', '.join(beyond)}")
    plain = MARK + secrets.token_urlsafe(32)
    with transaction.atomic():
        token = ApiToken.objects.create(
            name=name.strip(),
            prefix=plain[:SHOWN],
            hash=hashed(plain),
            role=role.value,
            owner=owner,
            created_at=at,
            created_by=by.name,
            expires_at=at + ttl if ttl is not None else None,
        )
        audit.record("access.token.created", by=by, subject=token, at=at, after=_facts(token))
    return token, plain


def rights_beyond(giver: User | TokenPrincipal, role: Role) -> list[str]:
    """The rights of a role that `giver` does not have, and so cannot pass on."""
    return sorted(right for right in rights_of(role) if not has_right(giver, right))


def revoke_token(*, token: ApiToken, by: Actor, at: datetime) -> bool:
    """End a token at once. False when it had been revoked before."""
    with transaction.atomic():
        if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=at) != 1:
            return False
        token.revoked_at = at
        audit.record("access.token.revoked", by=by, subject=token, at=at, after={"revoked_at": at})
    return True


def principal_of(plain: str, *, at: datetime) -> TokenPrincipal | None:
    """Who a token speaks for; None when it is unknown, expired, revoked, or its owner may not sign in any more."""
    token = ApiToken.objects.select_related("owner").filter(hash=hashed(plain)).first()
    if token is None or not token.usable(at=at) or (token.owner and not token.owner.is_active):
        return None
    if not token.used_recently(at=at, within=USE_NOTED_EVERY):
        # Conditional, so that of many requests at once one writes.
        unnoted = Q(last_used_at=None) | Q(last_used_at__lte=at - USE_NOTED_EVERY)
        ApiToken.objects.filter(unnoted, pk=token.pk).update(last_used_at=at)
    return TokenPrincipal(pk=token.pk, name=f"{token.name} ({token.prefix}…)", role=Role(token.role), owner=token.owner)


def hashed(plain: str) -> str:
    """What is stored of a token. Its 256 random bits make a slow hash needless, and a look-up by the hash
    tells nothing about the token through its timing."""
    return hashlib.sha256(plain.encode()).hexdigest()


def _facts(token: ApiToken) -> dict[str, object]:
    return {
        "name": token.name,
        "role": token.role,
        "prefix": token.prefix,
        "owner": token.owner.get_username() if token.owner else None,
        "expires_at": token.expires_at,
    }
