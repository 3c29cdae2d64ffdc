"""Secrets taken out of text before anybody reads it."""

import re
from collections.abc import Iterable

MASK = "[redacted]"

_EXAMPLE = r"(?!(?<=//user:)password@host(?![\w.-]))"  # what our own hints show to be typed is no secret
_PATTERNS = [
    (
        re.compile(rf"(?P<head>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:){_EXAMPLE}[^\s@/]+(?P<tail>@)", re.I),
        rf"\g<head>{MASK}\g<tail>",
    ),
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
