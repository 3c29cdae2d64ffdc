"""Secrets taken out of text before anybody reads it."""

import re
from collections.abc import Iterable

MASK = "[redacted]"

_PATTERNS = [
    (re.compile(r"(?P<head>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(?P<tail>@)", re.I), rf"\g<head>{MASK}\g<tail>"),
    (
        re.compile(
            r"(?P<head>\b(?:password|passwd|pwd|secret|token|api_?key|secret_?key|pgpassword)\b[\"']?\s*[=:]\s*)"
            r"(?:\"[^\"]*\"|'[^']*'|[^\s,;&\"']+)",
            re.I,
        ),
        rf"\g<head>{MASK}",
    ),
    (re.compile(r"(?P<head>\b(?:bearer|basic)\s+)[a-z0-9._~+/=-]{8,}", re.I), rf"\g<head>{MASK}"),
]


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without the given secrets and without what looks like one (URL passwords, `password=`, bearer tokens)."""
    for secret in sorted({s for s in secrets if s}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
