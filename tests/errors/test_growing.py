"""What a batch of events means for its issues, with rows: severity, SLA clock, assignment, regression, history."""

from datetime import datetime, timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from errors.models import ActivityEntry, AssignmentRule, Issue, Project, Release, SeverityLevel, SeverityRule
from errors.rules import Severity
from errors.services import clocks, growing, policy
from errors.services import issues as steps
from errors.services.growing import settle
from errors.services.ticking import tick
from sysops.events.models import Event as Published
from tests.errors.growth import arrive, grow, grow_all, person, service, team
from tests.errors.support import (
    BY,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    clock,
    digested,
    growth,
    issue,
    project,
    published,
    stored_event,
)

pytestmark = pytest.mark.django_db
LATER = NOW + HOUR
DEADLINES = ("near_at", "respond_by")


@pytest.fixture(autouse=True)
def shipped() -> None:
    policy.ensure_defaults()


def release(of: Project, version: str, at: datetime) -> Release:
    return Release.objects.create(project=of, version=version, first_seen=at)


def history(of: Issue) -> list[str]:
    return list(ActivityEntry.objects.filter(issue=of).order_by("pk").values_list("kind", flat=True))


@pytest.mark.parametrize(
    ("level", "accounts", "severity", "within"),
    [
        ("fatal", 1, "critical", timedelta(0)),
        ("error", 2, "high", HOUR),
        ("warning", 2, "high", HOUR),
        ("error", 1, "medium", 4 * HOUR),
        ("warning", 1, "low", DAY),
    ],
)
def test_a_new_issue_gets_severity_and_deadline(level: str, accounts: int, severity: str, within: timedelta) -> None:
    found = arrive(project(), digested(level=level), accounts=accounts)

    assert (found.severity, found.severity_source) == (severity, "rule")
    assert found.clock_started_at == NOW
    assert found.respond_by == NOW + within
    assert found.near_at == NOW + within * 0.8
    assert found.severity_because
    assert history(found) == ["created"]
    assert published(found) == ["created"]


def test_the_second_account_makes_it_high_with_the_time_for_that_from_then_on() -> None:
    found = arrive(project(), accounts=1)
    assert found.severity == "medium"

    found = grow(found, at=NOW + 10 * MINUTE, accounts=2)

    assert (found.severity, found.severity_because) == ("high", "Several accounts meet it")
    assert found.severity_rule == SeverityRule.objects.get(slug="several-accounts")
    assert (found.clock_started_at, found.respond_by) == (NOW, NOW + 10 * MINUTE + HOUR)
    assert history(found) == ["created", "severity"]
    assert published(found) == ["created", "severity_changed"]


def test_severity_does_not_fall_while_the_issue_is_open() -> None:
    critical, high = arrive(project(), digested(level="fatal")), arrive(project(), accounts=2)
    both = grow_all([critical, high], digested(level="info"), at=LATER)
    assert [each.severity for each in both] == ["critical", "high"]


def test_that_no_rule_holds_raises_no_issue_that_is_open() -> None:
    found = arrive(project(), digested(level="warning"), accounts=1)

    found = grow(found, at=LATER, accounts=1)

    assert (found.severity, found.severity_because) == ("low", "It only warns or informs")
    assert history(found) == ["created"]


def test_what_becomes_worse_hours_later_is_near_and_missed_by_its_new_deadline() -> None:
    found = arrive(project(), accounts=1)
    tick(now=clock(NOW + 3 * HOUR + 15 * MINUTE))  # the first deadline is near

    found = grow(found, at=NOW + 3 * HOUR + 30 * MINUTE, accounts=2)

    assert (found.near_at, found.respond_by) == (NOW + 4 * HOUR + 18 * MINUTE, NOW + 4 * HOUR + 30 * MINUTE)
    assert found.near_told_at is None
    assert [clocks.moved(found, was=Severity.MEDIUM, at=NOW + 3 * HOUR + 30 * MINUTE)[name] for name in DEADLINES] == [
        found.near_at,
        found.respond_by,
    ]


