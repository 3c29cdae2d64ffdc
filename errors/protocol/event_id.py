"""Event ids as SDKs write them."""

import re
from uuid import UUID

# Not left to UUID(): it takes braces, "urn:" and underscores as well, and dashes anywhere.
WRITTEN = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def parse(value: object) -> UUID | None:
    """The id, from 32 hexadecimal digits with or without dashes; None for all else.

    The id of nothing but zeros is none: two events that carry it are not the same event.
    """
    if not isinstance(value, str) or WRITTEN.fullmatch(value) is None:
        return None
    number = int(value.replace("-", ""), 16)
    return UUID(int=number) if number else None
