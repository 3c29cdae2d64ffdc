"""Lines of headers: one JSON object each, read as leniently as can be without guessing."""

import json
import math

import orjson

MANY_BRACKETS = 200  # below this nothing is nested too deeply for orjson to write it again


def parse(line: bytes) -> dict[str, object] | None:
    """The object in a line; None when there is none.

    Half a surrogate pair, as JavaScript's cut strings have it, bytes that are not UTF-8, NaN and numbers beyond all
    bounds cost the value, not the envelope.
    """
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        found = _mended(line)
    if not isinstance(found, dict) or (_brackets(line) > MANY_BRACKETS and not _writable(found)):
        return None
    return found


def _brackets(line: bytes) -> int:
    return line.count(b"{") + line.count(b"[")


def _mended(line: bytes) -> object:
    try:
        found = json.loads(
            line.decode("utf-8", "replace"), parse_constant=lambda _: None, parse_float=_finite, parse_int=_whole
        )
        return orjson.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _whole(digits: str) -> int | float | None:
    return int(digits) if len(digits) < 20 else _finite(digits)  # Python refuses to read thousands of digits


def _writable(found: dict[str, object]) -> bool:
    try:
        orjson.dumps(found)
    except orjson.JSONEncodeError:
        return False
    return True