def test_the_events_of_a_restricted_project_name_neither_it_nor_how_bad_or_whose_it_is() -> None:
    home = project("vault", restricted=True, service=service("shop", team("shop", "ada")))
    found = arrive(home, digested(release="heist@1"), accounts=1)
    found = grow(found, at=NOW + MINUTE, accounts=2)
    steps.resolve(found, by=BY, at=NOW + MINUTE, release="heist@1")
    found = grow(found, digested(level="fatal", release="heist@2", at=LATER), at=LATER)
    steps.set_severity(found, Severity.LOW, by=BY, at=LATER)
    steps.assign(found, None, by=BY, at=LATER)
    other = arrive(home, digested("Other"))
    tick(now=clock(NOW + 3 * HOUR + 30 * MINUTE))
    tick(now=clock(NOW + DAY))

    said = {
        row.name.removeprefix("errors.issue."): row.data for row in Published.objects.filter(name__contains=".issue.")
    }

    assert set(said) == {"created", "assigned", "severity_changed", "resolved", "regressed", "sla_near", "sla_breached"}
    assert {name for data in said.values() for name in data} == {"by", "status"}, said
    assert published(other)[-1] == "sla_breached"


def test_what_a_person_decided_the_rules_leave_alone() -> None:
    found = arrive(project())
    steps.set_severity(found, Severity.LOW, by=BY, at=NOW)
    found = grow(found, digested(level="fatal"), at=LATER, accounts=9)
    assert (found.severity, found.severity_source) == ("low", "manual")


def test_a_hundred_events_an_hour_are_high_and_as_many_in_a_week_are_not() -> None:
    slow, fast = arrive(project()), arrive(project())
    for number in range(99):
        stored_event(slow.groupings.get(), at=NOW - number * HOUR)
        stored_event(fast.groupings.get(), at=NOW - number * timedelta(seconds=10))
    for each in (slow, fast):
        stored_event(each.groupings.get(), at=NOW)
        Issue.objects.filter(pk=each.pk).update(event_count=99)

    slow, fast = grow_all([slow, fast], digested(), at=NOW)

    assert [slow.severity, fast.severity] == ["medium", "high"]


def test_a_rule_that_cannot_be_read_holds_up_no_other() -> None:
    SeverityRule.objects.create(slug="odd", name="Odd", severity="critical", conditions={"colour": "red"})
    assert arrive(project(), accounts=2).severity == "high"


def test_a_rule_by_service_and_tag_decides() -> None:
    SeverityRule.objects.create(
        slug="pay", name="Payment", severity="critical", conditions={"service": ["shop"], "tag": {"area": "pay*"}}
    )
    shop, blog = project(service=service("shop")), project(service=service("blog"))
    paying = digested(tags=(("area", "payment"),))
    assert [arrive(shop, paying).severity, arrive(blog, paying).severity] == ["critical", "medium"]


def test_levels_are_data() -> None:
    SeverityLevel.objects.filter(severity="medium").update(respond_within_seconds=600, near_percent=50)
    found = arrive(project())
    assert (found.near_at, found.respond_by) == (NOW + 5 * MINUTE, NOW + 10 * MINUTE)


def test_an_issue_goes_to_whom_a_rule_says_else_to_who_is_on_call_of_the_owner_team() -> None:
    payment = team("payment", "ben")
    home = project(service=service("shop", team("shop", "ada")))
    AssignmentRule.objects.create(name="Payment", position=1, path="shop/payment/*", team=payment)
    AssignmentRule.objects.create(name="Browser", position=2, tag_key="browser", person=person("ben"))

    by_path = arrive(home, digested("A", paths=("/srv/shop/payment/card.py",)))
    by_tag = arrive(home, digested("B", tags=(("browser", "Firefox"),)))
    by_rota = arrive(home, digested("C"))

    assert [str(each.assignee) for each in (by_path, by_tag, by_rota)] == ["Ben", "Ben", "Ada"]
    assert by_path.assigned_because.startswith("Rule “Payment”")
    assert by_rota.assigned_because.startswith("On call for the owner team")
    assert by_path.responded_at is None, "a rule is no response"
    assert history(by_path) == ["created", "assigned"]
    assert published(by_path) == ["created", "assigned"]


