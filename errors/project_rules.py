"""What the settings of a project may be. Pure."""

import re
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

SLUG = r"[a-z0-9]+(?:-[a-z0-9]+)*"
LONGEST_SLUG = 64
NO_SLUG = f"Use lower-case letters, digits and single hyphens, such as shop-web; at most {LONGEST_SLUG} characters."
MOST_ENTRIES = 100
LONGEST_ENTRY = 200
_HOST = re.compile(r"[A-Za-z0-9._-]+(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?")


def slug_problem(value: str) -> str | None:
    """Why this cannot be the slug of a project; None when it can."""
    return None if len(value) <= LONGEST_SLUG and re.fullmatch(SLUG, value) else NO_SLUG


def origins_problem(value: object) -> str | None:
    """Why this cannot be the list of web pages that may report; None when it can."""
    return _list_problem(value, _origin_problem)


def fields_problem(value: object) -> str | None:
    """Why this cannot be the list of names of fields to mask; None when it can."""
    return _list_problem(value, lambda entry: None if entry.strip() else "An entry is empty.")


def _list_problem(value: object, problem: Callable[[str], str | None]) -> str | None:
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(one, str) for one in value):
        return "Must be a list of texts."
    if len(value) > MOST_ENTRIES:
        return f"At most {MOST_ENTRIES} entries, not {len(value)}."
    if any(len(entry) > LONGEST_ENTRY or "\0" in entry for entry in value):
        return f"Each entry has at most {LONGEST_ENTRY} characters, and no NUL."
    return next((found for entry in value if (found := problem(entry))), None)


def _origin_problem(entry: str) -> str | None:
    try:
        parts = urlsplit(entry)
    except ValueError:  # an address in brackets that is none
        return f"{entry!r} is no origin: write it like https://shop.example."
    whole = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.netloc) or entry != whole:
        return f"{entry!r} is no origin: write it like https://shop.example, without a path or a slash at the end."
    return None
