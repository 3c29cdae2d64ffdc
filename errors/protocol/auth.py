"""Where a report carries its key."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

LONGEST = 128  # our keys have 32 digits; what is longer is not looked at
FIELD = re.compile(r"(?:^|[\s,])sentry_key\s*=\s*([^\s,]+)", re.IGNORECASE)
WELL_FORMED = re.compile(r"[0-9a-f]{32}")


def public_key(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """The key of a request, from X-Sentry-Auth, Authorization or ?sentry_key=; None: it carries none.

    Names of headers are in lower case. A well-formed key is taken before what cannot be one, wherever it stands:
    a proxy's own Authorization must not hide the key in the query.
    """
    found = [
        key
        for key in (
            _of_field(headers.get("x-sentry-auth", "")),
            _of_authorization(headers.get("authorization", "")),
            _tidy(query.get("sentry_key", "")),
        )
        if key
    ]
    return next((key for key in found if WELL_FORMED.fullmatch(key)), found[0] if found else None)


def key_of_dsn(dsn: object) -> str | None:
    """The key in `https://<key>@host/1`, also of the old form with a secret; None when there is none."""
    if not isinstance(dsn, str) or len(dsn) > 1_000:
        return None
    try:
        name = urlsplit(dsn.strip()).username
    except ValueError:
        return None
    return _tidy(name or "")


def _of_authorization(value: str) -> str | None:
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() == "sentry":
        return _of_field(rest)
    return key_of_dsn(rest) if scheme.lower() == "dsn" else None


def _of_field(value: str) -> str | None:
    if len(value) > 4_096:
        return None
    found = FIELD.search(value)
    return _tidy(found.group(1)) if found else None


def _tidy(key: str) -> str | None:
    key = key.strip().strip("\"'").split(":")[0].lower()
    return key if 0 < len(key) <= LONGEST else None
