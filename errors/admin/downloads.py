"""What somebody else sent, handed on as a file: never shown, never guessed at, never run."""

import re

from django.http import HttpResponse
from django.utils.http import content_disposition_header

LONGEST_NAME = 120
# Paths, quotes, controls, and marks that make "exe.txt" of "txt.exe".
_UNWANTED = re.compile('[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff/\\\\:*?"<>|;%]')


def safe_name(name: str, *, otherwise: str = "file") -> str:
    """The name without anything a shell, a header or an eye could take amiss."""
    cleaned = _UNWANTED.sub("_", name).encode("utf-8", "replace").decode().strip(". ")
    return cleaned[-LONGEST_NAME:] or otherwise


def download(body: bytes, *, name: str) -> HttpResponse:
    """The bytes as a download, whatever they say they are."""
    answer = HttpResponse(body, content_type="application/octet-stream")
    answer["Content-Disposition"] = content_disposition_header(True, safe_name(name)) or "attachment"
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = "sandbox; default-src 'none'"
    answer["Cache-Control"] = "private, no-store"
    return answer
