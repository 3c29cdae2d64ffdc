"""`sysops errors …`: what it prints, its exit codes, and that nothing an event says drives the terminal."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from catalogue.models import Environment, Person, Service, Team
from errors.models import Issue, Project, TagKey, TagValue
from errors.services.policy import ensure_defaults
from sysops.access.models import AuditEntry
from sysops.cli.error_words import harmless
from sysops.cli.errors import errors
from sysops.kernel.clock import utc_now
from tests.errors.support import NOW, issue, project

pytestmark = pytest.mark.django_db


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Cli = Callable[..., Done]


@pytest.fixture
def cli() -> Cli:
    """Runs `sysops errors …` inside this process, which is much quicker than one of its own."""
    ensure_defaults()

    def run(*words: str) -> Done:
        found = CliRunner().invoke(errors, words)
        if found.exception and not isinstance(found.exception, SystemExit):
            raise found.exception
        return Done(found.exit_code, found.stdout, found.stderr)

    return run


def state(of: Issue) -> str:
    return Issue.objects.get(pk=of.pk).status


def test_open_issues_are_listed_the_latest_seen_first(cli: Cli) -> None:
    old = issue(error_type="OldError", last_seen=NOW - timedelta(days=1))
    new = issue(error_type="NewError", severity="critical", event_count=12)
    issue(status="resolved")

    done = cli("list")

    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [str(new.pk), str(old.pk)]
    assert f"{new.pk}  critical unresolved  12×" in done.stdout
    assert "NewError: broken" in done.stdout


def test_a_list_says_how_long_there_is_to_respond_or_who_is_on_it(cli: Cli) -> None:
    now = utc_now()
    ada = Person.objects.create(slug="ada", name="Ada")
    soon = issue(clock_started_at=now, respond_by=now + timedelta(hours=4, minutes=1), assignee=ada)
    late = issue(
        clock_started_at=now, respond_by=now - timedelta(minutes=90, seconds=20), near_at=now - timedelta(days=1)
    )
    at_once = issue(clock_started_at=now, respond_by=now, near_at=now)
    taken = issue(status="acknowledged", respond_by=now, responded_at=now, responded_by="Bob\x1b[2J")
    by_link = issue(
        status="acknowledged", responded_at=now, responded_by="ada (by link, without an account)", respond_by=now
    )
    over = issue(status="resolved", respond_by=now, responded_at=None)

    said = {line.split()[0]: line for line in cli("list", "--all").stdout.splitlines()}

    assert said[str(soon.pk)].startswith(f"{soon.pk}  medium unresolved, Ada, 4 h left to respond  1×")
    assert "medium unresolved, overdue by 1 h 30 min  1×" in said[str(late.pk)]
    assert "medium unresolved, to be responded to at once  1×" in said[str(at_once.pk)]
    assert "medium acknowledged, Bob\ufffd[2J is on it  1×" in said[str(taken.pk)]
    assert "medium acknowledged, Ada is on it  1×" in said[str(by_link.pk)]
    assert "medium resolved  1×" in said[str(over.pk)]


def test_a_merged_issue_leads_to_the_one_it_is_part_of(cli: Cli) -> None:
    home = project("shop")
    made, other = issue(home), issue(home, message="other")
    assert cli("merge", str(made.pk), str(other.pk)).returncode == 0

    done = cli("show", str(other.pk))

    assert done.returncode == 2
    assert f"Issue {other.pk} is part of issue {made.pk} now; `sysops errors show {made.pk}` shows it" in done.stderr


def test_times_are_all_told_in_one_form(cli: Cli) -> None:
    made = issue(respond_by=NOW, responded_at=NOW, first_seen=NOW, last_seen=NOW)
    cli("resolve", str(made.pk))

    said = cli("show", str(made.pk)).stdout

    assert "first seen: 2027-01-13 12:30 UTC" in said
    assert "last seen: 2027-01-13 12:30 UTC" in said
    assert "to respond: was responded to at 2027-01-13 12:30 UTC" in said
    assert not re.search(r"\d{4}-\d\d-\d\dT", said)


def test_a_list_is_searched_as_in_the_search_box(cli: Cli) -> None:
    issue(message="mail is slow")
    wanted = issue(message="card declined")
    done = issue(message="card declined", status="resolved")

    assert [row["id"] for row in json.loads(cli("list", "--json", "card", "severity:medium").stdout)] == [
        str(wanted.pk)
    ]
    assert {row["id"] for row in json.loads(cli("list", "card", "--all", "--json").stdout)} == {
        str(wanted.pk),
        str(done.pk),
    }
    assert str(done.pk) in cli("list", "is:resolved").stdout
    assert cli("list", "of_nothing").stdout == "No such issue\n"


def test_a_search_that_cannot_be_meant_is_refused(cli: Cli) -> None:
    done = cli("list", "is:broken")

    assert done.returncode == 2
    assert "There is no is:broken" in done.stderr


def test_an_issue_is_shown_with_its_stack_trace_tags_and_time_left(cli: Cli) -> None:
    made = issue(project("shop"), clock_started_at=utc_now(), respond_by=utc_now() + timedelta(hours=1))
    TagKey.objects.create(grouping=made.groupings.get(), key="area")
    TagValue.objects.create(grouping=made.groupings.get(), key="area", value="eu", quantity=1, last_seen=NOW)

    shown, as_json = cli("show", str(made.pk)), cli("show", str(made.pk), "--json")

    assert "project: shop" in shown.stdout
    assert "to respond: by 20" in shown.stdout
    assert "tag area: eu (100 %)" in shown.stdout
    assert '  File "shop/payment.py", line 42, in pay' in shown.stdout
    assert json.loads(as_json.stdout)["latest_event"]["payload"]["exception"]


def test_the_steps_of_an_issue_are_taken_and_audited(cli: Cli) -> None:
    ada, made = Person.objects.create(slug="ada", name="Ada"), issue()
    number = str(made.pk)

    assert cli("acknowledge", number).returncode == 0
    assert state(made) == "acknowledged"
    assert "Ada" in cli("assign", number, "ada").stdout
    assert Issue.objects.get(pk=made.pk).assignee == ada
    assert cli("assign", number, "none").returncode == 0
    assert Issue.objects.get(pk=made.pk).assignee is None
    assert cli("ignore", number, "--for", "24h", "--events", "5").returncode == 0
    assert state(made) == "ignored"
    done = cli("resolve", number, "--note", "Fixed the card.", "--release", "shop@1.3", "--json")
    assert json.loads(done.stdout)["resolved_in_release"] == "shop@1.3"
    assert cli("reopen", number).returncode == 0
    assert state(made) == "unresolved"
    assert set(AuditEntry.objects.filter(action__startswith="errors.issue").values_list("actor_kind", flat=True)) == {
        "cli"
    }


def test_an_issue_is_commented_on_judged_merged_and_split(cli: Cli) -> None:
    home = project("shop")
    made, other, foreign = issue(home), issue(home, message="other"), issue(message="foreign")
    number = str(made.pk)

    assert json.loads(cli("comment", number, "Card reader again.", "--json").stdout)["text"] == "Card reader again."
    assert "is in the history" in cli("comment", number, "Still.").stdout
    assert json.loads(cli("severity", number, "high", "--json").stdout)["severity"] == "high"
    assert f"{number}  medium" in cli("severity", number, "rules").stdout
    merged = cli("merge", number, str(other.pk))
    assert merged.returncode == 0
    group = made.groupings.latest("pk")
    assert f"group {group.pk}: {group.label}" in merged.stdout
    split = json.loads(cli("split", number, str(group.pk), "--json").stdout)
    assert split["id"] not in (number, str(other.pk))
    assert split["groupings"][0]["id"] == str(group.pk)

    refused = cli("merge", number, str(foreign.pk))
    assert (refused.returncode, "different projects" in refused.stderr) == (1, True)
    only = cli("split", split["id"], str(group.pk))
    assert (only.returncode, "only grouping" in only.stderr) == (1, True)


def test_a_step_that_is_not_possible_exits_with_1_and_says_why(cli: Cli) -> None:
    done = cli("resolve", str(issue(status="resolved").pk))

    assert done.returncode == 1
    assert "resolved" in done.stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("show", "x"), "no issue 'x'"),
        (("show", "999999"), "no issue 999999"),
        (("resolve", "9" * 30), "sysops errors list"),
        (("assign", "1", "nobody"), "no issue 1"),
        (("ignore", "1", "--for", "soon"), "--for"),
        (("severity", "1", "awful"), "critical"),
        (("merge", "1"), "OTHER"),
        (("merge", "1", "x"), "no issue 'x'"),
        (("split", "1", "x"), "no group 'x'"),
        (("ignore", "1", "--events", "0"), "--events"),
    ],
)
def test_what_makes_no_sense_exits_with_2(cli: Cli, words: tuple[str, ...], hint: str) -> None:
    done = cli(*words)

    assert done.returncode == 2
    assert hint in done.stderr


def test_an_unknown_person_is_refused_with_those_who_are_known(cli: Cli) -> None:
    Person.objects.create(slug="ada", name="Ada")

    done = cli("assign", str(issue().pk), "bob")

    assert done.returncode == 2
    assert "Known: ada" in done.stderr


def test_a_project_is_made_and_its_dsn_printed_alone_on_a_line(cli: Cli) -> None:
    team = Team.objects.create(slug="ops", name="Ops")
    Service.objects.create(slug="shop", name="Shop", owner_team=team)
    Environment.objects.create(slug="live", name="Live")

    done = cli("create-project", "shop", "--name", "Web shop", "--service", "shop", "--environment", "live")

    made = Project.objects.get(slug="shop")
    (dsn,) = done.stdout.splitlines()
    assert dsn.startswith("http")
    assert dsn.endswith(f"@{dsn.split('@')[1].split('/')[0]}/{made.pk}")
    assert made.keys.get().public in dsn
    assert (made.name, made.service is not None, made.environment is not None) == ("Web shop", True, True)
    assert f"shop: Web shop for shop\n  {dsn}" in cli("projects").stdout
    assert json.loads(cli("projects", "--json").stdout)[0]["dsns"] == [dsn]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("No Slug",), "SLUG: Use lower-case letters"),
        (("Shop_Web",), "SLUG: Use lower-case letters"),
        (("shop", "--service", "x"), "no service 'x'"),
        (("shop", "--environment", "x"), "no environment 'x'"),
    ],
)
def test_a_project_that_cannot_be_made_is_refused_by_option(cli: Cli, words: tuple[str, ...], hint: str) -> None:
    done = cli("create-project", *words)

    assert done.returncode == 2
    assert hint in done.stderr
    assert not Project.objects.exists()


def test_nothing_an_event_says_drives_the_terminal(cli: Cli) -> None:
    bad = "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202egnp.exe \r\n"
    made = issue(error_type=f"Bad{bad}", message=bad, culprit=bad, environment=bad)

    for done in (cli("list"), cli("show", str(made.pk)), cli("show", str(made.pk), "--json")):
        assert not {"\x1b", "\x07", "\x9b", "\u202e", "\r"} & set(done.stdout)
    assert harmless("naïve — 日本\n\tok") == "naïve — 日本\n\tok"


def test_what_cannot_be_said_or_split_exits_with_2(cli: Cli) -> None:
    made = issue()

    empty, foreign = cli("comment", str(made.pk), "  "), cli("split", str(made.pk), "999999")

    assert (empty.returncode, "TEXT: Must not be empty." in empty.stderr) == (2, True)
    assert (foreign.returncode, f"Issue {made.pk} has no group 999999" in foreign.stderr) == (2, True)
