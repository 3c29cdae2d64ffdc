"""Secrets found by the name of the field they stand in, before a record keeps them for years."""

import re
from collections.abc import Mapping

from sysops.kernel.redaction import MASK, redact

_SECRET_NAME = re.compile(
    r"(?:^|[_\-. ])"
    r"(?:password|passwd|passphrase|pwd|secret|token|credentials?|dsn|(?:api|private|access|secret)[_-]?key)"
    r"(?:_(?:hash|value|sealed))?$",
    re.I,
)


def is_secret_name(name: str) -> bool:
    """Whether a field called `name` holds a secret ("db_password", "api-key"; not "token_id")."""
    return _SECRET_NAME.search(name) is not None


def masked(value: object) -> object:
    """The same JSON value with secrets replaced: fields by their name, text by what looks like a secret."""
    if isinstance(value, Mapping):
        return {key: _field(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    return redact(value) if isinstance(value, str) else value


def secret_names(value: object) -> list[str]:
    """The fields anywhere in a JSON value whose name says that they hold a secret."""
    if isinstance(value, Mapping):
        here = [str(key) for key in value if is_secret_name(str(key))]
        return here + [name for item in value.values() for name in secret_names(item)]
    if isinstance(value, list | tuple):
        return [name for item in value for name in secret_names(item)]
    return []


def _field(name: str, value: object) -> object:
    if is_secret_name(name):
        return value if value is None or value == "" else MASK
    return masked(value)
