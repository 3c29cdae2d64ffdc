"""`sysops schedule`, `windows` and `window`: what they print, their exit codes, the spans they understand."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from catalogue.models import Service
from maintenance.models import Window
from sysops.cli import main
from sysops.cli.spans import BadSpan, read_length, read_span
from sysops.pages.forms import SpanField
from tests.maintenance.support import make_service

ROOT = Path(__file__).parents[2]
DAY = (datetime.now(UTC) + timedelta(days=3)).date().isoformat()
HOUR = timedelta(hours=1)


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Cli = Callable[..., Done]


@pytest.fixture
def cli() -> Cli:
    """Runs the command inside this process, which is much quicker than one of its own."""

    def run(*words: str) -> Done:
        found = CliRunner().invoke(main, words)
        if found.exception and not isinstance(found.exception, SystemExit):
            raise found.exception
        return Done(found.exit_code, found.stdout, found.stderr)

    return run


@pytest.fixture
def process(child_environ: dict[str, str]) -> Cli:
    """Runs the command as people do."""

    def run(*words: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "sysops.cli", *words],
            cwd=ROOT,
            env=child_environ,
            capture_output=True,
            text=True,
            timeout=110,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def shop_db(transactional_db: None) -> Service:
    """shop-db, on which shop stands."""
    below = make_service("shop-db")
    make_service("shop", below)
    return below


def scheduled(cli: Cli, *more: str, span: str = f"{DAY} 02:00-04:00") -> str:
    """The number of a window that the command has scheduled."""
    done = cli("schedule", "--window", span, "--service", "shop-db", "--title", "Upgrade", "--json", *more)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["id"])


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_window_is_scheduled_as_people_say_it(process: Cli, shop_db: Service) -> None:
    done = process(
        "schedule", "--window", f"{DAY} 02:00-04:00", "--service", "shop-db", "--title", "Upgrade <db>",
        "--zone", "Asia/Tokyo", "--starts-itself", "--completes-itself", "--no-mode", "--description", "No orders.",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    window = Window.objects.get()
    assert window.scheduled_start == utc(f"{DAY}T02:00") - timedelta(hours=9)
    assert (window.estimated_duration_seconds, window.time_zone) == (7200, "Asia/Tokyo")
    assert (window.starts_itself, window.completes_itself, window.maintenance_mode) == (True, True, False)
    assert (window.title, window.description) == ("Upgrade <db>", "No orders.")
    assert done.stdout == (
        f"Window {window.pk} scheduled: {DAY} 02:00 – 04:00 Asia/Tokyo  Upgrade <db>\n"
        "  works on shop-db\n  reaches shop\n"
    )


def test_a_window_in_the_way_is_named_and_the_exit_code_is_1(cli: Cli, shop_db: Service) -> None:
    first = scheduled(cli)
    again = ("schedule", "--window", f"{DAY} 03:00 +30m", "--service", "shop", "--title", "Mine")

    for_people, for_scripts = cli(*again), cli(*again, "--json")

    assert for_people.returncode == for_scripts.returncode == 1
    assert f"Window {first} “Upgrade”" in for_people.stderr
    assert [window["id"] for window in json.loads(for_scripts.stdout)["conflicts"]] == [first]
    assert Window.objects.count() == 1


def test_an_emergency_begins_now_and_says_what_it_meets(cli: Cli, shop_db: Service) -> None:
    now = datetime.now(UTC)
    first = scheduled(cli, span=f"{now + 2 * HOUR:%Y-%m-%d %H:%M} +2h")

    done = cli("schedule", "--window", "now +4h", "--service", "shop-db", "--title", "Fire", "--emergency")

    assert done.returncode == 0, done.stderr
    assert f"overlaps window {first} “Upgrade”" in done.stdout


def test_a_backup_can_be_required(cli: Cli, shop_db: Service) -> None:
    pk = scheduled(cli, "--require-backup", "24h", "--take-backup")

    (gate,) = Window.objects.get(pk=pk).gates.all()
    assert (gate.gate, gate.settings, gate.prepare) == ("fresh_backup", {"max_age_seconds": 86_400}, True)
    started = cli("window", "start", pk, "--early")
    assert started.returncode == 1
    assert "No backup source belongs to shop-db" in started.stderr


def test_the_whole_life_of_a_window(cli: Cli, shop_db: Service) -> None:
    pk = scheduled(cli)

    assert "in progress" in cli("window", "start", pk, "--early").stdout
    assert "Posted to window" in cli("window", "update", pk, "Half way.").stdout
    assert (
        json.loads(cli("window", "extend", pk, "--by", "1h", "--json").stdout)["estimated_duration_seconds"] == 10_800
    )
    early = cli("window", "report", pk)
    assert (early.returncode, "in progress" in early.stderr) == (1, True)
    assert "completed" in cli("window", "complete", pk).stdout
    report = cli("window", "report", pk)
    assert report.returncode == 0
    assert "Half way." in report.stdout
    lines = [line.split() for line in report.stdout.splitlines()]
    assert ["When", "Who", "What"] in lines
    services = lines.index(["Services"])
    assert lines[services + 1] == ["Service", "Part", "Before", "After"]
    assert lines[services + 2][-2:] == ["normal", "normal"]
    heads, row = (report.stdout.splitlines()[services + step] for step in (1, 2))
    assert heads.index("Before") == row.index("normal")
    assert json.loads(cli("window", "report", pk, "--json").stdout)["window"]["title"] == "Upgrade"
    late = cli("window", "start", pk)
    assert (late.returncode, "is completed" in late.stderr) == (1, True)


def test_a_window_is_called_off_and_listed_so(cli: Cli, shop_db: Service) -> None:
    gone, stays = scheduled(cli), scheduled(cli, span=f"{DAY} 05:00 +1h")
    assert cli("window", "cancel", gone, "--reason", "Rain").returncode == 0

    assert [row["id"] for row in json.loads(cli("windows", "--json").stdout)] == [stays]
    assert [row["id"] for row in json.loads(cli("windows", "--all", "--json").stdout)] == [stays, gone]
    assert [row["id"] for row in json.loads(cli("windows", "--status", "cancelled", "--json").stdout)] == [gone]
    assert cli("windows", "--service", "shop", "--status", "scheduled").stdout.startswith(f"Window {stays} scheduled:")
    assert "cancelled" in cli("window", "show", gone).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["schedule", "--window", "tomorrow", "--service", "shop-db", "--title", "x"], "is no span of time"),
        (
            ["schedule", "--window", "2020-01-01 02:00-04:00", "--service", "shop-db", "--title", "x"],
            "--window: It must",
        ),
        (["schedule", "--window", "now +1h", "--service", "shop-db", "--title", "x"], "add --emergency"),
        (
            ["schedule", "--window", f"{DAY} 02:00 +31d", "--service", "shop-db", "--title", "x"],
            "--window: It can last",
        ),
        (["schedule", "--window", f"{DAY} 02:00 +1h", "--service", "nowhere", "--title", "x"], "no service nowhere"),
        (["schedule", "--window", f"{DAY} 02:00 +1h", "--service", "shop-db", "--title", "a\nb"], "--title: Use one"),
        (["schedule", "--window", f"{DAY} 02:00 +1h", "--title", "x"], "--service"),
        (
            ["schedule", "--window", f"{DAY} 02:00 +1h", "--service", "shop-db", "--title", "x", "--take-backup"],
            "--take-backup goes with --require-backup",
        ),
        (
            [
                "schedule",
                "--window",
                f"{DAY} 02:00 +1h",
                "--service",
                "shop-db",
                "--title",
                "x",
                "--require-backup",
                "1",
            ],
            "is no length of time",
        ),
        (["window", "start", "999"], "There is no window 999"),
        (["window", "start", "abc"], "There is no window 'abc'; give its number"),
        (["window", "start", "9" * 30], "give its number"),
        (["window", "extend", "999"], "There is no window 999"),
        (["windows", "--status", "done"], "--status"),
    ],
)
def test_what_makes_no_sense_ends_with_2_and_says_why(cli: Cli, shop_db: Service, words: list[str], said: str) -> None:
    done = cli(*words)

    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not Window.objects.exists()


def test_windows_shows_what_matters_first(cli: Cli, shop_db: Service) -> None:
    now = datetime.now(UTC)
    far, near, due, longer, shorter, done, gone = (
        scheduled(cli, span=f"{now + days * 24 * HOUR:%Y-%m-%d %H:%M} +1h") for days in (30, 9, 3, 2, 4, 5, 6)
    )
    begun = {"scheduled_start": now - HOUR, "actual_start": now - HOUR}
    for pk, hours in ((longer, 5), (shorter, 2)):
        Window.objects.filter(pk=pk).update(status="in_progress", scheduled_end=now + hours * HOUR, **begun)
    Window.objects.filter(pk=done).update(status="completed", scheduled_end=now, completed_at=now, **begun)
    Window.objects.filter(pk=due).update(scheduled_start=now - HOUR)
    assert cli("window", "cancel", gone).returncode == 0

    def listed(*more: str) -> list[str]:
        return [row["id"] for row in json.loads(cli("windows", "--json", *more).stdout)]

    assert listed() == listed("--service", "shop-db") == [longer, shorter, due, near, far]
    assert listed("--all") == [longer, shorter, due, near, far, gone, done]
    assert listed("--status", "completed") == [done]
    assert listed("--service", "shop", "--limit", "2") == [longer, shorter]


def test_no_open_window_is_said_in_words(cli: Cli, shop_db: Service) -> None:
    assert cli("windows").stdout == "No window is open; --all shows the completed and cancelled ones\n"
    assert cli("windows", "--json").stdout == "[]\n"


def test_a_window_far_ahead_is_not_started_by_a_slip(cli: Cli, shop_db: Service) -> None:
    far = scheduled(cli)
    near = scheduled(cli, span=f"{datetime.now(UTC) + timedelta(minutes=30):%Y-%m-%d %H:%M} +1h")

    refused = cli("window", "start", far)

    assert refused.returncode == 2
    assert re.search(rf"Window {far} is due in [23] d\b", refused.stderr)  # as early or late as it is today
    assert "everybody affected is told. Add --early if that is meant" in refused.stderr
    assert Window.objects.get(pk=far).status == "scheduled"
    assert cli("window", "start", near).returncode == 0


def test_a_person_at_a_terminal_is_asked_whether_early_is_meant(
    child_environ: dict[str, str], cli: Cli, shop_db: Service
) -> None:
    pk = scheduled(cli)

    def answered(words: str) -> int:
        ours, theirs = os.openpty()
        try:
            os.write(ours, f"{words}\n".encode())
            command = [sys.executable, "-m", "sysops.cli", "window", "start", pk]
            done = subprocess.run(command, cwd=ROOT, env=child_environ, stdin=theirs, capture_output=True, timeout=110)
        finally:
            os.close(ours)
            os.close(theirs)
        assert b"Start it now?" in done.stderr
        return done.returncode

    assert (answered("n"), Window.objects.get(pk=pk).status) == (1, "scheduled")
    assert (answered("y"), Window.objects.get(pk=pk).status) == (0, "in_progress")


def test_what_was_done_already_is_said_in_plain_words(cli: Cli, shop_db: Service) -> None:
    pk, gone = scheduled(cli), scheduled(cli, span=f"{DAY} 05:00 +1h")

    assert f"Window {pk} has not begun; start it, or cancel it" in cli("window", "complete", pk).stderr
    cli("window", "start", pk, "--early")
    assert f"Window {pk} has begun; complete it" in cli("window", "cancel", pk).stderr
    cli("window", "complete", pk)
    again = cli("window", "complete", pk)
    assert (again.returncode, again.stderr) == (1, f"Error: Window {pk} is completed already\n")
    cli("window", "cancel", gone)
    assert f"Window {gone} is cancelled already" in cli("window", "cancel", gone).stderr


def test_a_window_that_ends_on_the_next_day_says_so(cli: Cli, shop_db: Service) -> None:
    done = cli("schedule", "--window", "2027-01-15 04:00-02:00", "--service", "shop-db", "--title", "Long")

    assert "2027-01-15 04:00 until the next day, 2027-01-16 02:00 UTC" in done.stdout


def test_the_help_says_who_may_begin_now(cli: Cli) -> None:
    assert 'with --emergency "now +2h"' in " ".join(cli("schedule", "--help").stdout.split())


@pytest.mark.parametrize(("option", "length"), [("--to", "1s"), ("--by", "60d")])
def test_extend_names_the_option_that_does_not_fit(cli: Cli, shop_db: Service, option: str, length: str) -> None:
    pk = scheduled(cli)

    done = cli("window", "extend", pk, option, length)

    assert done.returncode == 2
    assert f"{option}: It " in done.stderr
    assert "--window" not in done.stderr


def test_extend_wants_one_length(cli: Cli, shop_db: Service) -> None:
    pk = scheduled(cli)

    assert [cli("window", "extend", pk, *more).returncode for more in ([], ["--by", "1h", "--to", "4h"])] == [2, 2]


@pytest.mark.parametrize(
    ("text", "zone", "start", "length"),
    [
        ("2027-01-15 02:00-04:00", "UTC", "2027-01-15T02:00", 2 * HOUR),
        ("2027-01-15 02:00–04:00", "UTC", "2027-01-15T02:00", 2 * HOUR),
        ("2027-01-15 2:00 - 4:30", "UTC", "2027-01-15T02:00", 2.5 * HOUR),
        ("2027-01-15 22:00-04:00", "UTC", "2027-01-15T22:00", 6 * HOUR),
        ("2027-12-31 23:30-00:30", "UTC", "2027-12-31T23:30", HOUR),
        ("2027-01-15 02:00 +2h30m", "Europe/Berlin", "2027-01-15T01:00", 2.5 * HOUR),
        ("2027-01-15T02:00:00+01:00/2027-01-15T04:00:00Z", "Asia/Tokyo", "2027-01-15T01:00", 3 * HOUR),
        ("2027-03-28 01:30-03:30", "Europe/London", "2027-03-28T01:30", None),
        ("2027-03-28 00:30-03:30", "Europe/London", "2027-03-28T00:30", 2 * HOUR),
        ("2027-10-31 00:30-03:30", "Europe/London", "2027-10-30T23:30", 4 * HOUR),
        ("2027-04-04 01:00-03:00", "Australia/Lord_Howe", "2027-04-03T14:00", 2.5 * HOUR),
    ],
)
def test_spans_are_understood_as_people_mean_them(text: str, zone: str, start: str, length: timedelta | None) -> None:
    if length is None:  # 01:30 is skipped that night
        with pytest.raises(BadSpan, match=r"does not exist in Europe/London, where clocks skip it. Write 02:30\."):
            read_span(text, zone=zone)
        return
    found = read_span(text, zone=zone)

    assert (found.start, found.duration) == (utc(start), length)


def test_a_time_that_comes_twice_is_the_first_one_and_says_so() -> None:
    found = read_span("2027-11-07 01:30 +1h", zone="America/New_York")

    assert found.start == utc("2027-11-07T05:30")
    assert "comes twice in America/New_York" in found.note
    assert found.note.endswith("the second is 2027-11-07T01:30:00-05:00.")


@pytest.mark.parametrize(
    ("text", "zone", "said"),
    [
        ("", "UTC", "no span of time"),
        ("2027-01-15", "UTC", "no span of time"),
        ("2027-01-15 02:00", "UTC", "no span of time"),
        ("15.01.2027 02:00-04:00", "UTC", "no span of time"),
        ("2027-01-15 02:00-02:00", "UTC", "has no length"),
        ("2027-01-15 25:00-26:00", "UTC", "There is no 2"),
        ("2027-02-30 02:00-03:00", "UTC", "30 February 2027 does not exist: February 2027 has 28 days"),
        ("2027-04-31 02:00 +1h", "UTC", "31 April 2027 does not exist"),
        ("2027-01-00 02:00 +1h", "UTC", "0 January 2027 does not exist"),
        ("2027-13-01 02:00 +1h", "UTC", "months from 01 to 12"),
        ("0000-01-01 02:00 +1h", "UTC", "years go from 0001"),
        ("2027-01-15 02:00 +0h", "UTC", "no time at all"),
        ("2027-01-15 02:00 +2x", "UTC", "no length of time"),
        ("2027-01-15 02:00 +", "UTC", "no span of time"),
        ("2027-01-15T02:00/2027-01-15T04:00", "UTC", "has no offset"),
        ("2027-01-15T04:00Z/2027-01-15T02:00Z", "UTC", "the end comes last"),
        ("2027-01-15T04:00Z/", "UTC", "is no time"),
        ("2027-01-15 02:00-04:00", "Mars/Olympus", "'Mars/Olympus' is no time zone"),
        ("2027-01-15 02:00-04:00", "../../etc/passwd", "is no time zone"),
        ("9999-12-31 23:00-01:00", "UTC", "no day after"),
        ("0001-01-01 00:00-01:00", "Asia/Tokyo", "beyond the calendar"),
        ("9999-12-31T23:00:00-23:00/9999-12-31T23:30:00-23:00", "UTC", "beyond the calendar"),
        ("2027-10-31 01:59-01:30", "UTC", ""),
    ],
)
def test_what_is_no_span_says_what_would_be(text: str, zone: str, said: str) -> None:
    if not said:
        assert read_span(text, zone=zone).duration == timedelta(hours=23, minutes=31)
        return
    with pytest.raises(BadSpan, match=said):
        read_span(text, zone=zone)


@given(st.text(max_size=60) | st.from_regex(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}( ?\+|-).{0,12}", fullmatch=True))
def test_whatever_is_typed_is_a_span_or_a_clear_refusal(text: str) -> None:
    with suppress(BadSpan):
        assert read_span(text, zone="Europe/Berlin").duration > timedelta()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1w", 604_800), ("2h30m", 9000), ("1 h 30 min", 5400), ("1w 2d", 777_600), ("45s", 45), ("7d", 604_800)],
)
def test_a_length_is_written_as_in_the_admin(text: str, seconds: int) -> None:
    assert read_length(text) == timedelta(seconds=seconds)
    assert SpanField().clean(text) == seconds


@pytest.mark.parametrize(
    ("text", "said"),
    [("soon", "or 1w"), ("90", "or 1w"), ("1h 1h", "or 1w"), ("1M", "or 1w"), ("999999999w", "longer than")],
)
def test_what_is_no_length_is_refused_with_how_one_is_written(text: str, said: str) -> None:
    with pytest.raises(BadSpan, match=said):
        read_length(text)


@given(st.integers(1, 99_999), st.integers(0, 999_999))
def test_lengths_add_up(days: int, minutes: int) -> None:
    assert read_length(f"{days}d{minutes}m") == timedelta(days=days, minutes=minutes)
