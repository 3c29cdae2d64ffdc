"""A window's report as people read it: parts with facts and tables, all of it plain text. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sysops.kernel.words import size_words, span_words

NOTHING = "–"
TITLES = {
    "alerts": "Alerts",
    "backups": "Backups",
    "checks": "Checks",
    "errors": "Errors",
    "operations": "Operations",
}
Report = Mapping[str, object]
Row = tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """One part of a report. `note` says what is not in it, or why it is empty."""

    title: str
    facts: Sequence[tuple[str, str]] = ()
    head: Row = ()
    rows: Sequence[Row] = ()
    note: str = ""
    raw: str = ""  # of a section that only its own app understands


def parts(report: Report, *, zone: str) -> list[Part]:
    """The whole report, its times in this zone. What a report of an older Sysops does not have is left out."""
    place = ZoneInfo(zone)
    found = [
        _times(_facts(report, "times"), place),
        _services(_rows(report, "services")),
        _updates(_rows(report, "updates"), place),
        _gates(_rows(report, "gates"), place),
        _notices(_rows(report, "notices"), place),
    ]
    sections, why_not = _facts(report, "sections"), _facts(report, "not_known")
    for name in sorted({*sections, *why_not}):
        found.append(_section(name, sections.get(name), _text(why_not.get(name), ""), place))
    return [part for part in found if part.facts or part.rows or part.note or part.raw]


def lines(report: Report, *, zone: str) -> Iterator[str]:
    """The report for a terminal."""
    window = _facts(report, "window")
    yield f"Window {window.get('id')}: {window.get('title')}"
    for part in parts(report, zone=zone):
        yield ""
        yield part.title
        for label, value in part.facts:
            yield f"  {label}: {value}"
        yield from _table(part)
        for more in (part.note, part.raw):
            if more:
                yield f"  {more}"


def _table(part: Part) -> Iterator[str]:
    """The rows below their heads, in columns."""
    table = [tuple(" ".join(cell.split()) for cell in row) for row in (part.head, *part.rows)] if part.rows else []
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _times(times: Report, zone: ZoneInfo) -> Part:
    planned, estimated = _number(times, "planned_duration_seconds"), _number(times, "estimated_duration_seconds")
    ended = _when(times.get("completed_at"), zone)
    facts = [
        ("First planned", f"{_when(times.get('planned_start_at'), zone)}, for {span_words(planned)}"),
        ("Last planned", f"{_when(times.get('scheduled_start_at'), zone)}, for {span_words(estimated)}"),
        ("Began", _when(times.get("actual_start_at"), zone)),
        ("Ended", ended),
        ("Took", span_words(_number(times, "actual_duration_seconds"))),
        ("Longer than planned", _late(times)),
    ]
    return Part(f"Times ({zone.key})", facts=facts)


def _late(times: Report) -> str:
    late = _number(times, "overrun_seconds")
    return "no" if late == 0 else span_words(late)


def _services(rows: Sequence[Report]) -> Part:
    shown = [
        (
            f"{_text(row.get('name'))} ({_text(row.get('slug'))})",
            "worked on" if row.get("direct") else "depends on what is worked on",
            _text(row.get("state_before")),
            _text(row.get("state_after")),
        )
        for row in rows
    ]
    return Part("Services", head=("Service", "Part", "Before", "After"), rows=shown)


def _updates(rows: Sequence[Report], zone: ZoneInfo) -> Part:
    shown = [(_when(r.get("created_at"), zone), _text(r.get("author")), _text(r.get("message"))) for r in rows]
    return Part("Updates", head=("When", "Who", "What"), rows=shown, note="" if rows else "None were posted.")


def _gates(rows: Sequence[Report], zone: ZoneInfo) -> Part:
    shown = [
        (_text(r.get("gate")), _text(r.get("state")), _text(r.get("reason")), _when(r.get("asked_at"), zone))
        for r in rows
    ]
    return Part("Gates", head=("Gate", "It said", "Because", "Asked"), rows=shown)


def _notices(rows: Sequence[Report], zone: ZoneInfo) -> Part:
    shown = [
        (
            _text(row.get("kind")).replace("_", " "),
            _when(row.get("settled_at") or row.get("due_at"), zone),
            _text(row.get("state")),
            _told(row),
        )
        for row in rows
    ]
    return Part("Who was told", head=("Of what", "When", "State", "Deliveries"), rows=shown)


def _told(row: Report) -> str:
    deliveries = row.get("deliveries")
    if not isinstance(deliveries, Mapping):
        return _text(row.get("reason"))
    return ", ".join(f"{count} {state}" for state, count in deliveries.items()) or "to nobody"


def _section(name: str, section: object, why_not: str, zone: ZoneInfo) -> Part:
    title = TITLES.get(name, name.replace("_", " ").capitalize())
    if not isinstance(section, Mapping):
        return Part(title, note=why_not or "Not known.")
    if name == "backups":
        return _backups(title, section, zone)
    if name == "alerts":
        return _alerts(title, section, zone)
    if name == "errors":
        return _errors(title, section)
    return Part(title, raw=json.dumps(section, indent=2, ensure_ascii=False, default=str))


def _backups(title: str, section: Report, zone: ZoneInfo) -> Part:
    rows = [
        (
            _text(row.get("id")),
            _text(row.get("source")),
            when,
            _when(row.get("completed_at"), zone),
            _text(row.get("backup_type")),
            f"{_text(row.get('status'))} {_text(row.get('failure_reason'), '')}".strip(),
            _text(row.get("verification")).replace("_", " "),
            size_words(_number(row, "size_bytes")),
        )
        for when, name in (("before", "before"), ("meanwhile", "taken"))
        for row in _rows(section, name)
    ]
    head = ("Backup", "Source", "Taken", "Completed", "Type", "Status", "Verification", "Size")
    taken = section.get("count")
    note = _text(section.get("why"), "") or f"{taken} taken meanwhile."
    return Part(title, head=head, rows=rows, note=note)


def _alerts(title: str, section: Report, zone: ZoneInfo) -> Part:
    rows = [
        (
            _text(row.get("title")),
            _text(row.get("level")),
            _text(row.get("service")),
            _when(row.get("raised_at"), zone),
            _when(row.get("held_back_at"), zone),
            _when(row.get("resolved_at"), zone),
        )
        for row in _rows(section, "alerts")
    ]
    head = ("Alert", "Level", "Service", "Noticed", "Held back", "Over")
    left = _number(section, "left_off")
    note = (
        f"{_text(section.get('total'))} were open, {_text(section.get('raised'))} of them new, "
        f"{_text(section.get('held_back'))} held back." + (f" {left:.0f} are not shown." if left else "")
    )
    return Part(title, head=head, rows=rows, note=note)


def _errors(title: str, section: Report) -> Part:
    facts = [(name.capitalize(), _span(_facts(section, name))) for name in ("before", "during", "after")]
    names = ("id", "error_type", "error_message", "severity", "status", "events_before", "events_during")
    rows = [tuple(_text(row.get(name)) for name in names) for row in _rows(section, "issues")]
    head = ("Issue", "Type", "Message", "Severity", "Status", "Events before", "Meanwhile")
    return Part(title, facts=facts, head=head, rows=rows, note=_text(section.get("why"), ""))


def _span(figures: Report) -> str:
    if not figures:
        return "not known when this report was made"
    events, issues, new = (_text(figures.get(name)) for name in ("events", "issues", "new_issues"))
    return f"{events} event{_s(events)} of {issues} issue{_s(issues)}, {new} new"


def _s(count: str) -> str:
    return "" if count == "1" else "s"


def _facts(report: Report, name: str) -> Report:
    found = report.get(name)
    return found if isinstance(found, Mapping) else {}


def _rows(report: Report, name: str) -> list[Report]:
    found = report.get(name)
    return [row for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []


def _text(value: object, otherwise: str = NOTHING) -> str:
    return otherwise if value is None or value == "" else str(value)


def _number(report: Report, name: str) -> float | None:
    value = report.get(name)
    return value if isinstance(value, int | float) else None


def _when(value: object, zone: ZoneInfo) -> str:
    if not isinstance(value, str):
        return NOTHING
    try:
        return f"{datetime.fromisoformat(value).astimezone(zone):%Y-%m-%d %H:%M}"
    except ValueError:
        return value
