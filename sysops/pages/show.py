"""How values look in the admin: always a word, the colour only underlines it. Everything is escaped."""

from datetime import UTC, datetime, timedelta

from django.utils.html import format_html
from django.utils.safestring import SafeString

from sysops.kernel.clock import utc_now
from sysops.kernel.words import ago_words, size_words, span_words, utc_words

NOTHING = format_html('<span class="so-nothing">{}</span>', "–")


def pill(tone: str, words: str) -> SafeString:
    """A word on a coloured ground; a tone (good, bad, warn, run, wait, off) is a class of static/sysops/admin.css."""
    return format_html('<span class="so-pill so-{}">{}</span>', tone, words)


def icon(name: str) -> SafeString:
    return format_html('<span class="material-symbols-outlined so-icon" aria-hidden="true">{}</span>', name)


def size(count: object) -> SafeString:
    """A size in words, the exact figure in its title."""
    if not isinstance(count, int | float):
        return NOTHING
    return format_html('<span class="so-figure" title="{} bytes">{}</span>', f"{count:,.0f}", size_words(count))


def when(moment: datetime | None) -> SafeString:
    """A moment in UTC and how long ago it was; the page's script adds the reader's own time to the title."""
    if moment is None:
        return NOTHING
    exact = moment.astimezone(UTC)
    return format_html(
        '<time class="so-when" datetime="{}" title="{}"><span>{}</span> <small>{}</small></time>',
        exact.isoformat(timespec="seconds"),
        f"{exact:%Y-%m-%d %H:%M:%S} UTC",
        utc_words(moment),
        ago_words(moment, now=utc_now()),
    )


def span(value: timedelta | float | None) -> SafeString:
    """A span in words, the exact seconds in its title."""
    if value is None:
        return NOTHING
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    return format_html('<span class="so-figure" title="{} s">{}</span>', f"{seconds:,.1f}", span_words(value))


def took(start: datetime | None, end: datetime | None) -> SafeString:
    """How long something that has ended took."""
    return span(end - start if start and end else None)
