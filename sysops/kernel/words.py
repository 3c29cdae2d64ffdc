"""Sizes, spans and moments as people say them. Pure."""

from datetime import UTC, datetime, timedelta

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
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
