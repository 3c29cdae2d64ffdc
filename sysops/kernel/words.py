"""Sizes, spans and moments as people say them. Pure."""

import re
from datetime import UTC, datetime, timedelta

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_SECONDS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PART = re.compile(r"([0-9]{1,9})\s*([a-z]+)[\s,]*")
_SPAN = re.compile(rf"(?:{_PART.pattern})+")
_SPANS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def size_words(count: float | None) -> str:
    """Bytes with three digits and a unit ("1.24 GB"); "not known" when nothing was measured."""
    if count is None:
        return "not known"
    value, unit = float(count), 0
    while abs(value) >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 0 if unit == 0 or abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{digits}f} {_UNITS[unit]}"


def span_words(span: timedelta | float | None) -> str:
    """A span in its two largest units ("3 h 20 min"); "not known" when it was not measured."""
    if span is None:
        return "not known"
    exact = span.total_seconds() if isinstance(span, timedelta) else float(span)
    if exact < 0:
        return f"-{span_words(-exact)}"
    if exact < 9.95 and not exact.is_integer():
        return f"{exact:.1f} s"
    seconds = round(exact)
    for large, large_word, small, small_word in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= large:
            rest = seconds % large // small
            return f"{seconds // large} {large_word}" + (f" {rest} {small_word}" if rest else "")
    return f"{seconds} s"


def read_span(text: str) -> int | None:
    """The seconds of a span as people write it ("1 h 30 min", "2h30m", "1w"); None when it is none."""
    if not _SPAN.fullmatch(text.strip()):
        return None
    parts = _PART.findall(text)
    sizes = [_SECONDS.get(unit) for _, unit in parts]
    if None in sizes or len(set(sizes)) < len(sizes):  # one unit twice is a slip
        return None
    return sum(int(count) * _SECONDS[unit] for count, unit in parts)


def ago_words(then: datetime, *, now: datetime) -> str:
    """How long ago, or how soon, in one unit ("3 h ago", "in 25 min", "just now")."""
    seconds = (now - then).total_seconds()
    if abs(seconds) < 5:
        return "just now"
    size, word = next((pair for pair in _SPANS if abs(seconds) >= pair[0]), _SPANS[-1])
    count = int(abs(seconds) // size)
    return f"{count} {word} ago" if seconds > 0 else f"in {count} {word}"


def utc_words(moment: datetime) -> str:
    """The moment in UTC to the minute, saying so."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
