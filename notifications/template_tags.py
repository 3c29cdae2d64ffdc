"""The tags and filters that the words of messages may use: nothing that reads files, settings or a request."""

from datetime import datetime

from django.template import Library, defaultfilters, defaulttags
from django.template.loader_tags import do_include
from django.utils import timezone

register = Library()

for name in ("comment", "firstof", "for", "if", "with"):
    register.tag(name, defaulttags.register.tags[name])
register.tag("include", do_include)  # of the parts shipped in words/: the engine knows no other files
for name in (
    *("capfirst", "default", "default_if_none", "escape", "first", "join", "last", "length", "linebreaks"),
    *("linebreaksbr", "lower", "pluralize", "title", "truncatechars", "upper", "yesno"),
):
    register.filters[name] = defaultfilters.register.filters[name]


@register.filter(expects_localtime=False)
def when(value: object) -> str:
    """A time in the recipient's zone: "Fri 15 Jan 2027, 02:00 GMT". What is no time stays as it is."""
    moment = _moment(value)
    return _text(value) if moment is None else f"{_day(moment)}, {moment:%H:%M} {_zone(moment)}"


@register.filter(expects_localtime=False)
def span(start: object, end: object) -> str:
    """Two times in the recipient's zone: "Fri 15 Jan 2027, 02:00–04:00 GMT"; only the first when there is no second."""
    begins, ends = _moment(start), _moment(end)
    if begins is None or ends is None:
        return when(start)
    zone = "" if _zone(begins) == _zone(ends) else f" {_zone(begins)}"
    day = "" if begins.date() == ends.date() else f"{_day(ends)}, "
    gap = "–" if not day and not zone else " – "
    return f"{_day(begins)}, {begins:%H:%M}{zone}{gap}{day}{ends:%H:%M} {_zone(ends)}"


def _moment(value: object) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        return None
    return timezone.localtime(value)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _day(moment: datetime) -> str:
    return f"{moment:%a} {moment.day} {moment:%b} {moment.year}"


def _zone(moment: datetime) -> str:
    name = moment.tzname() or ""
    return name if name[:1].isalpha() else f"UTC{moment:%z}"
