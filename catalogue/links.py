"""Addresses of our public pages, for messages, and what their signed tokens stand for.

The token is the whole authority: whoever holds it may do that one thing. It holds keys only, and no secret.
"""

from dataclasses import dataclass

from django.conf import settings
from django.core import signing

from catalogue.models import Subscription
from catalogue.subscribing import LINK_LIVES

_CONFIRM = "catalogue.subscription.confirm"
_END = "catalogue.subscription.end"


class BadLink(Exception):
    """The link was not made by us, or was cut off on its way."""


class OldLink(BadLink):
    """The link was made by us, too long ago."""


@dataclass(frozen=True)
class Ending:
    """What an unsubscribe link may end: one subscription, or all of an outside address."""

    subscription: int | None = None
    email: str = ""


def base_url() -> str:
    """Where people reach Sysops, without a slash at the end."""
    env = settings.ENV
    if env.public_url:
        return str(env.public_url).rstrip("/")
    host = "localhost" if env.host in ("0.0.0.0", "::") else env.host  # noqa: S104 - compared, not listened on
    return f"http://[{host}]:{env.port}" if ":" in host else f"http://{host}:{env.port}"


def confirm_url(subscription: Subscription) -> str:
    """The link that proves whose mailbox it is. Works for three days."""
    token = signing.dumps(subscription.pk, salt=_CONFIRM)
    return f"{base_url()}/subscriptions/confirm/{token}"


def unsubscribe_url(what: Subscription | str) -> str:
    """The link that ends one subscription, or all those of an outside e-mail address. Works for ever, by one-click
    POST (RFC 8058) too."""
    token = signing.dumps(what.lower() if isinstance(what, str) else what.pk, salt=_END)
    return f"{base_url()}/subscriptions/end/{token}"


def read_confirm(token: str) -> int:
    """The key of the subscription to confirm. Raises BadLink, OldLink."""
    return int(_read(token, salt=_CONFIRM, max_age=int(LINK_LIVES.total_seconds())))


def read_end(token: str) -> Ending:
    """What may be ended. Raises BadLink."""
    value = _read(token, salt=_END, max_age=None)
    return Ending(subscription=value) if isinstance(value, int) else Ending(email=value)


def _read(token: str, *, salt: str, max_age: int | None) -> int | str:
    try:
        value: int | str = signing.loads(token, salt=salt, max_age=max_age)
    except signing.SignatureExpired:
        raise OldLink("This link is too old.") from None
    except signing.BadSignature:
        raise BadLink("This link is not complete, or not from here.") from None
    return value
