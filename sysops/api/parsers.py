"""JSON in: strict, so that nothing reaches a serializer or the database that neither can hold."""

import json
import math
from collections.abc import Mapping
from typing import IO, Never

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from sysops.api.problems import GENERAL, TooLarge, invalid


class JSONParser(BaseParser):
    """One JSON object in UTF-8. Refused: lists and bare values, NaN, doubled names, NUL, half characters."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, object] | None = None
    ) -> dict[str, object]:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0
        raw = stream.read(limit + 1) if limit else stream.read()
        if limit and len(raw) > limit:
            raise TooLarge(f"The body has more than {limit} bytes.")
        try:
            value = json.loads(
                raw.decode("utf-8-sig"), parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_object
            )
        except UnicodeDecodeError:
            raise ParseError("The body is not UTF-8.") from None
        except RecursionError:
            raise ParseError("The body is nested too deeply.") from None
        except ValueError as exc:  # also numbers of thousands of digits
            raise ParseError(f"The body is not JSON: {exc}") from None
        if not isinstance(value, dict):
            raise ParseError("The body must be a JSON object.")
        bad = {str(name): text for name, item in value.items() if (text := _unstorable([name, item]))}
        if bad:
            raise invalid({name if not _unstorable(name) else GENERAL: text for name, text in bad.items()})
        return value


def _unstorable(value: object) -> str | None:
    """Why PostgreSQL could not store some text in `value`, or None. Escapes smuggle these into valid JSON."""
    encoded = json.dumps(value, ensure_ascii=False)
    if "\\u0000" in encoded and _has_nul(value):
        return "Must not contain a NUL character."
    try:
        encoded.encode()
    except UnicodeEncodeError:
        return "Must not contain half a character (a lone surrogate)."
    return None


def _has_nul(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_has_nul(item) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return any(_has_nul(item) for item in value)
    return isinstance(value, str) and "\0" in value


def _refuse(name: str) -> Never:
    raise ValueError(f"{name} is not a number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return found