def test_without_rule_and_owner_nobody_has_it_and_it_says_why() -> None:
    found = arrive(project())
    assert found.assignee is None
    assert "no owner team" in found.assigned_because


def resolved(of: Project, **how: object) -> Issue:
    found = arrive(of, digested(level="warning"), accounts=1)
    return steps.resolve(found, by=BY, at=NOW + MINUTE, **how)  # type: ignore[arg-type]


def test_a_newer_release_brings_a_resolved_issue_back_with_a_clock_of_its_own() -> None:
    home = project()
    release(home, "shop@1.9.0", NOW - DAY)
    found = resolved(home, note="Fixed")
    release(home, "shop@1.10.0", LATER)

    found = grow(found, digested(release="shop@1.10.0", at=LATER), at=LATER)

    assert (found.status, found.regressions, found.regressed_at) == ("unresolved", 1, LATER)
    assert (found.clock_started_at, found.responded_at) == (LATER, None)
    assert found.respond_by == LATER + 4 * HOUR, "judged anew: it is an error now"
    assert (found.resolved_at, found.resolve_note) == (None, "")
    assert history(found) == ["created", "resolved", "regressed"]
    assert published(found)[-1] == "regressed"


def test_an_older_release_that_somebody_still_runs_does_not() -> None:
    home = project()
    release(home, "shop@1.9.0", NOW - DAY)
    release(home, "shop@1.10.0", NOW - HOUR)
    found = resolved(home)
    found = grow(found, digested(release="shop@1.9.0", at=LATER), at=LATER)
    assert found.status == "resolved"


@pytest.mark.parametrize(
    ("release_", "in_next", "comes", "status"),
    [
        ("1.1", False, "1.0", "resolved"),
        ("1.1", False, "1.1", "unresolved"),
        ("1.1", False, "1.2", "unresolved"),
        ("1.1", True, "1.1", "resolved"),
        ("1.1", True, "1.2", "unresolved"),
    ],
)
def test_resolved_in_a_release_or_the_next(release_: str, in_next: bool, comes: str, status: str) -> None:
    found = resolved(project(), release=release_, in_next_release=in_next)
    found = grow(found, digested(release=comes, at=LATER), at=LATER)
    assert found.status == status


def test_without_releases_an_event_of_before_does_not_bring_it_back_and_one_of_after_does() -> None:
    found = resolved(project())
    found = grow(found, digested(at=NOW), at=LATER)
    assert found.status == "resolved", "it waited in the spool"
    assert grow(found, digested(at=LATER), at=LATER).status == "unresolved"


def test_whoever_had_it_has_it_again() -> None:
    home = project(service=service("shop", team("shop", "ada")))
    team("other", "ben")
    found = arrive(home)
    steps.assign(found, person("ben"), by=BY, at=NOW)
    steps.resolve(found, by=BY, at=NOW)
    assert grow(found, digested(at=LATER), at=LATER).assignee == person("ben")


def test_an_ignored_issue_is_back_after_so_many_more_events_or_accounts() -> None:
    by_events = steps.ignore(arrive(project()), by=BY, at=NOW, more_events=3)
    by_accounts = steps.ignore(arrive(project()), by=BY, at=NOW, more_accounts=2)

    once = grow_all([by_events, by_accounts], digested(), at=LATER, accounts=1)
    assert [each.status for each in once] == ["ignored", "ignored"]
    back = grow_all([by_events, by_accounts], digested(), digested(), at=LATER, accounts=2)

    assert [each.status for each in back] == ["unresolved", "unresolved"]
    assert [each.ignored_until_events for each in back] == [None, None]
    assert [each.clock_started_at for each in back] == [LATER, LATER]
    assert history(by_events) == ["created", "ignored", "reopened"]
    assert published(by_events)[-1] == "reopened"


