"""Bars as SVG, made here: no script draws them, and a sentence says what they show to those who do not see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

SPARK_WIDTH, SPARK_HEIGHT = 96, 24
WIDTH, HEIGHT = 720, 120


@dataclass(frozen=True)
class Span:
    """How far back a chart looks, and how many hours one bar stands for."""

    key: str
    words: str
    hours: int
    per_bar: int


SPANS = (
    Span("day", "24 hours", 24, 1),
    Span("week", "7 days", 7 * 24, 4),
    Span("month", "30 days", 30 * 24, 24),
)


def span_of(key: str) -> Span:
    """The span of that name; the first for any other."""
    return next((span for span in SPANS if span.key == key), SPANS[0])


def sparkline(counts: Sequence[int], *, what: str = "event") -> SafeString:
    """Hourly counts, the oldest first, as a small row of bars."""
    return format_html(
        '<svg class="so-spark" viewBox="0 0 {} {}" width="{}" height="{}" preserveAspectRatio="none" role="img"'
        ' aria-label="{words}"><title>{words}</title><path class="so-bar-none" d="M0 {foot}h{}v1H0z"></path>'
        '<path class="so-bar-some" d="{bars}"></path></svg>',
        SPARK_WIDTH,
        SPARK_HEIGHT,
        SPARK_WIDTH,
        SPARK_HEIGHT,
        SPARK_WIDTH,
        foot=SPARK_HEIGHT - 1,
        words=hours_words(counts, what=what),
        bars=_outline(counts),
    )


def _outline(counts: Sequence[int]) -> str:
    """All bars of a sparkline as one path: a list has fifty of them."""
    step, most = SPARK_WIDTH / max(len(counts), 1), max([*counts, 1])
    wide = step - min(2.0, step / 4)
    bars = [(i * step, max(3.0, count / most * SPARK_HEIGHT)) for i, count in enumerate(counts) if count]
    return "".join(f"M{x:.1f} {SPARK_HEIGHT}v-{tall:.1f}h{wide:.1f}v{tall:.1f}z" for x, tall in bars)


def hours_words(counts: Sequence[int], *, what: str = "event") -> str:
    """What a row of hourly counts says: how many in all, and when the most."""
    total = sum(counts)
    if not total:
        return f"No {what}s in the last {len(counts)} hours"
    if total == (most := max(counts)):
        return f"{_many(total, what)} in the last {len(counts)} hours, {_all(total)}{_ago(counts, most)}"
    return f"{_many(total, what)} in the last {len(counts)} hours; the most, {most:,}, {_ago(counts, most)}"


def _ago(counts: Sequence[int], most: int) -> str:
    ago = len(counts) - 1 - max(i for i, count in enumerate(counts) if count == most)
    return "in this hour" if ago == 0 else f"{ago} h ago"


def per_bar(counts: Sequence[int], span: Span) -> list[int]:
    """Hourly counts added up for each bar; the first bar may stand for less than the others."""
    short = len(counts) % span.per_bar
    head = [sum(counts[:short])] if short else []
    return head + [sum(counts[i : i + span.per_bar]) for i in range(short, len(counts), span.per_bar)]


def chart(counts: Sequence[int], span: Span, *, now: datetime, what: str = "event") -> SafeString:
    """The counts of a span's hours, the oldest first, as bars with their own words when pointed at."""
    bars = per_bar(counts, span)
    return format_html(
        '<svg class="so-chart" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{words}">'
        "<title>{words}</title>{bars}</svg>",
        WIDTH,
        HEIGHT,
        words=chart_words(bars, span, now=now, what=what),
        bars=_bars(bars, width=WIDTH, height=HEIGHT, words=_labels(bars, span, now=now, what=what)),
    )


def chart_words(bars: Sequence[int], span: Span, *, now: datetime, what: str = "event") -> str:
    """What a chart says, in a sentence."""
    total = sum(bars)
    if not total:
        return f"No {what}s in the last {span.words}"
    most = max(bars)
    when = _when(len(bars), bars.index(most), span, now=now)
    if most == total:
        return f"{_many(total, what)} in the last {span.words}, {_all(total)}from {when}"
    return f"{_many(total, what)} in the last {span.words}; the most, {most:,}, from {when}"


def _labels(bars: Sequence[int], span: Span, *, now: datetime, what: str) -> list[str]:
    return [f"{_when(len(bars), i, span, now=now)}: {_many(count, what)}" for i, count in enumerate(bars)]


def _when(bars: int, index: int, span: Span, *, now: datetime) -> str:
    """The time a bar stands for; what has not yet been is no part of it."""
    begins = _begin(bars, index, span, now=now)
    ends = begins + timedelta(hours=span.per_bar)
    if ends > now:
        return f"{begins:%a %d %b %H:%M} UTC until now"
    return f"{begins:%a %d %b %H:%M} to {ends:%H:%M} UTC"


def _begin(bars: int, index: int, span: Span, *, now: datetime) -> datetime:
    """When a bar begins: the last one ends with the hour that runs."""
    end = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return end - timedelta(hours=span.per_bar * (bars - index))


def _all(count: int) -> str:
    return "" if count == 1 else "both " if count == 2 else "all of them "


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _bars(counts: Sequence[int], *, width: int, height: int, words: Sequence[str] = ()) -> SafeString:
    """One rectangle each; an empty hour keeps a line at the foot, so that the time is seen to go on."""
    if not counts:
        return SafeString("")
    step, most = width / len(counts), max([*counts, 1])
    gap = min(2.0, step / 4)
    return format_html_join(
        "",
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}">{}</rect>',
        (
            (
                "so-bar-some" if count else "so-bar-none",
                f"{i * step:.2f}",
                f"{height - tall:.2f}",
                f"{step - gap:.2f}",
                f"{tall:.2f}",
                format_html("<title>{}</title>", words[i]) if words else "",
            )
            for i, count in enumerate(counts)
            for tall in [max(3.0, count / most * height) if count else 1.0]
        ),
    )
