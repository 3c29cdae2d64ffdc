"""The calendar feed: strictly valid, true to the time zone database, and open only to whom it may be."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import icalendar
import pytest
from click.testing import CliRunner
from dateutil.rrule import rrulestr
from django.http import HttpResponse
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries, Settings

from maintenance.api import feed
from maintenance.calendar_feed import Entry, calendar_text, etag
from maintenance.models import Window
from maintenance.services import running, scheduling
from maintenance.vtimezone import vtimezone
from sysops.cli.calendar import calendar_link
from sysops.kernel.clock import utc_now
from tests.maintenance.support import BY, HOUR, make_service, make_window

ADDRESS = "/api/system/maintenance.ics"
UID = UUID("6f1a9a5e-0000-4000-8000-000000000001")
ZONES = [
    "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca",
    "America/Sao_Paulo", "Europe/Dublin", "Pacific/Apia", "Asia/Gaza", "America/Nuuk",
]  # fmt: skip


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def entry(**others: object) -> Entry:
    facts: dict[str, object] = {
        "uid": UID, "sequence": 0, "title": "Upgrade", "description": "", "kind": "planned", "status": "scheduled",
        "zone": "UTC", "start": utc("2027-01-15T02:00"), "end": utc("2027-01-15T04:00"),
        "created_at": utc("2027-01-01T00:00"), "changed_at": utc("2027-01-02T00:00"),
        "services": ("Shop",), "reached": (), "note": "", "cancel_reason": "", **others,
    }  # fmt: skip
    return Entry(**facts)  # type: ignore[arg-type]


def parsed(text: bytes) -> icalendar.Calendar:
    """The calendar, once it has stood up to RFC 5545 as read by ourselves."""
    check_form(text)
    found = icalendar.Calendar.from_ical(text)
    assert isinstance(found, icalendar.Calendar)
    return found


def check_form(text: bytes) -> None:
    """Line ends, line lengths, nesting, and what each component must have exactly once."""
    assert text.endswith(b"\r\n")
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", text), "bare CR or LF"
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", text), "control characters"
    for line in text.split(b"\r\n"):
        assert len(line) <= 75, line
        line.decode()  # folded between characters, not inside of one
    open_parts: list[tuple[str, list[str]]] = []
    for content in re.sub(rb"\r\n[ \t]", b"", text).decode().removesuffix("\r\n").split("\r\n"):
        found = re.fullmatch(r"([A-Z0-9-]+)((?:;[A-Z0-9-]+=(?:\"[^\"]*\"|[^\";:,]+))*):(.*)", content)
        assert found, f"no content line: {content!r}"
        name, value = found[1], found[3]
        if name == "BEGIN":
            open_parts.append((value, []))
        elif name == "END":
            part, names = open_parts.pop()
            assert part == value, "nested wrongly"
            for wanted in _EXACTLY_ONCE[part]:
                assert names.count(wanted) == 1, f"{wanted} in {part}: {names}"
        else:
            open_parts[-1][1].append(name)
    assert not open_parts


_EXACTLY_ONCE = {
    "VCALENDAR": ["VERSION", "PRODID", "X-WR-CALNAME", "REFRESH-INTERVAL"],
    "VTIMEZONE": ["TZID"],
    "STANDARD": ["DTSTART", "TZOFFSETFROM", "TZOFFSETTO"],
    "DAYLIGHT": ["DTSTART", "TZOFFSETFROM", "TZOFFSETTO"],
    "VEVENT": ["UID", "DTSTAMP", "DTSTART", "DTEND", "SEQUENCE", "SUMMARY", "STATUS", "LAST-MODIFIED", "DESCRIPTION"],
}


def said(component: icalendar.Component, name: str) -> str:
    """A property as text."""
    return str(component[name])


def moment(component: icalendar.Component, name: str = "DTSTART") -> datetime:
    """A property that is a time."""
    found = component.decoded(name)
    assert isinstance(found, datetime)
    return found


def event(text: bytes) -> icalendar.Component:
    """The only event of the feed."""
    (found,) = parsed(text).walk("VEVENT")
    return found


def test_a_window_is_an_event_with_all_that_calendar_programs_ask_for() -> None:
    text = calendar_text([entry(sequence=3, reached=("Blog", "Mail"))], name="Maintenance")

    calendar, found = parsed(text), event(text)
    assert (said(calendar, "VERSION"), said(calendar, "X-WR-CALNAME")) == ("2.0", "Maintenance")
    assert b"REFRESH-INTERVAL;VALUE=DURATION:PT15M\r\n" in text
    assert [said(found, name) for name in ("UID", "SEQUENCE", "STATUS")] == [f"{UID}@sysops", "3", "CONFIRMED"]
    assert (moment(found), moment(found, "DTEND")) == (utc("2027-01-15T02:00"), utc("2027-01-15T04:00"))
    assert moment(found, "LAST-MODIFIED") == moment(found, "DTSTAMP") == utc("2027-01-02T00:00")
    assert said(found, "DESCRIPTION") == "Worked on: Shop.\n\nAlso affected: Blog, Mail."
    assert b"CATEGORIES:Maintenance,Planned\r\n" in text
    assert b"DTSTART:20270115T020000Z\r\n" in text, "UTC needs no zone"
    assert not calendar.walk("VTIMEZONE")


def test_a_cancelled_window_stays_as_cancelled_with_the_reason() -> None:
    found = event(calendar_text([entry(status="cancelled", cancel_reason="No need", sequence=1)], name="x"))

    assert (said(found, "STATUS"), said(found, "SEQUENCE")) == ("CANCELLED", "1")
    assert "Cancelled: No need" in said(found, "DESCRIPTION")


@pytest.mark.parametrize(
    "title",
    [
        "Upgrade\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nSUMMARY:forged",
        "<script>alert(1)</script>; a, b \\ c \\n",
        "line\u2028separator \u0085 \x0b \x0c \x1c",
        "Ω" * 200,
        "👩‍🔧" * 40,
        "BEGIN:VALARM",
    ],
)
def test_nothing_in_a_title_breaks_out_of_it(title: str) -> None:
    text = calendar_text([entry(title=title, description=title, note=title)], name=title)

    found, line = event(text), " ".join(re.sub("[\u2028\u0085\x0b\x0c\x1c]", " ", title).split())
    assert said(found, "SUMMARY") == line
    named = said(parsed(text), "X-WR-CALNAME")  # which icalendar leaves escaped
    assert re.sub(r"\\([\\;,])", r"\1", named) == line
    assert not any(character in text.decode() for character in "\u2028\u0085\x0b\x0c\x1c")


@given(title=st.text(max_size=120), description=st.text(max_size=300))
@settings(max_examples=80, deadline=None)
def test_whatever_people_write_comes_out_as_one_event(title: str, description: str) -> None:
    encodable = title.encode(errors="ignore").decode(), description.encode(errors="ignore").decode()

    found = event(calendar_text([entry(title=encodable[0], description=encodable[1])], name="x"))

    assert said(found, "UID") == f"{UID}@sysops"


# Time zones


def offset_by(zone: icalendar.Timezone, wall: datetime) -> timedelta:
    """What a strict reader makes of a local time: the observance whose latest onset is not after it."""
    latest: tuple[datetime, timedelta] | None = None
    for part in zone.subcomponents:
        begins = moment(part)
        assert begins.tzinfo is None
        onsets: list[datetime] = [begins]
        if "RRULE" in part:
            (line,) = [line for line in part.to_ical().decode().split("\r\n") if line.startswith("RRULE:")]
            rule = rrulestr(line, dtstart=begins)
            onsets.append(rule.before(wall, inc=True) or begins)
        dates = part.get("RDATE")
        if isinstance(dates, icalendar.vDDDLists):
            onsets += [each.dt for each in dates.dts if isinstance(each.dt, datetime)]
        for onset in onsets:
            if onset <= wall and (latest is None or onset > latest[0]):
                latest = (onset, part.decoded("TZOFFSETTO"))
    assert latest is not None, f"no observance covers {wall}"
    return latest[1]


def walls(zone: ZoneInfo, years: range) -> Iterator[datetime]:
    """Local times around the clock through the years; none that comes twice or not at all."""
    moment = datetime(years[0], 1, 1, tzinfo=UTC)
    while moment.year < years[-1] + 1:
        wall = moment.astimezone(zone).replace(tzinfo=None, fold=0)
        here = wall.replace(tzinfo=zone)
        if here.utcoffset() == here.replace(fold=1).utcoffset():
            yield wall
        moment += timedelta(hours=11)


@pytest.mark.parametrize("name", ZONES)
def test_the_zone_says_what_the_time_zone_database_says(name: str) -> None:
    zone = ZoneInfo(name)
    component = vtimezone(zone, first_year=2026, last_year=2027)

    for wall in walls(zone, range(2026, 2029)):
        assert offset_by(component, wall) == wall.replace(tzinfo=zone).utcoffset(), wall


@pytest.mark.parametrize("name", ["Europe/London", "America/New_York", "Australia/Lord_Howe"])
def test_at_a_change_of_clocks_the_zone_is_right_to_the_second(name: str) -> None:
    zone = ZoneInfo(name)
    component = vtimezone(zone, first_year=2027, last_year=2027)
    moment, before = utc("2027-01-01T00:00"), None
    changes = 0
    while moment.year == 2027:
        offset = moment.astimezone(zone).utcoffset()
        if before is not None and offset != before:
            changes += 1
            assert offset is not None
            onset = (moment + before).replace(tzinfo=None)  # as RFC 5545 has it: by the clock before the change
            assert offset_by(component, onset) == offset
            assert offset_by(component, onset - timedelta(seconds=1)) == before
        moment, before = moment + timedelta(minutes=30), offset
    assert changes == 2


@pytest.mark.parametrize("name", ["Europe/London", "America/New_York"])
def test_a_zone_that_changes_by_a_rule_is_written_with_it(name: str) -> None:
    component = vtimezone(ZoneInfo(name), first_year=2027, last_year=2027)

    assert ["RRULE" in part for part in component.subcomponents] == [True, True]


def test_a_window_is_told_in_its_own_zone_across_the_change_of_clocks() -> None:
    before, after = utc("2027-03-23T03:00"), utc("2027-03-30T02:00")
    text = calendar_text(
        [
            entry(zone="Europe/London", start=start, end=start + 2 * HOUR, uid=UUID(int=number))
            for number, start in enumerate([before, after])
        ],
        name="x",
    )

    calendar = parsed(text)
    (zone,) = calendar.walk("VTIMEZONE")
    assert isinstance(zone, icalendar.Timezone)
    assert re.findall(rb"DTSTART;TZID=Europe/London:(.*)\r", text) == [b"20270323T030000", b"20270330T030000"]
    for found, start in zip(calendar.walk("VEVENT"), [before, after], strict=True):
        wall = moment(found).replace(tzinfo=None)
        assert wall - offset_by(zone, wall) == start.replace(tzinfo=None)


def test_the_second_of_two_equal_local_times_is_told_in_utc() -> None:
    twice = utc("2027-10-31T01:30")  # 01:30 in London for the second time

    text = calendar_text([entry(zone="Europe/London", start=twice, end=twice + 2 * HOUR)], name="x")

    assert b"DTSTART:20271031T013000Z" in text
    assert b"DTEND;TZID=Europe/London:20271031T033000" in text


def test_a_zone_this_machine_does_not_know_is_told_in_utc() -> None:
    assert b"DTSTART:20270115T020000Z" in calendar_text([entry(zone="Mars/Olympus")], name="x")


def test_two_thousand_windows_make_one_feed() -> None:
    many = [entry(uid=UUID(int=number), zone="Europe/London") for number in range(2000)]

    assert len(parsed(calendar_text(many, name="x")).walk("VEVENT")) == 2000


def test_the_tag_differs_with_anything_that_shows() -> None:
    changes: list[dict[str, object]] = [{}, {"sequence": 1}, {"services": ()}, {"note": "n"}]
    tags = {etag([entry(**change)], name="x") for change in changes}

    assert len(tags | {etag([entry()], name="y")}) == 5


# Over HTTP


def window_soon() -> Window:
    return make_window(at=utc_now(), start=utc_now() + timedelta(days=3))


def get(query: str = "", **headers: str) -> HttpResponse:
    return Client(headers=headers).get(ADDRESS + query)  # type: ignore[return-value]


@pytest.mark.django_db
def test_anybody_reads_the_feed_and_a_stale_token_does_not_shut_out() -> None:
    window = window_soon()

    answer = get(Authorization="Bearer sysops_long_gone")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/calendar; charset=utf-8"
    found = event(answer.content)
    assert said(found, "UID") == f"{window.uid}@sysops"
    assert said(found, "DESCRIPTION").startswith("Worked on: service-")


@pytest.mark.django_db
def test_an_event_keeps_its_uid_and_counts_its_changes() -> None:
    window = window_soon()
    first = event(get().content)

    window = scheduling.change(window, {"start": window.scheduled_start + HOUR}, by=BY, at=utc_now())
    moved = event(get().content)
    running.cancel(window, by=BY, at=utc_now())
    gone = event(get().content)

    assert said(first, "UID") == said(moved, "UID") == said(gone, "UID")
    assert [said(each, "SEQUENCE") for each in (first, moved, gone)] == ["0", "1", "2"]
    assert moment(moved) - moment(first) == HOUR
    assert (said(moved, "STATUS"), said(gone, "STATUS")) == ("CONFIRMED", "CANCELLED")


@pytest.mark.django_db
def test_windows_stay_for_thirty_days_and_all_to_come_are_there() -> None:
    now = utc_now().replace(microsecond=0)
    for days in (-40, -20, 400):
        start = now + timedelta(days=days)
        make_window(at=start - timedelta(days=1), start=start)

    starts = sorted(moment(found) for found in parsed(get().content).walk("VEVENT"))

    assert starts == [now - timedelta(days=20), now + timedelta(days=400)]


@pytest.mark.django_db
def test_who_has_the_feed_already_is_told_so() -> None:
    window = window_soon()
    Window.objects.update(changed_at=utc_now() - timedelta(minutes=5))
    first = get()

    again = get(If_None_Match=first.headers["ETag"])
    since = get(If_Modified_Since=first.headers["Last-Modified"])

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert since.status_code == 304
    running.cancel(window, by=BY, at=utc_now())
    assert get(If_None_Match=first.headers["ETag"]).status_code == 200
    assert get(If_Modified_Since=first.headers["Last-Modified"]).status_code == 200


@pytest.mark.django_db
def test_right_after_a_change_no_time_of_change_is_promised() -> None:
    window_soon()

    assert "Last-Modified" not in get().headers, "a second change in the same second would be missed"


@pytest.mark.django_db
def test_the_feed_of_one_service_has_what_works_on_it_or_reaches_it() -> None:
    database, other = make_service("shop-db"), make_service("mail")
    make_service("shop", database)
    start = utc_now() + timedelta(days=2)
    make_window(database, at=utc_now(), start=start, title="Database")
    make_window(other, at=utc_now(), start=start, title="Mail")

    found = event(get("?service=shop").content)

    assert said(found, "SUMMARY") == "Database"
    assert "Also affected: shop." in said(found, "DESCRIPTION")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "query, code",
    [("?service=nobody", 404), ("?service=", 400), ("?service=a&service=b", 400), ("?color=red", 400), ("?key=", 400)],
)
def test_what_is_asked_for_wrongly_is_a_problem_and_no_calendar(query: str, code: int) -> None:
    answer = get(query)

    assert answer.status_code == code
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.django_db
def test_many_windows_take_two_queries(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    service = make_service()
    for hours in range(0, 30, 3):
        make_window(service, at=utc_now(), start=utc_now() + timedelta(days=1, hours=hours))

    with django_assert_num_queries(2):
        assert len(parsed(get().content).walk("VEVENT")) == 10


def feed_is(mode: str, settings: Settings) -> None:
    settings.ENV = settings.ENV.model_copy(update={"calendar_feed": mode})


@pytest.mark.django_db
def test_a_secret_feed_opens_with_its_key_only(settings: Settings) -> None:
    feed_is("secret", settings)
    window_soon()

    assert get().status_code == 403
    assert get("?key=wrong").status_code == 403
    assert get("?key=%C3%A9").status_code == 403
    assert get(f"?key={feed.feed_key()}").status_code == 200


@pytest.mark.django_db
def test_a_new_secret_key_leaves_old_links_open_while_the_old_one_may_verify(settings: Settings) -> None:
    feed_is("secret", settings)
    link = f"?key={feed.feed_key()}"
    old = settings.SECRET_KEY

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [old]
    assert get(link).status_code == 200
    settings.SECRET_KEY_FALLBACKS = []
    assert get(link).status_code == 403


@pytest.mark.django_db
def test_a_feed_that_is_off_is_not_there(settings: Settings) -> None:
    feed_is("off", settings)

    assert get(f"?key={feed.feed_key()}").status_code == 404


def test_a_mode_that_does_not_exist_ends_the_start() -> None:
    from sysops import env

    with pytest.raises(env.BadEnvironment, match="SYSOPS_CALENDAR_FEED"):
        env.load({"SYSOPS_CALENDAR_FEED": "maybe"})


@pytest.mark.django_db
def test_the_document_tells_of_the_feed(client: Client) -> None:
    document = client.get("/api/system/schema").json()

    operation = document["paths"][ADDRESS]["get"]
    assert "text/calendar" in operation["responses"]["200"]["content"]
    assert {parameter["name"] for parameter in operation["parameters"]} == {"service", "key"}


# The link


def link(*arguments: str) -> tuple[int, str]:
    """How `sysops calendar-link` ends, and what it prints."""
    ended = CliRunner().invoke(calendar_link, list(arguments))
    return ended.exit_code, ended.output.strip()


@pytest.mark.django_db
def test_the_printed_link_opens_the_feed(settings: Settings) -> None:
    make_service("shop-db")
    feed_is("secret", settings)
    code, address = link("--service", "shop-db")

    assert code == 0
    assert get("?" + address.partition("?")[2]).status_code == 200
    assert address.startswith(f"http://{settings.ENV.host}:{settings.ENV.port}{ADDRESS}?service=shop-db&key=")


@pytest.mark.django_db
def test_the_link_is_that_of_the_public_address_and_needs_no_key_where_the_feed_is_public(settings: Settings) -> None:
    settings.ENV = settings.ENV.model_copy(update={"public_url": "https://ops.example.org/"})

    assert link() == (0, "https://ops.example.org" + ADDRESS)


@pytest.mark.django_db
def test_there_is_no_link_to_what_is_not_there(settings: Settings) -> None:
    assert link("--service", "nobody")[0] == 2
    feed_is("off", settings)
    assert link()[0] == 1