def test_settling_many_issues_costs_as_much_as_settling_one() -> None:
    home = project(service=service("shop", team("shop", "ada")))

    def cost(count: int, *, new: bool, level: str = "error") -> int:
        rows = [issue(home, "Error", f"{count} {number} {new}", events=0) for number in range(count)]
        if not new:
            grow_all(rows, digested(), at=NOW, new=True)
        with (
            CaptureQueriesContext(
                connection,
            ) as asked,
            transaction.atomic(),
        ):
            settle([growth(row, digested(level=level), new=new) for row in rows], at=LATER)
        return len(asked)

    assert cost(1, new=True) == cost(40, new=True)
    assert cost(1, new=False) == cost(40, new=False)


def test_an_issue_for_which_nothing_changes_costs_no_statement_of_its_own() -> None:
    home = project()
    rows = [arrive(home, digested("Error", f"{number}")) for number in range(20)]
    fresh = list(Issue.objects.filter(pk__in=[row.pk for row in rows]))
    with CaptureQueriesContext(connection) as asked, transaction.atomic():
        settle([growth(row, digested()) for row in fresh], at=NOW + MINUTE)
    said = [query["sql"] for query in asked if "SAVEPOINT" not in query["sql"]]
    assert len(said) <= 4, said
    assert all(query.startswith("SELECT") for query in said), said


def test_the_verdict_of_the_rules_is_what_settling_decides() -> None:
    found = arrive(project(), accounts=3)
    steps.set_severity(found, Severity.LOW, by=BY, at=NOW)
    found = steps.set_severity(found, None, by=BY, at=NOW)
    assert (found.severity, found.severity_source) == ("high", "rule")
    verdict = policy.judge(found, at=NOW)
    assert (verdict.severity, verdict.rule) == (Severity.HIGH, SeverityRule.objects.get(slug="several-accounts"))


def test_shipped_rules_are_put_there_once_and_changes_are_kept() -> None:
    SeverityRule.objects.exclude(slug="crash").delete()
    SeverityLevel.objects.filter(severity="low").delete()
    SeverityLevel.objects.filter(severity="high").update(respond_within_seconds=60)
    policy.ensure_defaults()
    assert SeverityRule.objects.count() == 1
    assert SeverityLevel.objects.get(severity="high").respond_within_seconds == 60
    assert SeverityLevel.objects.get(severity="low").respond_within_seconds == 86_400


def test_who_has_deleted_all_shipped_rules_does_not_get_them_back() -> None:
    policy.ensure_defaults()
    SeverityRule.objects.all().delete()

    policy.ensure_defaults()

    assert not SeverityRule.objects.exists()


def test_the_clock_of_an_issue_starts_when_it_was_reported_however_late_it_is_digested() -> None:
    made = issue(at=NOW - 2 * HOUR)
    with transaction.atomic():
        settle([growth(made, digested(), new=True)], at=NOW)
    made.refresh_from_db()

    assert made.clock_started_at == NOW - 2 * HOUR
    assert made.respond_by == NOW + 2 * HOUR


def test_a_flood_of_releases_neither_slows_a_batch_nor_hides_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "RELEASES", 20)
    home = project()
    found = arrive(home)
    for number in range(60):
        Release.objects.create(project=home, version=f"hash-{number}", first_seen=NOW + timedelta(seconds=number))
    found = steps.resolve(found, by=BY, at=NOW + HOUR, release="hash-5")

    assert grow(found, digested(at=NOW + DAY, release="hash-2"), at=NOW + DAY).status == "resolved"
    assert grow(found, digested(at=NOW + DAY, release="hash-7"), at=NOW + DAY).status == "unresolved"
